//! Ctrl-C at a terminal, which reaches the whole foreground process group, and SIGTERM.

use crate::fake::{Fake, Faults};
use benches::load::recording::Recording;
use benches::load::report::json;
use benches::load::workload::Workload;
use harness::wait::{eventually, pause};
use rustix::process::{Pid, Signal, kill_process, kill_process_group};
use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::Ordering;
use std::time::Duration;
use tempfile::TempDir;

/// The program in a process group of its own, as a shell starts it at a terminal, with a directory for temporary files
/// and one for reports.
struct Foreground {
    child: Child,
    temporary: TempDir,
    directory: TempDir,
}

impl Foreground {
    fn start(program: &str, args: &[&str]) -> Foreground {
        let (temporary, directory) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let child = Command::new(program)
            .args(args)
            .process_group(0)
            .env("TMPDIR", temporary.path())
            .current_dir(directory.path())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        Foreground { child, temporary, directory }
    }

    fn loadgen(args: &[&str]) -> Foreground {
        Foreground::start(env!("CARGO_BIN_EXE_loadgen"), args)
    }

    fn pid(&self) -> Pid {
        Pid::from_child(&self.child)
    }

    /// Presses Ctrl-C.
    fn interrupt(&self) {
        kill_process_group(self.pid(), Signal::INT).unwrap();
    }

    /// Waits for its end, and asserts that no process and no temporary file is left. Returns its exit code, its standard
    /// output and error, and the directory of its reports.
    fn end(mut self) -> (Option<i32>, String, String, TempDir) {
        let pid = self.pid();
        let mut pipes = (self.child.stdout.take().unwrap(), self.child.stderr.take().unwrap());
        let errors = std::thread::spawn(move || std::io::read_to_string(&mut pipes.1).unwrap());
        let stdout = std::io::read_to_string(&mut pipes.0).unwrap();
        let code = self.child.wait().unwrap().code();
        let stderr = errors.join().unwrap();
        eventually("the end of all servers", || tethered(pid).is_empty());
        let left: Vec<_> = fs::read_dir(self.temporary.path()).unwrap().collect();
        assert!(left.is_empty(), "{left:?}\n{stderr}");
        (code, stdout, stderr, std::mem::replace(&mut self.directory, tempfile::tempdir().unwrap()))
    }
}

