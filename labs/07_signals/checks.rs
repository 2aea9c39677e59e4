//! Signals that come at the worst moment, on purpose.
//!
//! What a program waits for is an event that the check has brought about already. It has missed it when it sleeps, and goes
//! on sleeping, for longer than it ever has to: so a finding rarely needs a deadline, and a slow machine makes none.

use crate::context::{Check, Program, Stop, TIMEOUT, TestContext, UNWRITTEN, Verdict, fail, quote};
use harness::oracles::{self, SleepWatch};
use harness::proc;
use harness::wait::{pause, within};
use nix::sys::signal::Signal;
use std::fs;
use std::path::PathBuf;
use std::time::{Duration, Instant};

pub(crate) const CHECKS: &[(&str, Check)] = &[
    ("wait.woken", woken),
    ("wait.not_lost", not_lost),
    ("wait.looks_again", looks_again),
    ("wait.sleeps", sleeps),
    ("wait.mask", mask),
    ("read.answers", answers),
    ("read.no_alarm_left", no_alarm_left),
    ("read.rings_early", rings_early),
    ("limit.outcomes", outcomes),
    ("limit.asked_first", asked_first),
    ("limit.nothing_left", nothing_left),
    ("limit.clean_start", clean_start),
    ("limit.interrupted", interrupted),
    ("stop.idle", idle),
    ("stop.report", report),
    ("stop.not_lost", stop_not_lost),
    ("stop.in_hand", in_hand),
    ("stop.twice", twice),
    ("handler.print", print),
    ("handler.memory", memory),
    ("handler.flood", flood),
];

/// Who sleeps for so long, without a break, sleeps for good, if nothing is due later.
const QUIET: Duration = Duration::from_millis(300);

/// What is said of it.
const ASLEEP: &str = "it sleeps and will not wake";

fn start(context: &TestContext, words: &[&str]) -> Verdict<Program> {
    context.program("signals").args(words).start()
}

/// The next line, unless the program ends before, or sleeps for good.
fn next_line(program: &mut Program, what: &str) -> Verdict<String> {
    next_line_within(program, what, QUIET)
}

/// The same for a program that may have a reason to sleep for nearly as long as `quiet`.
fn next_line_within(program: &mut Program, what: &str, quiet: Duration) -> Verdict<String> {
    next_line_by(program, what, quiet, TIMEOUT)
}

/// The same, from a program that works for as long as `timeout`, if every core is somebody else's for much of the time.
fn next_line_by(
    program: &mut Program,
    what: &str,
    quiet: Duration,
    timeout: Duration,
) -> Verdict<String> {
    let begun = Instant::now();
    let mut watch = SleepWatch::new(program.pid());
    loop {
        let over = program.try_wait()?.is_some();
        if let Some(line) = program.read_line_within(Duration::from_millis(10))? {
            return Ok(line);
        }
        if over {
            return fail(what, program.describe());
        }
        if watch.sample() > quiet && all_asleep(program) {
            return fail(what, format!("{ASLEEP}; {}", program.describe()));
        }
        if begun.elapsed() > timeout {
            return fail(what, program.describe());
        }
    }
}

/// Whether the program and all that it has begun sleep, or have ended: so it does not wait for somebody who is only slow.
fn all_asleep(program: &Program) -> bool {
    let family = program.process_tree();
    family.iter().all(|process| process.state == 'Z' || proc::asleep(process.pid))
}

/// The next line must be this one.
fn expect(program: &mut Program, line: &str, what: &str) -> Verdict {
    let what = format!("`{line}`: {what}");
    let said = next_line(program, &what)?;
    if said == line { Ok(()) } else { fail(what, quote(&said)) }
}

/// Adds to a finding what the check knows about it.
fn explain<T>(verdict: Verdict<T>, why: impl FnOnce() -> String) -> Verdict<T> {
    explain_if(verdict, |_| true, why)
}

/// Adds to a finding what it means if the program sleeps for good.
fn explain_sleep<T>(verdict: Verdict<T>, why: &str) -> Verdict<T> {
    explain_if(verdict, |observed| observed.starts_with(ASLEEP), || why.to_owned())
}

