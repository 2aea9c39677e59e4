//! What the kernel shows of parents and children.

use crate::context::{Check, Program, Stop, TIMEOUT, TestContext, Verdict, fail};
use harness::oracles;
use harness::proc::{self, Process};
use harness::wait::within;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::time::Duration;

pub(crate) const CHECKS: &[(&str, Check)] = &[
    ("fates.exit_codes", exit_codes),
    ("fates.signals", signals),
    ("fates.each_its_own", each_its_own),
    ("fates.output_once", output_once),
    ("family.no_zombies", no_zombies),
    ("family.goes_on", goes_on),
    ("family.sleeps", sleeps),
    ("orphan.adopted", adopted),
    ("orphan.no_middle_child", no_middle_child),
];

fn fates(context: &TestContext, fates: &[String]) -> Verdict<String> {
    let mut program = context.program("processes").arg("fates").args(fates).start()?;
    program.close_stdin();
    let status = program.wait("the parent to end after its children", TIMEOUT)?;
    if !status.success() {
        return fail("exit code 0 of the parent", program.describe());
    }
    Ok(program.output())
}

/// The lines that are printed, without the word before the first.
fn lines(output: &str) -> Vec<String> {
    output.replacen("begun ", "", 1).lines().map(str::to_owned).collect()
}

fn compare(context: &TestContext, words: &[String], wanted: &[String]) -> Verdict {
    let got = lines(&fates(context, words)?);
    if got == wanted { Ok(()) } else { fail(wanted.join(", "), got.join(", ")) }
}

fn exit_codes(context: &TestContext) -> Verdict {
    let codes = [0, 1, 7, 127, 128, 255];
    let words = codes.map(|code| format!("exit:{code}"));
    compare(context, &words, &codes.map(|code| format!("exit {code}")))
}

fn signals(context: &TestContext) -> Verdict {
    // The last one leaves a core where it may, which is one bit more in the status.
    let signals = [9, 15, 2, 11];
    let words = signals.map(|signal| format!("kill:{signal}"));
    compare(context, &words, &signals.map(|signal| format!("killed {signal}")))
}

/// The first child stops itself, and goes on when all others have ended. So a parent that takes whichever child
/// ends first has taken another one by then, however the processes were scheduled.
fn each_its_own(context: &TestContext) -> Verdict {
    let codes: Vec<u64> = (0..11).map(|n| 10 * (11 - n) + context.choose(n, 10)).collect();
    let words: Vec<String> = codes.iter().map(|code| format!("exit:{code}")).collect();
    let mut program =
        context.program("processes").args(["fates", "kill:19"]).args(&words).start()?;
    program.close_stdin();
    let mut stopped = None;
    within(TIMEOUT, || {
        let mut children = program.process_tree();
        children.retain(|process| process.pid != program.pid());
        stopped = children.iter().find(|child| child.state == 'T').map(|child| child.pid);
        // The parent sleeps in its wait: it has started all children.
        stopped.is_some()
            && children.iter().all(|child| matches!(child.state, 'T' | 'Z'))
            && proc::asleep(program.pid())
    });
    let Some(stopped) = stopped else {
        return fail("a child that stopped itself", program.describe());
    };
    let _ = kill(Pid::from_raw(stopped), Signal::SIGCONT);
    program.wait("the parent to end after its children", TIMEOUT)?;
    // Of the child that has gone on after the signal.
    let wanted: Vec<String> =
        std::iter::once(255).chain(codes).map(|code| format!("exit {code}")).collect();
    let got = lines(&program.output());
    if got == wanted { Ok(()) } else { fail(wanted.join(", "), got.join(", ")) }
}

fn output_once(context: &TestContext) -> Verdict {
    let output = fates(context, &["exit:0", "exit:1", "exit:2"].map(str::to_owned))?;
    match output.matches("begun ").count() {
        1 => Ok(()),
        n => fail(
            "what the parent had in its buffer when it forked to be printed once",
            format!("{n} times: a child has written out its copy of the buffer as it ended"),
        ),
    }
}

const CHILDREN: usize = 20;

/// A parent and its children, all alive.
fn family(context: &TestContext) -> Verdict<Program> {
    let mut program =
        context.program("processes").args(["family", &CHILDREN.to_string()]).start()?;
    let said = program.read_line("`ready`, when the children have begun")?;
    if said != "ready" {
        return fail("`ready`", said);
    }
    let children = program.process_tree().len() - 1;
    if children != CHILDREN {
        return fail(format!("{CHILDREN} children"), format!("{children}"));
    }
    Ok(program)
}

/// Kills the first `n` children; gives whether all were seen dead.
fn kill_children(program: &Program, n: usize) -> bool {
    let mut children = program.process_tree();
    children.retain(|process| process.pid != program.pid());
    children.truncate(n);
    for child in &children {
        let _ = kill(Pid::from_raw(child.pid), Signal::SIGKILL);
    }
    let dead = |pid: i32| proc::process(pid).is_none_or(|process| process.state == 'Z');
    within(TIMEOUT, || children.iter().all(|child| dead(child.pid)))
}