impl Drop for Foreground {
    fn drop(&mut self) {
        // After a failed assertion; its servers end with it.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The processes that were started by `parent` as measured ones, and their children.
fn tethered(parent: Pid) -> BTreeSet<i32> {
    let mark = format!("TETHERED_TO={}", parent.as_raw_pid());
    let is_marked = |pid: &i32| {
        let environ = fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
        environ.split(|byte| *byte == 0).any(|variable| variable == mark.as_bytes())
    };
    let processes = fs::read_dir("/proc").unwrap().filter_map(Result::ok);
    processes
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .filter(is_marked)
        .collect()
}

/// Waits until the servers of `run` have worked for a while.
fn wait_for_load(run: &Foreground) {
    // In nanoseconds: a child for each of many clients may never use a whole tick.
    let used = |pid: i32| -> u64 {
        let threads = fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten();
        let time = |thread: fs::DirEntry| -> Option<u64> {
            let text = fs::read_to_string(thread.path().join("schedstat")).ok()?;
            text.split(' ').next()?.parse().ok()
        };
        threads.filter_map(time).sum()
    };
    eventually("a server that works", || {
        tethered(run.pid()).into_iter().map(used).sum::<u64>() > 60_000_000
    });
}

#[test]
fn group_interrupt_blames_no_server() {
    for server in ["thread", "fork", "event"] {
        let args = ["--serve", server, "--no-null-run", "--warm-up", "0", "--duration", "600"];
        let run = Foreground::loadgen(&[&args[..], &["--json", "r.json"]].concat());
        wait_for_load(&run);
        run.interrupt();
        let (code, stdout, stderr, directory) = run.end();
        assert_eq!((code, stderr.as_str()), (Some(130), ""), "{stdout}");
        assert!(stdout.contains("interrupted after "), "{stdout}");
        let text = fs::read_to_string(directory.path().join("r.json")).unwrap();
        let recording: Recording = serde_json::from_str(&text).unwrap();
        assert!(recording.errors.is_empty(), "{server}: {:?}", recording.errors);
        assert!(recording.totals.done > 0);
        assert!(recording.invalid[0].starts_with("interrupted after "), "{:?}", recording.invalid);
        assert!(!recording.invalid.iter().any(|why| why.contains("server")));
    }
}

#[test]
fn external_server_run_is_reported() {
    for (signal, expected) in [(Signal::INT, 130), (Signal::TERM, 143)] {
        let fake = Fake::start(&Workload::default(), Faults::default());
        let addr = fake.addr.to_string();
        let args = ["--addr", &addr, "--no-null-run", "--warm-up", "0", "--duration", "600"];
        let run = Foreground::loadgen(&args);
        // One for each of its clients: a client that asks once more has its reply.
        eventually("a reply that was read", || fake.shared.requests.load(Ordering::Relaxed) > 64);
        kill_process(run.pid(), signal).unwrap();
        let (code, stdout, _, _) = run.end();
        assert_eq!(code, Some(expected), "{stdout}");
        assert!(stdout.contains("requests answered"), "{stdout}");
        assert!(stdout.contains("interrupted after "), "{stdout}");
    }
}

#[test]
fn interrupt_in_warm_up_is_marked() {
    let args = ["--serve", "thread", "--no-null-run", "--warm-up", "600", "--json", "r.json"];
    let run = Foreground::loadgen(&args);
    wait_for_load(&run);
    run.interrupt();
    let (code, stdout, _, directory) = run.end();
    assert_eq!(code, Some(130), "{stdout}");
    let text = fs::read_to_string(directory.path().join("r.json")).unwrap();
    let recording: Recording = serde_json::from_str(&text).unwrap();
    assert_eq!(recording.invalid, ["interrupted in the warm-up: nothing was measured"]);
}

#[test]
fn interrupted_steps_are_reported() {
    let args = ["--serve", "pool", "--no-null-run", "--warm-up", "0", "--steps", "16,17,18:600"];
    let run = Foreground::loadgen(&[&args[..], &["--json", "r.json"]].concat());
    wait_for_load(&run);
    run.interrupt();
    let (code, stdout, stderr, directory) = run.end();
    assert_eq!((code, stderr.as_str()), (Some(130), ""), "{stdout}");
    let text = fs::read_to_string(directory.path().join("r.json")).unwrap();
    let comparison = json::read_comparison(&text).unwrap();
    let first = comparison.cases[0].results[0].runs().next().unwrap();
    assert!(first.invalid[0].starts_with("interrupted after ") && first.errors.is_empty());
    assert!(comparison.cases[2].results[0].failure.is_some());
}

#[test]
fn interrupted_comparison_reports_finished_rounds() {
    let args = ["compare", "--serve", "thread,fork", "--case", "get-4k-4,connect-4k"];
    let more = ["--rounds", "1000", "--duration", "0.2", "--warm-up", "0.05", "--html", "p.html"];
    let run = Foreground::loadgen(&[&args[..], &more].concat());
    let mut seen = BTreeSet::new();
    // The children of one fork server end before the next server starts.
    let leaders = |seen: &mut BTreeSet<i32>| {
        let is_leader = |pid: &i32| {
            let group =
                Pid::from_raw(*pid).and_then(|pid| rustix::process::getpgid(Some(pid)).ok());
            group.is_some_and(|group| group.as_raw_pid() == *pid)
        };
        seen.extend(tethered(run.pid()).into_iter().filter(is_leader));
        seen.len()
    };
    eventually("a fifth server", || leaders(&mut seen) >= 5);
    run.interrupt();
    let (code, stdout, stderr, directory) = run.end();
    assert_eq!((code, stderr.as_str()), (Some(130), ""), "{stdout}");
    assert!(stdout.contains("INTERRUPTED after "), "{stdout}");
    let read = |name: &str| fs::read_to_string(directory.path().join(name)).unwrap();
    assert!(read("p.html").contains("INTERRUPTED after "));
    let comparison = json::read_comparison(&read("comparison.json")).unwrap();
    for result in &comparison.cases[0].results {
        assert!(result.runs().count() >= 1 && result.failure.is_none(), "{}", result.server);
        assert!(result.runs().all(|run| run.errors.is_empty()), "{}", result.server);
    }
}

#[test]
fn interrupted_knee_prints_bracket() {
    let args = ["knee", "--serve", "thread", "--duration", "600"];
    let run = Foreground::loadgen(&args);
    wait_for_load(&run);
    run.interrupt();
    let (code, stdout, stderr, _) = run.end();
    assert_eq!((code, stderr.as_str()), (Some(130), ""), "{stdout}");
    assert!(stdout.contains("INTERRUPTED after "), "{stdout}");
}

#[test]
fn interrupted_ipc_bench_is_reported() {
    let args = ["--full", "pipe", "-o", "out"];
    let run = Foreground::start(env!("CARGO_BIN_EXE_ipcbench"), &args);
    let children = || {
        let pid = run.pid().as_raw_pid();
        fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap_or_default()
    };
    let mut seen = BTreeSet::new();
    eventually("a second pair of endpoints", || {
        seen.extend(children().split_whitespace().map(str::to_owned));
        seen.len() >= 4
    });
    run.interrupt();
    let (code, stdout, stderr, directory) = run.end();
    assert_eq!((code, stderr.as_str()), (Some(130), ""), "{stdout}");
    assert!(stdout.contains("INTERRUPTED after ") && !stdout.contains("FAILED"), "{stdout}");
    let json = fs::read_to_string(directory.path().join("out/ipc.json")).unwrap();
    assert!(json.contains("INTERRUPTED after "));
}

/// A server that ignores the request to stop holds the program up, and its child with it.
#[test]
fn second_interrupt_ends_at_once() {
    let directory = tempfile::tempdir().unwrap();
    let script = directory.path().join("stubborn");
    let asked = directory.path().join("asked");
    let text = format!(
        "#!/bin/sh\ntrap 'echo >{}' TERM\necho listening on 127.0.0.1:1\nwhile :; do sleep 600 & wait $!; done\n",
        asked.display()
    );
    fs::write(&script, text).unwrap();
    fs::set_permissions(&script, fs::Permissions::from_mode(0o755)).unwrap();
    let program = format!("stubborn={}", script.display());
    let args = ["compare", "--program", &program, "--case", "get-4k-1", "--html", "p.html"];
    let mut run = Foreground::loadgen(&args);
    eventually("a server that was asked to stop", || asked.exists());
    // Signals of one kind may merge, so one more may be needed.
    eventually("the end", || {
        pause(Duration::from_millis(20));
        let running = run.child.try_wait().unwrap().is_none();
        if running {
            run.interrupt();
        }
        !running
    });
    let (code, _, _, _) = run.end();
    assert_eq!(code, Some(130));
}

#[test]
fn killed_generator_leaves_no_server() {
    for server in ["fork", "fork:prefork", "thread"] {
        let args = ["--serve", server, "--no-null-run", "--warm-up", "0", "--duration", "600"];
        let mut run = Foreground::loadgen(&args);
        wait_for_load(&run);
        let pid = run.pid();
        kill_process(pid, Signal::KILL).unwrap();
        run.child.wait().unwrap();
        eventually("the end of the server and its children", || tethered(pid).is_empty());
    }
}