fn explain_if<T>(
    verdict: Verdict<T>,
    wanted: impl FnOnce(&str) -> bool,
    why: impl FnOnce() -> String,
) -> Verdict<T> {
    verdict.map_err(|stop| {
        stop.map_finding(|finding| {
            if !finding.observed.starts_with(UNWRITTEN) && wanted(&finding.observed) {
                finding.observed = format!("{}; {}", why(), finding.observed);
            }
        })
    })
}

/// Sends a signal, and waits until it has arrived: a handler has taken it, or it is blocked and waits to be taken.
fn send_signal(program: &Program, signal: Signal) -> Verdict {
    program.signal(signal);
    let arrived = || {
        proc::signals(program.pid()).is_none_or(|signals| {
            !signals.pending.contains(signal as i32) || signals.blocked.contains(signal as i32)
        }) || has_ended(program)
    };
    match within(TIMEOUT, arrived) {
        true => Ok(()),
        false => Err(Stop::GraderError(format!("{signal} could not be delivered in time"))),
    }
}

/// Describes the state of a signal in a program.
fn describe_signal(program: &Program, signal: Signal) -> String {
    let Some(signals) = proc::signals(program.pid()) else {
        return format!("{signal} was sent, and the program is gone");
    };
    let number = signal as i32;
    let way = match () {
        () if signals.blocked.contains(number) => "blocked",
        () if signals.caught.contains(number) => "caught by a handler",
        () if signals.ignored.contains(number) => "ignored",
        () => "left to its default action",
    };
    let pending =
        if signals.pending.contains(number) { "still pending" } else { "no longer pending" };
    format!("{signal} was sent; it is {way} and {pending}")
}

/// The names of the ordinary signals in a set.
fn names(set: proc::SignalSet) -> String {
    let signals = Signal::iterator().filter(|signal| set.contains(*signal as i32));
    signals.map(Signal::as_str).collect::<Vec<_>>().join(", ")
}

/// Whether a program has ended, and nobody has asked how.
fn has_ended(program: &Program) -> bool {
    proc::process(program.pid()).is_none_or(|process| process.state == 'Z')
}

/// Waits until a program sleeps, and has nothing more to do for the moment. One that is gone, or that never sleeps, is
/// for others to find.
fn wait_until_asleep(program: &Program) {
    let mut watch = SleepWatch::new(program.pid());
    let asleep = Duration::from_millis(30);
    within(Duration::from_secs(1), || watch.sample() > asleep || has_ended(program));
}

// wait

const LOOKED: &str = "looked: not there";

/// A program that has looked for the file once, in vain, and has not yet gone on.
fn start_waiting(context: &TestContext) -> Verdict<(Program, PathBuf)> {
    let mut program = start(context, &["wait", "file"])?;
    expect(&mut program, "begun", "the program to begin")?;
    program.write("\n")?;
    expect(&mut program, LOOKED, "a look before the first wait")?;
    Ok((program, context.directory().join("file")))
}

/// Lets the program go on after a look that found the file, to its end.
fn expect_found(program: &mut Program) -> Verdict {
    expect(program, "looked: there", "another look after the signal")?;
    program.write("\n")?;
    expect(program, "come", "an end of the wait when the file is there")
}

fn woken(context: &TestContext) -> Verdict {
    let (mut program, file) = start_waiting(context)?;
    program.write("\n")?;
    wait_until_asleep(&program);
    fs::write(file, "")?;
    send_signal(&program, Signal::SIGUSR1)?;
    let verdict = expect_found(&mut program);
    explain(verdict, || describe_signal(&program, Signal::SIGUSR1))
}

fn not_lost(context: &TestContext) -> Verdict {
    let (mut program, file) = start_waiting(context)?;
    // It has seen that there is no file, and does not wait yet.
    fs::write(file, "")?;
    send_signal(&program, Signal::SIGUSR1)?;
    program.write("\n")?;
    let why = "it came after the look and before the wait, and was lost";
    let verdict = explain_sleep(expect_found(&mut program), why);
    explain(verdict, || describe_signal(&program, Signal::SIGUSR1))
}