/// A parent whose children all ended while it was stopped: it gets one signal for all of them.
fn parent_of_ended_children(context: &TestContext) -> Verdict<Program> {
    let program = family(context)?;
    program.signal(Signal::SIGSTOP);
    let stopped = || proc::process(program.pid()).is_some_and(|process| process.state == 'T');
    if !within(TIMEOUT, stopped) || !kill_children(&program, CHILDREN) {
        return Err(Stop::GraderError("the family could not be stopped and killed in time".into()));
    }
    program.signal(Signal::SIGCONT);
    Ok(program)
}

fn no_zombies(context: &TestContext) -> Verdict {
    let mut program = parent_of_ended_children(context)?;
    let alone = within(TIMEOUT, || program.process_tree().len() == 1);
    let zombies = oracles::zombies(&program.process_tree());
    if !alone {
        let what = format!("no child to be left of {CHILDREN} that ended");
        let shown: Vec<String> = zombies.iter().take(5).map(|pid| format!("pid {pid} Z")).collect();
        let observed = format!(
            "{} zombies of pid {}: {}; {}",
            zombies.len(),
            program.pid(),
            shown.join(", "),
            program.describe()
        );
        return fail(what, observed);
    }
    Ok(())
}

fn goes_on(context: &TestContext) -> Verdict {
    let mut program = family(context)?;
    // One ends, and the others live.
    if !kill_children(&program, 1) {
        return Err(Stop::GraderError("a child could not be killed in time".into()));
    }
    program.write("\n")?;
    let said =
        program.read_line("the parent to read a line after one of its children has ended")?;
    if said != "closed" {
        return fail("`closed`", said);
    }
    for n in 0..3 {
        program.write(format!("{n}\n"))?;
        let said = program.read_line("the parent to answer while its children end")?;
        if said != format!("you said {n}") {
            return fail(format!("you said {n}"), said);
        }
    }
    program.close_stdin();
    let status = program.wait("the parent to end with its input", TIMEOUT)?;
    if status.success() { Ok(()) } else { fail("exit code 0", program.describe()) }
}

fn sleeps(context: &TestContext) -> Verdict {
    let program = parent_of_ended_children(context)?;
    within(TIMEOUT, || program.process_tree().len() == 1);
    let window = Duration::from_millis(300);
    let Some(ready) =
        oracles::busy_throughout(|| program.process_tree(), window, Duration::from_secs(1))
    else {
        return Ok(());
    };
    let observed = format!("for {ready:.0?} of {window:?} it ran, or waited for a core to run on");
    fail("a parent that has nothing to do to sleep", observed)
}

/// The numbers that the parent and the orphan print of themselves.
fn orphan(context: &TestContext) -> Verdict<(Program, i32)> {
    let mut program = context.program("processes").arg("orphan").start()?;
    let mut orphan = None;
    for _ in 0..2 {
        let said = program.read_line("`parent PID` and `orphan PID`")?;
        match said.split_once(' ').map(|(who, pid)| (who, pid.parse())) {
            Some(("orphan", Ok(pid))) => orphan = Some(pid),
            Some(("parent", Ok::<i32, _>(_))) => {}
            _ => return fail("`parent PID` and `orphan PID`", said),
        }
    }
    match orphan {
        Some(pid) => Ok((program, pid)),
        None => fail("`orphan PID` once", "it never came"),
    }
}

fn adopted(context: &TestContext) -> Verdict {
    let (program, pid) = orphan(context)?;
    let parent = || proc::process(pid).filter(|process| process.state != 'Z').map(|p| p.parent);
    let Some(first) = parent() else {
        return fail("the orphan to live on", "it is gone");
    };
    // The middle child may still be on its way out.
    let family: Vec<i32> = program.process_tree().iter().map(|process| process.pid).collect();
    let strange = within(TIMEOUT, || {
        parent().is_some_and(|parent| {
            parent != program.pid() && (parent == 1 || !family.contains(&parent))
        })
    });
    if strange {
        return Ok(());
    }
    let whose = if first == program.pid() {
        "still the child of the program itself"
    } else {
        "still the child of the one between"
    };
    fail("the orphan to be adopted by a process outside", whose)
}

fn no_middle_child(context: &TestContext) -> Verdict {
    let (mut program, orphan) = orphan(context)?;
    // The process between may still be on its way out. That it ends at all is what `adopted` checks.
    let ended =
        |process: &Process| process.state == 'Z' || [program.pid(), orphan].contains(&process.pid);
    within(Duration::from_secs(1), || program.process_tree().iter().all(ended));
    let clean = within(TIMEOUT, || oracles::zombies(&program.process_tree()).is_empty());
    if clean {
        return Ok(());
    }
    let zombies = oracles::zombies(&program.process_tree());
    let observed =
        format!("pid {zombies:?} is a zombie of pid {}; {}", program.pid(), program.describe());
    fail("the process between the two to be waited for", observed)
}
