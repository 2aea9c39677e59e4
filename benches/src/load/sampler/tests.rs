use super::*;
use crate::control_group::ControlGroup;
use crate::procfs::KERNEL_STACK;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};

/// A script that ends when its standard input does, which says so when it is ready.
fn python(script: &str) -> Option<Child> {
    use io::BufRead;
    let mut child = Command::new("python3")
        .args(["-c", script])
        // Of its own, so that nobody's orphans but its own are taken for its.
        .process_group(0)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .ok()?;
    let mut line = String::new();
    io::BufReader::new(child.stdout.take()?).read_line(&mut line).ok()?;
    (line == "ready\n").then_some(child)
}

fn samples_of(child: &Child, count: usize) -> Vec<Sample> {
    let mut probe = Probe::new(Pid::from_child(child)).unwrap();
    (0..count).map(|at| probe.sample(at as f64, Scope::All)).collect()
}

fn end(mut child: Child) {
    drop(child.stdin.take());
    child.wait().unwrap();
}

#[test]
fn threads_and_descriptors() {
    let script = "import threading, sys, os\n\
        e = threading.Event()\n\
        for _ in range(6): threading.Thread(target=e.wait, daemon=True).start()\n\
        kept = [os.open('/dev/null', os.O_RDONLY) for _ in range(20)]\n\
        print('ready', flush=True); sys.stdin.read()";
    let Some(child) = python(script) else { return };
    let sample = samples_of(&child, 1)[0];
    assert_eq!((sample.processes, sample.threads, sample.zombies), (1, 7, 0), "{sample:?}");
    assert_eq!(sample.kernel_stacks, 7 * KERNEL_STACK);
    assert!((23..40).contains(&sample.descriptors), "{sample:?}");
    assert!(sample.pss > 1 << 20 && sample.rss >= sample.pss, "{sample:?}");
    assert!(sample.page_tables > 0 && sample.minor_faults > 0, "{sample:?}");
    assert!(sample.voluntary > 0, "{sample:?}");
    end(child);
}

#[test]
fn children_and_zombies() {
    let script = "import os, sys\n\
        for _ in range(3):\n\
        \x20   if os.fork() == 0: sys.stdin.read(); os._exit(0)\n\
        dead = [os.fork() or os._exit(0) for _ in range(2)]\n\
        for pid in dead: os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)\n\
        print('ready', flush=True); sys.stdin.read()";
    let Some(child) = python(script) else { return };
    let sample = samples_of(&child, 1)[0];
    assert_eq!((sample.processes, sample.zombies), (4, 2), "{sample:?}");
    end(child);
}

/// A child that is waited for, one that is not, and one that was forked in two steps.
#[test]
fn ended_processes_keep_their_usage() {
    for how in ["wait", "ignore", "double"] {
        let script = format!(
            "import os, sys, signal, time\n\
             def burn():\n\
             \x20   while time.process_time() < 0.3: pass\n\
             \x20   os.write(w, b'x'); os.read(r2, 1)\n\
             how = '{how}'\n\
             r, w = os.pipe(); r2, w2 = os.pipe()\n\
             if how == 'ignore': signal.signal(signal.SIGCHLD, signal.SIG_IGN)\n\
             pid = os.fork()\n\
             if pid == 0:\n\
             \x20   if how == 'double' and os.fork() != 0: os._exit(0)\n\
             \x20   burn(); os.write(w, b'y'); os._exit(0)\n\
             os.read(r, 1)\n\
             if how == 'double': os.waitpid(pid, 0)\n\
             print('ready', flush=True); sys.stdin.readline(); os.write(w2, b'x')\n\
             os.read(r, 1)\n\
             if how == 'wait': os.waitpid(pid, 0)\n\
             if how != 'wait':\n\
             \x20   while os.path.exists(f'/proc/{{pid}}'): time.sleep(0.01)\n\
             print('done', flush=True); sys.stdin.read()"
        );
        let mut child = Command::new("python3")
            .args(["-c", &script])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn();
        let Ok(child) = &mut child else { return };
        let mut output = io::BufReader::new(child.stdout.take().unwrap());
        let mut line = String::new();
        io::BufRead::read_line(&mut output, &mut line).unwrap();
        assert_eq!(line, "ready\n");
        let mut probe = Probe::new(Pid::from_child(child)).unwrap();
        let before = probe.sample(0.0, Scope::All);
        assert_eq!(before.processes, 2, "{how}: {before:?}");
        assert!(before.user + before.system >= 0.25, "{how}: {before:?}");
        let mut input = child.stdin.take().unwrap();
        io::Write::write_all(&mut input, b"go\n").unwrap();
        io::BufRead::read_line(&mut output, &mut line).unwrap();
        let after = probe.sample(1.0, Scope::All);
        assert!(after.user + after.system >= before.user + before.system, "{how}: {after:?}");
        assert!(after.voluntary >= before.voluntary, "{how}: {after:?}");
        assert!(after.minor_faults >= before.minor_faults, "{how}: {after:?}");
        drop(input);
        child.wait().unwrap();
        // Of two steps, the second process was nobody's to wait for: it may still be on its way out.
        let mut gone = probe.sample(2.0, Scope::All);
        harness::wait::within(harness::wait::TIMEOUT, || {
            gone = probe.sample(2.0, Scope::All);
            gone.processes == 0
        });
        assert_eq!((gone.processes, gone.threads), (0, 0), "{how}: {gone:?}");
        assert!(gone.user + gone.system >= after.user + after.system, "{how}: {gone:?}");
    }
}