fn looks_again(context: &TestContext) -> Verdict {
    let (mut program, file) = start_waiting(context)?;
    program.write("\n")?;
    for _ in 0..2 {
        wait_until_asleep(&program);
        send_signal(&program, Signal::SIGUSR1)?;
        let said = next_line(&mut program, "another look after each signal")?;
        if said != LOOKED {
            let observed = format!("{}: it did not look, and there is no file", quote(&said));
            return fail("another look after each signal", observed);
        }
        program.write("\n")?;
    }
    fs::write(file, "")?;
    wait_until_asleep(&program);
    send_signal(&program, Signal::SIGUSR1)?;
    expect_found(&mut program)
}

fn sleeps(context: &TestContext) -> Verdict {
    let (mut program, _) = start_waiting(context)?;
    program.write("\n")?;
    wait_until_asleep(&program);
    let window = Duration::from_millis(150);
    let what = "no look and no work as long as no signal comes";
    let begun = Instant::now();
    let early = program.read_line_within(window)?;
    if let Some(said) = early {
        let observed =
            format!("{} {:.0?} later, and nobody had sent a signal", quote(&said), begun.elapsed());
        return fail(what, observed);
    }
    let busy = oracles::busy_throughout(|| program.process_tree(), window, Duration::from_secs(1));
    if program.try_wait()?.is_some() {
        return fail(what, program.describe());
    }
    match busy {
        None => Ok(()),
        Some(ready) => {
            fail(what, format!("for {ready:.0?} of {window:.0?} it ran, or waited for a core"))
        }
    }
}

fn mask(context: &TestContext) -> Verdict {
    let mut program = start(context, &["wait", "file"])?;
    expect(&mut program, "begun", "the program to begin")?;
    let blocked = |program: &Program| proc::signals(program.pid()).map(|signals| signals.blocked);
    let before = blocked(&program);
    fs::write(context.directory().join("file"), "")?;
    program.write("\n")?;
    expect_found(&mut program)?;
    match (before, blocked(&program)) {
        (Some(before), Some(after)) if before == after => Ok(()),
        (Some(before), Some(after)) => {
            let show = |set| format!("{{{}}}", names(set));
            let expected = format!("the same signals to be blocked as before: {}", show(before));
            fail(expected, format!("SigBlk of pid {}: {}", program.pid(), show(after)))
        }
        _ => fail("the program to live until Enter", program.describe()),
    }
}

// read

fn answers(context: &TestContext) -> Verdict {
    let mut program = start(context, &["read", "60s"])?;
    program.write("in time\n")?;
    expect(&mut program, "read in time", "what came in time")?;
    drop(program);
    let mut program = start(context, &["read", "100ms"])?;
    let verdict =
        expect(&mut program, "too late 1", "an end of the wait when the limit has passed");
    explain(verdict, || "nothing to read came for 100 ms, and for some time more".into())
}

fn no_alarm_left(context: &TestContext) -> Verdict {
    for millis in [120, 2000] {
        let begun = Instant::now();
        let mut program = start(context, &["read", &format!("{millis}ms")])?;
        program.write("x\n")?;
        let what = "`read x`: what came in time";
        let said = next_line(&mut program, what)?;
        if said == "too late 1" && begun.elapsed() > Duration::from_millis(millis) {
            continue; // and so it was: the machine is busy
        }
        if said != "read x" {
            return fail(what, quote(&said));
        }
        expect(&mut program, "too late 0", "what came in time is not late")?;
        // The limit passes while the program does its later work.
        let (heard, passed) = (Instant::now(), Duration::from_millis(millis + 20));
        while heard.elapsed() < passed && !has_ended(&program) {
            pause(Duration::from_millis(5));
        }
        if !has_ended(&program) {
            program.write("y\n")?;
        }
        let what = "`later work y`: the work after the read, not disturbed by its time limit";
        let why = || "the read ended in time, and the alarm that was set for it rang later".into();
        let ended = |observed: &str| !observed.starts_with(ASLEEP);
        let said = explain_if(next_line(&mut program, what), ended, why)?;
        return if said == "later work y" { Ok(()) } else { fail(what, quote(&said)) };
    }
    Err(Stop::GraderError("nothing could be read within two seconds".into()))
}

fn rings_early(context: &TestContext) -> Verdict {
    const TIMES: u32 = 200;
    for time in ["1us", "5us", "20us", "60us"] {
        let mut program = start(context, &["read", time, &TIMES.to_string()])?;
        let what = format!("{TIMES} reads to give up when nothing comes, after {time} each");
        let why = "an alarm rang before the read began to wait, and it rings only once";
        // Each of them is woken, and so waits for a core.
        let said = explain_sleep(next_line_by(&mut program, &what, QUIET, 2 * TIMEOUT), why)?;
        if said != format!("too late {TIMES}") {
            return fail(what, quote(&said));
        }
    }
    Ok(())
}

// limit

/// Runs a command and gives what the program says of it, and the program, which waits for Enter.
fn limit(context: &TestContext, words: &[&str], what: &str) -> Verdict<(Program, String)> {
    let mut program = start(context, &[&["limit"], words].concat())?;
    let said = next_line(&mut program, what)?;
    Ok((program, said))
}

fn outcomes(context: &TestContext) -> Verdict {
    for (script, wanted) in [("exit 3", "exit 3"), ("kill -9 $$", "killed 9")] {
        let what = format!("`{wanted}`, soon after the command has ended");
        let command = ["60s", "sh", "-c", script];
        let (_, said) = explain(limit(context, &command, &what), || {
            format!("the command `{script}` has a limit of 60 s and ends at once")
        })?;
        if said != wanted {
            return fail(what, quote(&said));
        }
    }
    let what = "`timed out`, when the limit has passed";
    let (_, said) = limit(context, &["100ms", "sleep", "1000"], what)?;
    if said == "timed out" { Ok(()) } else { fail(what, quote(&said)) }
}

/// A command that will have to be ended, after the first line that it prints: then it has got so far that it can take
/// SIGTERM. And for how long the program may sleep while it waits for it.
fn start_endless(context: &TestContext, script: &str) -> Verdict<(Program, String, Duration)> {
    for millis in [100, 2000] {
        let mut program = start(context, &["limit", &format!("{millis}ms"), "sh", "-c", script])?;
        let timeout = Duration::from_millis(millis + 900);
        let said = next_line_within(&mut program, "the first line that a command prints", timeout)?;
        if said != "timed out" {
            return Ok((program, said, timeout));
        }
        // The shell has printed nothing within this time: once more, with more of it.
    }
    fail("a line that the command prints at once", "`timed out` after 2 s, and nothing before")
}

/// The line with which a command says that it is ready to be ended.
fn expect_begun(said: &str) -> Verdict {
    if said == "begun" { Ok(()) } else { fail("`begun`, printed by the command", quote(said)) }
}

fn asked_first(context: &TestContext) -> Verdict {
    // This one tidies up when it is asked to end. How long that takes depends on the machine, so it may try again.
    let tidy = "trap 'echo tidied; exit 0' TERM; echo begun; while :; do sleep 0.02; done";
    let what = "`tidied`, printed by the command, which wants to tidy up when SIGTERM comes";
    let mut attempt = 1;
    loop {
        let (mut program, said, timeout) = start_endless(context, tidy)?;
        expect_begun(&said)?;
        let said = next_line_within(&mut program, what, timeout)?;
        if said == "tidied" {
            break;
        }
        if attempt == 3 {
            let observed = format!("{}: the command was killed before it could", quote(&said));
            return fail(what, observed);
        }
        attempt += 1;
    }
    // This one does not care for SIGTERM.
    let stubborn = "trap '' TERM; echo begun; while :; do sleep 0.02; done";
    let what = "`timed out`: a command that ignores SIGTERM to be killed after a while";
    let (mut program, said, timeout) = start_endless(context, stubborn)?;
    expect_begun(&said)?;
    let said = next_line_within(&mut program, what, timeout)?;
    if said == "timed out" { Ok(()) } else { fail(what, quote(&said)) }
}