#[test]
fn costly_samples_are_taken_less_often() {
    let mut child = Command::new("cat").stdin(Stdio::piped()).spawn().unwrap();
    let mut probe = Probe::new(Pid::from_child(&child)).unwrap();
    assert_eq!(probe.period(), PERIOD, "before the first sample");
    probe.cost = Duration::from_millis(20);
    assert_eq!(probe.period(), Duration::from_secs(2));
    drop(child.stdin.take());
    child.wait().unwrap();
}

#[test]
fn requested_sample_is_taken_at_once() {
    let mut child = Command::new("cat").stdin(Stdio::piped()).spawn().unwrap();
    let sampler = Sampler::start(Pid::from_child(&child), Placement::Unpinned).unwrap();
    let first = sampler.latest().unwrap();
    assert!(first.pss > 0);
    for _ in 0..3 {
        let before = sampler.latest().unwrap().at;
        sampler.sample_all_now();
        assert!(sampler.latest().unwrap().at > before);
    }
    drop(sampler);
    drop(child.stdin.take());
    child.wait().unwrap();
}

#[test]
fn time_axis_starts_at_origin() {
    let mut child = Command::new("cat").stdin(Stdio::piped()).spawn().unwrap();
    // Before the watch, whose own times begin a moment later.
    let begin = Instant::now();
    let sampler = Sampler::start(Pid::from_child(&child), Placement::Unpinned).unwrap();
    // Until the last look, which is one that is asked for, cannot be taken for one that was asked for at the beginning.
    let patience = harness::wait::TIMEOUT;
    let late = || sampler.latest().is_some_and(|sample| sample.at > 0.35);
    assert!(harness::wait::within(patience, late));
    let series = sampler.finish(begin + Duration::from_millis(150));
    assert!(series.samples.len() >= 2, "{series:?}");
    let times: Vec<f64> = series.samples.iter().map(|sample| sample.at).collect();
    assert!(times.is_sorted(), "{times:?}");
    assert!(times[0] <= 0.0 && times[1] > 0.0, "{times:?}");
    assert_eq!(series.first.processes, 1);
    assert!(series.cpu_share() > 0.0);
    drop(child.stdin.take());
    child.wait().unwrap();
    assert!(Sampler::start(Pid::from_child(&child), Placement::Unpinned).is_err());
}

/// Forks children that end at once, until they have used so much CPU time together; `join` is a line of the shell that
/// comes first. Returns the share of system time, the part of the whole that has no known split, and whether it is shown.
fn short_lived(join: &str, command: impl FnOnce(&mut Command)) -> Option<(f64, f64, f64)> {
    let script = "import os, sys, resource\n\
        print('ready', flush=True); sys.stdin.readline()\n\
        def used(): r = resource.getrusage(resource.RUSAGE_CHILDREN); return r.ru_utime + r.ru_stime\n\
        while used() < 0.6:\n\
        \x20   for _ in range(20):\n\
        \x20       pid = os.fork()\n\
        \x20       if pid == 0: os._exit(0)\n\
        \x20       os.waitpid(pid, 0)\n\
        print('done', flush=True); sys.stdin.read()";
    let mut shell = Command::new("sh");
    shell.args(["-c", &format!("{join}exec python3 -c \"$1\""), "sh", script]);
    command(&mut shell);
    let mut child = shell.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().ok()?;
    let mut output = io::BufReader::new(child.stdout.take()?);
    let mut line = String::new();
    io::BufRead::read_line(&mut output, &mut line).ok()?;
    if line != "ready\n" {
        return None;
    }
    let mut probe = Probe::new(Pid::from_child(&child)).unwrap();
    let first = probe.sample(0.0, Scope::All);
    io::Write::write_all(child.stdin.as_mut()?, b"go\n").unwrap();
    io::BufRead::read_line(&mut output, &mut line).unwrap();
    let last = probe.sample(1.0, Scope::All);
    end(child);
    let (user, system) = (last.user - first.user, last.system - first.system);
    let total = user + system;
    assert!((0.5..60.0).contains(&total), "{first:?} {last:?}");
    Some((system / total, (last.unsplit - first.unsplit) / total, total))
}

#[test]
fn short_lived_processes_are_not_split() {
    let Some((_, unsplit, _)) = short_lived("", |_| {}) else { return };
    assert!(unsplit > 0.3, "{unsplit}");
}

#[test]
fn control_group_counts_short_lived_processes() {
    let run = || {
        let group = ControlGroup::create()?;
        short_lived("echo 0 >\"$MEASURED_IN\"; ", |command| group.mark(command))
    };
    let Some(runs) = (0..3).map(|_| run()).collect::<Option<Vec<_>>>() else {
        return eprintln!("SKIPPED: no control group of version 2 can be made here");
    };
    let shares: Vec<f64> = runs.iter().map(|(share, ..)| *share).collect();
    let least = shares.iter().copied().fold(1.0, f64::min);
    let most = shares.iter().copied().fold(0.0, f64::max);
    assert!(most - least < 0.2, "the shares of system time differ: {shares:?}");
    // A process that forks is in the kernel for most of the time.
    assert!(least > 0.5, "{shares:?}");
    assert!(runs.iter().all(|(_, unsplit, _)| *unsplit == 0.0), "{runs:?}");
}