fn nothing_left(context: &TestContext) -> Verdict {
    let (mut program, said, timeout) = start_endless(context, "sleep 1000 & echo $!; wait")?;
    let Ok(grandchild) = said.parse::<i32>() else {
        return fail("the number of a process that the command has begun", quote(&said));
    };
    let what = "`timed out`: an end when the limit has passed";
    let said = next_line_within(&mut program, what, timeout)?;
    if said != "timed out" {
        return fail(what, quote(&said));
    }
    let alive = || proc::process(grandchild).is_some_and(|process| process.state != 'Z');
    if !within(TIMEOUT, || !alive()) {
        let observed = format!(
            "the shell is gone, but pid {grandchild}, which it had begun, lives on: its group was not signalled"
        );
        return fail("nobody to be left of a command that was ended", observed);
    }
    if let Some(zombie) = oracles::zombies(&program.process_tree()).first() {
        let observed = format!("pid {zombie} is a zombie of pid {}", program.pid());
        return fail("a command that was ended to be waited for", observed);
    }
    Ok(())
}

fn clean_start(context: &TestContext) -> Verdict {
    // A copy of the program that shows its own signals, and then a command in the place of the copy.
    for command in [&["self"][..], &["cat", "/proc/self/status"]] {
        let what = format!("the signals of the child `{}`", command.join(" "));
        let mut program = start(context, &[&["limit", "60s"], command].concat())?;
        let mut status = String::new();
        loop {
            let line = next_line(&mut program, &what)?;
            if line == "exit 0" {
                break;
            }
            status += &format!("{line}\n");
        }
        let Some(signals) = proc::signals_in(&status) else {
            return fail(what, quote(&status));
        };
        // Of no concern here: the two by which the runtime of Rust learns that a stack is full.
        let own = |signal: &Signal| matches!(signal, Signal::SIGSEGV | Signal::SIGBUS);
        let mut wrong = Vec::new();
        for signal in Signal::iterator().filter(|signal| !own(signal)) {
            let number = signal as i32;
            let sets = [
                (signals.blocked, "blocked"),
                (signals.ignored, "ignored"),
                (signals.caught, "caught by a handler of the program that began it"),
            ];
            let ways = sets.iter().filter(|(set, _)| set.contains(number));
            wrong.extend(ways.map(|(_, way)| format!("{signal} is {way}")));
        }
        if !wrong.is_empty() {
            let expected =
                format!("no signal to be blocked, ignored or caught in `{}`", command.join(" "));
            return fail(expected, format!("inherited through fork: {}", wrong.join(", ")));
        }
    }
    Ok(())
}

fn interrupted(context: &TestContext) -> Verdict {
    // cat ends when its input does, and the program is interrupted before.
    let mut program = start(context, &["limit", "60s", "cat"])?;
    program.write("begun\n")?;
    expect(&mut program, "begun", "what `cat` prints")?;
    wait_until_asleep(&program);
    let times = 3;
    for _ in 0..times {
        send_signal(&program, Signal::SIGUSR1)?;
        wait_until_asleep(&program);
    }
    program.close_stdin();
    let verdict = expect(&mut program, "exit 0", "what became of `cat` after a limit of 60 s");
    explain(verdict, || format!("SIGUSR1 came {times} times while the program waited"))?;
    drop(program);
    // And however often it is interrupted, the limit stays where it is. One that begins anew can pass only when no
    // interruption has come for as long, as where this check does not get to run: that is tried again.
    let mut pause = Duration::ZERO;
    for _ in 0..5 {
        pause = often_interrupted(context)?;
        if pause < LIMIT {
            return Ok(());
        }
    }
    let observed = format!(
        "it came {pause:.0?} after an interruption, and never sooner than {LIMIT:?}: each begins the limit anew"
    );
    fail("`timed out`, 150 ms after the command began", observed)
}

/// How long a command may take that is interrupted again and again.
const LIMIT: Duration = Duration::from_millis(150);

/// Interrupts a program again and again until its time limit has passed; gives how long before that the last interruption but
/// one was.
fn often_interrupted(context: &TestContext) -> Verdict<Duration> {
    let mut program = start(context, &["limit", &format!("{}ms", LIMIT.as_millis()), "cat"])?;
    program.write("begun\n")?;
    expect(&mut program, "begun", "what `cat` prints")?;
    let begun = Instant::now();
    let (mut times, mut last) = (0, [begun; 2]);
    let what = "`timed out`, 150 ms after the command began";
    while begun.elapsed() < TIMEOUT {
        (times, last) = (times + 1, [last[1], Instant::now()]);
        send_signal(&program, Signal::SIGUSR1)?;
        match program.read_line_within(Duration::from_millis(20))? {
            Some(said) if said == "timed out" => return Ok(last[0].elapsed()),
            Some(said) => return fail(what, quote(&said)),
            None if program.try_wait()?.is_some() => return fail(what, program.describe()),
            None => {}
        }
    }
    let observed = format!(
        "nothing for {:.1?}, in which SIGUSR1 came {times} times: each begins the limit anew; {}",
        begun.elapsed(),
        program.describe()
    );
    fail(what, observed)
}

// stop and handler

/// A server that waits for its first request.
fn server(context: &TestContext) -> Verdict<Program> {
    let mut program = start(context, &["serve"])?;
    expect(&mut program, "ready", "the handlers to be installed")?;
    Ok(program)
}

/// It says that it has served so many, and ends in order.
fn expect_bye(program: &mut Program, served: usize) -> Verdict {
    expect(program, &format!("bye {served}"), "the end of the work")?;
    let what = "exit code 0 after the work has ended";
    let status = program.wait(what, TIMEOUT)?;
    if status.success() { Ok(()) } else { fail(what, program.describe()) }
}

/// Half of a request is in the server's hand.
fn send_half(program: &mut Program) -> Verdict {
    program.write("store 10\n01234")?;
    expect(program, "begun 10", "the request to be taken in hand")?;
    wait_until_asleep(program);
    Ok(())
}

fn idle(context: &TestContext) -> Verdict {
    let mut program = server(context)?;
    wait_until_asleep(&program);
    send_signal(&program, Signal::SIGTERM)?;
    let verdict = expect_bye(&mut program, 0);
    explain(verdict, || {
        format!("{} while no request was in hand", describe_signal(&program, Signal::SIGTERM))
    })
}

fn report(context: &TestContext) -> Verdict {
    let mut program = server(context)?;
    let mut served = 0;
    for _ in 0..2 {
        wait_until_asleep(&program);
        send_signal(&program, Signal::SIGUSR1)?;
        let line = format!("served {served}");
        let verdict = expect(&mut program, &line, "a report after SIGUSR1");
        explain(verdict, || describe_signal(&program, Signal::SIGUSR1))?;
        program.write("store 3\nabc")?;
        expect(&mut program, "begun 3", "the work to go on after a report")?;
        expect(&mut program, "stored 3", "the work to go on after a report")?;
        served += 1;
    }
    program.close_stdin();
    expect_bye(&mut program, served)
}

fn stop_not_lost(context: &TestContext) -> Verdict {
    let mut program = server(context)?;
    program.write("late\n")?;
    expect(&mut program, "late", "the request to be served")?;
    wait_until_asleep(&program);
    // Who reads before there is anything to read waits now, and the signal has come just before.
    let early = program.read_line_within(Duration::from_millis(20))?.is_some();
    if !early {
        program.write("\n")?;
        expect(&mut program, "SIGTERM comes now", "a step when there is input")?;
    }
    let why = "it came after the last look at whether to stop, and before the read, and was lost";
    let verdict = explain_sleep(expect_bye(&mut program, 1), why);
    explain(verdict, || describe_signal(&program, Signal::SIGTERM))
}

fn in_hand(context: &TestContext) -> Verdict {
    let mut program = server(context)?;
    send_half(&mut program)?;
    send_signal(&program, Signal::SIGTERM)?;
    wait_until_asleep(&program);
    let what = "the request in hand to be finished after SIGTERM";
    if let Some(said) = program.read_line_within(Duration::from_millis(20))? {
        let observed = format!("{} when 5 bytes of 10 had come: the request is lost", quote(&said));
        return fail(what, observed);
    }
    if program.try_wait()?.is_some() {
        let observed =
            format!("{} when 5 bytes of 10 had come: the request is lost", program.describe());
        return fail(what, observed);
    }
    // The rest of it, and another that is already there.
    program.write("56789store 3\nabc")?;
    expect(&mut program, "stored 10", what)?;
    let verdict = expect_bye(&mut program, 1);
    explain(verdict, || {
        "SIGTERM came while the first request was in hand, and another was there already".into()
    })
}

fn twice(context: &TestContext) -> Verdict {
    let mut program = server(context)?;
    send_half(&mut program)?;
    let what = "a second SIGTERM to change nothing";
    for time in ["first", "second"] {
        send_signal(&program, Signal::SIGTERM)?;
        wait_until_asleep(&program);
        if program.try_wait()?.is_some() {
            let observed =
                format!("after the {time} SIGTERM, with a request in hand, {}", program.describe());
            return fail(what, observed);
        }
    }
    program.write("56789")?;
    expect(&mut program, "stored 10", "the request in hand to be finished")?;
    expect_bye(&mut program, 1)
}

fn print(context: &TestContext) -> Verdict {
    const LINES: usize = 800;
    let print = ("print", format!("printed {LINES}"), "standard output");
    let log = ("log", format!("logged {LINES}"), "standard error");
    for (request, done, stream) in [print, log] {
        let mut program = server(context)?;
        program.write(format!("{request} {LINES}\n"))?;
        // Nobody reads, so the pipe is full before all is written: it waits, and has the stream in its hands.
        wait_until_asleep(&program);
        send_signal(&program, Signal::SIGUSR1)?;
        let what = format!("{LINES} lines and then the report, though SIGUSR1 came between them");
        let why = || {
            format!(
                "SIGUSR1 came while the program was writing, and had {stream} locked: a handler must not print"
            )
        };
        let mut lines = 0;
        loop {
            let said = explain(next_line(&mut program, &what), why)?;
            if said == done {
                break;
            }
            if said != format!("{lines:08} {:.<90}", "") {
                return explain(fail(what, format!("after {lines} lines {}", quote(&said))), why);
            }
            lines += 1;
        }
        explain(expect(&mut program, "served 1", "the report after SIGUSR1"), why)?;
    }
    Ok(())
}

/// Sends a request during which signals come, and expects its answer and an orderly end.
fn signal_during(context: &TestContext, request: &str, answer: &str, why: &str) -> Verdict {
    let mut program = server(context)?;
    program.write(format!("{request}\n"))?;
    let go_on = |program: &mut Program| -> Verdict {
        let mut said = next_line(program, &format!("`{answer}` and a report"))?;
        if said != answer {
            return fail(format!("`{answer}`"), quote(&said));
        }
        said = next_line(program, "a report after SIGUSR1")?;
        if said != "served 1" {
            return fail("`served 1`", quote(&said));
        }
        Ok(())
    };
    explain(go_on(&mut program), || why.to_owned())?;
    program.close_stdin();
    let what = "an end with the end of the input";
    let status = program.wait(what, TIMEOUT)?;
    if status.success() { Ok(()) } else { fail(what, program.describe()) }
}

fn memory(context: &TestContext) -> Verdict {
    let why = "SIGUSR1 came in the midst of an allocation, as it may";
    signal_during(context, "memory 200", "remembered 200", why)
}

fn flood(context: &TestContext) -> Verdict {
    let why = "SIGUSR1 came 70000 times within one request, and a pipe that nobody reads meanwhile holds 65536 bytes";
    signal_during(context, "flood 70000", "flooded 70000", why)
}
