//! Processes and the pool, with children that fail in every way.

mod common;

use std::fs;
use std::io::{Read, Write};
use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

use common::{Peer, TEST_TIMEOUT, wait_asleep, wait_for};
use ipc::Error;
use ipc::process::frame::MESSAGE_LIMIT;
use ipc::process::{Exit, JobHandle, Launch, Pool, PoolError, PoolOptions, Process};
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{SigSet, Signal, kill};
use nix::unistd::Pid;

const PEER: &str = env!("CARGO_BIN_EXE_ipc_peer");

fn child(role: &str) -> Launch {
    Process::command(PEER).args(["process", role])
}

fn workers(role: &str) -> PoolOptions {
    Pool::command(PEER).arg("process").arg(role).workers(2)
}

fn pool() -> Pool {
    workers("worker").start().unwrap()
}

/// The lines that a parent prints, and that it ended well.
fn report<const N: usize>(role: &str) -> [String; N] {
    let mut peer = Peer::start("process", role, &[]);
    let lines = std::array::from_fn(|_| peer.line());
    assert_eq!(peer.finish(), Some(0), "{lines:?}");
    lines
}

fn pidfd(pid: i32) -> OwnedFd {
    // SAFETY: the call takes integers only.
    let number = unsafe { libc::syscall(libc::SYS_pidfd_open, pid, 0) };
    assert!(number >= 0, "process {pid}: {}", Errno::last());
    // SAFETY: the descriptor was just made and has no other owner.
    unsafe { OwnedFd::from_raw_fd(number as i32) }
}

fn ends_within(pidfd: &OwnedFd, timeout: Duration) -> bool {
    let timeout = PollTimeout::try_from(timeout).unwrap();
    let mut ended = [PollFd::new(pidfd.as_fd(), PollFlags::POLLIN)];
    loop {
        match poll(&mut ended, timeout) {
            Err(Errno::EINTR) => {}
            ready => return ready.unwrap() == 1,
        }
    }
}

// ---- Process ----

#[test]
fn exit_reports_code_or_signal() {
    for code in [0, 1, 7, 255] {
        let process = child("exit").arg(code.to_string()).start().unwrap();
        assert_eq!(process.join().unwrap(), Exit::Code(code));
        assert_eq!(process.join().unwrap(), Exit::Code(code), "joining twice gives the same");
        assert!(!process.is_alive().unwrap());
        process.kill().unwrap();
    }
    let process = child("hang").start().unwrap();
    assert!(process.is_alive().unwrap());
    process.terminate().unwrap();
    assert_eq!(process.join().unwrap(), Exit::Signal(15));
    let process = child("hang").start().unwrap();
    process.kill().unwrap();
    assert_eq!(process.join().unwrap(), Exit::Signal(9));
    let process = child("hang").start().unwrap();
    let real_time = libc::SIGRTMIN() + 3;
    process.signal(real_time).unwrap();
    assert_eq!(process.join().unwrap(), Exit::Signal(real_time));
    let refused = child("hang").daemon(true).start().unwrap().signal(4711).unwrap_err();
    assert_eq!(refused.errno(), Some(Errno::EINVAL), "{refused}");
}

#[test]
fn entry_result_becomes_exit_code() {
    let lines = report::<3>("exits");
    assert_eq!(lines, ["nothing exit code 0", "fail exit code 1", "panic exit code 101"]);
}

#[test]
fn child_has_name_and_arguments() {
    let [child, exit] = report("identity");
    assert_eq!(child, r#"a-long-name-of-a-child a-long-name-of- ["a b"]"#);
    assert_eq!(exit, "exit code 0");
}

#[test]
fn join_timeout_leaves_process_running() {
    let process = child("hang").daemon(true).start().unwrap();
    for timeout in [Duration::ZERO, Duration::from_millis(80)] {
        let begin = Instant::now();
        let error = process.join_timeout(timeout).unwrap_err();
        assert!(begin.elapsed() >= timeout);
        assert!(matches!(error, Error::TimedOut { waited, .. } if waited == timeout), "{error}");
        assert!(process.is_alive().unwrap());
    }
    process.kill().unwrap();
    assert_eq!(process.join_timeout(TEST_TIMEOUT).unwrap(), Exit::Signal(9));
}

#[test]
fn concurrent_joins_return_same_exit() {
    let process = child("hang").start().unwrap();
    std::thread::scope(|scope| {
        let joins: Vec<_> = (0..4).map(|_| scope.spawn(|| process.join().unwrap())).collect();
        assert!(process.is_alive().unwrap());
        process.kill().unwrap();
        for join in joins {
            assert_eq!(join.join().unwrap(), Exit::Signal(9));
        }
    });
}

#[test]
fn failed_start_is_a_typed_error() {
    // This test never called init.
    let error = Process::new("anything").start().unwrap_err();
    assert!(
        matches!(error, Error::InvalidName { .. }) && error.to_string().contains("init"),
        "{error}"
    );
    let [unknown] = report("unknown-entry");
    assert!(unknown.contains("\"nobody\" is not a name for a process entry"), "{unknown}");
    let error = Process::command("/nonexistent/program").name("x").start().unwrap_err();
    assert_eq!(error.errno(), Some(Errno::ENOENT));
    let expected = "process x, program /nonexistent/program: execve: ENOENT";
    assert!(error.to_string().starts_with(expected), "{error}");
    let error = Process::command("/dev/null").start().unwrap_err();
    assert_eq!(error.errno(), Some(Errno::EACCES));
    let error = child("exit").arg("a\0b").start().unwrap_err();
    assert!(matches!(error, Error::Unusable { .. }), "{error}");
}

#[test]
fn marker_given_by_hand_is_refused() {
    let run = |arguments: &[&str]| {
        let output = std::process::Command::new(PEER).args(arguments).output().unwrap();
        (output.status.code(), String::from_utf8(output.stderr).unwrap())
    };
    let (code, text) = run(&["--ipc-process"]);
    assert!(code == Some(2) && text.contains("for children"), "{text}");
    let (code, text) = run(&["--ipc-process", "nobody", "x", "-", "-"]);
    assert!(code == Some(2) && text.contains("no process entry \"nobody\""), "{text}");
    for descriptors in [["55", "-"], ["-", "55"], ["1", "-"], ["-", "x"], ["-1", "-"]] {
        let [tether, passed] = descriptors;
        let (code, text) = run(&["--ipc-process", "nothing", "x", tether, passed]);
        assert!(code == Some(2) && text.contains("was not passed"), "{descriptors:?}: {text}");
    }
}

#[test]
fn parent_descriptors_are_not_inherited() {
    let [leaky, plain, _, daemon, ours] = report("leak");
    assert!(leaky.starts_with("leaky "));
    assert_eq!(plain, "[0, 1, 2]", "{leaky}");
    let daemon: Vec<i32> = serde_json::from_str(&daemon).unwrap();
    assert_eq!(daemon.len(), 4, "the standard ones and the tether: {daemon:?}");
    assert_eq!(ours, "ours 0", "the parent's own is as it was");
}

#[test]
fn passed_descriptor_reaches_child() {
    let [entry, shell, exit] = report("pass");
    let expected = r#"["second 1", "first 1"]; descriptor 0 passed to process passed-1: closed by the other side"#;
    assert_eq!(entry, expected);
    assert_eq!((shell.as_str(), exit.as_str()), ("shell third", "exit code 0"));
}

#[test]
fn child_starts_with_no_signal_blocked() {
    let all = SigSet::all();
    let before = all.thread_swap_mask(nix::sys::signal::SigmaskHow::SIG_BLOCK).unwrap();
    let process = child("hang").daemon(true).start().unwrap();
    before.thread_set_mask().unwrap();
    process.terminate().unwrap();
    assert_eq!(process.join_timeout(TEST_TIMEOUT).unwrap(), Exit::Signal(15));
}

#[test]
fn ended_processes_leave_no_zombies() {
    let [children, descriptors] = report("many");
    assert_eq!(children, "children: \"\"");
    assert_eq!(descriptors, "descriptors: 0");
}

#[test]
fn dropped_writer_of_output_ends() {
    let process = child("chatter").stdout(Stdio::piped()).start().unwrap();
    let watch = pidfd(process.pid());
    // Until the pipe is full.
    wait_asleep(process.pid());
    let dropping = std::thread::spawn(move || drop(process));
    let ended = ends_within(&watch, TEST_TIMEOUT);
    if !ended {
        // SAFETY: the call takes integers and a null pointer.
        unsafe {
            libc::syscall(libc::SYS_pidfd_send_signal, watch.as_fd().as_raw_fd(), 9, 0, 0);
        }
    }
    dropping.join().unwrap();
    assert!(ended, "it waits for a reader, and its parent for it");
}

#[test]
fn communicate_exceeds_both_pipes() {
    let piped = |program: &str| Process::command(program).stdin(Stdio::piped());
    let input: Vec<u8> = (0..1 << 20).map(|n| (n % 251) as u8).collect();
    let mut cat = piped("cat").stdout(Stdio::piped()).start().unwrap();
    assert!(cat.communicate(&input).unwrap() == (input.clone(), Exit::Code(0)));
    // It ends without reading.
    let mut deaf = piped("true").stdout(Stdio::piped()).start().unwrap();
    assert_eq!(deaf.communicate(&input).unwrap(), (vec![], Exit::Code(0)));
    let mut no_output = piped("sh").args(["-c", "exit $(wc -c)"]).start().unwrap();
    assert_eq!(no_output.communicate(b"1234567").unwrap(), (vec![], Exit::Code(7)));
    let mut no_input = Process::command("cat").stdout(Stdio::piped()).start().unwrap();
    let error = no_input.communicate(b"x").unwrap_err();
    assert!(matches!(error, Error::Unusable { .. }), "{error}");
    assert_eq!(no_input.communicate(b"").unwrap(), (vec![], Exit::Code(0)));
}

#[test]
fn communicate_timeout_loses_nothing() {
    let (reader, writer) = std::io::pipe().unwrap();
    let launch = child("late").pass(reader).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut late = launch.daemon(true).start().unwrap();
    let input = [b'x'; 300_000];
    for (input, timeout) in [(&input[..], 0), (b"y", 200)] {
        let timeout = Duration::from_millis(timeout);
        let error = late.communicate_timeout(input, timeout).unwrap_err();
        assert!(matches!(error, Error::TimedOut { waited, .. } if waited == timeout), "{error}");
    }
    drop(writer);
    let (output, exit) = late.communicate_timeout(b"", TEST_TIMEOUT).unwrap();
    assert_eq!(exit, Exit::Code(0));
    assert_eq!(output.len(), 300_013);
    assert!(output.ends_with(b"xy and the end"));
}

#[test]
fn closed_output_of_parent_is_harmless() {
    let [output, missing] = report("closed-output");
    assert_eq!(output, "[]");
    assert!(missing.contains("program /nonexistent: execve: ENOENT"), "{missing}");
}

#[test]
fn child_ignores_no_signal() {
    let lines = report::<5>("ignoring");
    let mask =
        |line: &str| u64::from_str_radix(line.split_whitespace().last().unwrap(), 16).unwrap();
    assert_eq!(mask(&lines[0]), 0, "{lines:?}");
    // The C library's own two, 32 and 33: its posix_spawn, by which the peer was started, ignores them.
    assert_eq!(mask(&lines[1]) & !(3 << 31), 0, "{lines:?}");
    assert_eq!(lines[2..], ["signal 15 (SIGTERM)", "signal 2 (SIGINT)", "signal 1 (SIGHUP)"]);
}

#[test]
fn parent_handlers_never_run_in_child() {
    assert_eq!(report::<1>("handling"), ["stray 0"]);
}

#[test]
fn forked_copy_leaves_processes_alone() {
    let lines = report::<3>("forked-process");
    assert_eq!(lines, ["copy: exit code 0", "true", "true"]);
}

#[test]
fn forked_copy_of_pool_is_refused() {
    let [handle, apply, state, copy, dropped, original] = report("forked-pool");
    for text in [handle, apply] {
        assert!(text.starts_with("pool worker: this process is a forked copy"), "{text}");
    }
    assert_eq!([state, copy], ["[] true", "copy: exit code 0"]);
    assert_eq!([dropped, original], ["copy: exit code 0", "16"]);
}

#[test]
fn descriptor_shortage_names_its_limit() {
    let mut peer = Peer::start("process", "short-of-descriptors", &[]);
    let mut calls = Vec::new();
    loop {
        let line = peer.line();
        if line == "exit code 0" {
            break;
        }
        let (room, text) = line.split_once(' ').unwrap();
        let limit = format!("this process may have {room} descriptors open (RLIMIT_NOFILE");
        assert!(text.contains(&limit) && text.ends_with(" \"\""), "{line}");
        calls.extend(text.split(": ").nth(1).map(str::to_owned));
    }
    assert_eq!(peer.finish(), Some(0));
    calls.dedup();
    assert_eq!(calls, ["eventfd", "pipe2 or open"]);
}

#[test]
fn process_shortage_is_of_fork() {
    let [line, pool] = report("short-of-processes");
    assert!(pool.starts_with("pool worker: pthread_create: "), "{pool}");
    assert!(line.starts_with("Some(EAGAIN) process x: fork: "), "{line}");
    if line.contains("pids.max") {
        eprintln!("SKIPPED: a cgroup is full");
        return;
    }
    assert!(line.contains("and the limit is 1 (RLIMIT_NPROC, ulimit -u)"), "{line}");
}

#[test]
fn full_cgroup_is_named() {
    let version_1 = Path::new("/sys/fs/cgroup/pids");
    let root = if version_1.exists() { version_1 } else { Path::new("/sys/fs/cgroup") };
    let directory = root.join(format!("ipc-test-{}", std::process::id()));
    if let Err(error) = fs::create_dir(&directory) {
        eprintln!("SKIPPED: no cgroup for the test: {error}");
        return;
    }
    let (path, limited) = (directory.to_str().unwrap(), fs::write(directory.join("pids.max"), "1"));
    let line = limited.as_ref().map(|()| {
        let mut peer = Peer::start("process", "full-cgroup", &[path]);
        (peer.line(), peer.finish())
    });
    // A process that has just ended is in its cgroup for a moment more.
    wait_for(|| fs::remove_dir(&directory).ok());
    let Ok((line, exit)) = line else {
        eprintln!("SKIPPED: no controller for processes: {limited:?}");
        return;
    };
    let expected =
        format!("the limit on processes and threads is 1 in the cgroup {path} (pids.max)");
    assert!(line.starts_with("process x: fork: ") && line.contains(&expected), "{line}");
    assert_eq!(exit, Some(0));
}

#[test]
fn dead_pid_namespace_is_named() {
    let mut peer = Peer::start("process", "dead-namespace", &[]);
    let line = peer.line();
    if line.starts_with("SKIPPED") {
        eprintln!("{line}");
        return;
    }
    assert_eq!(line, "exit code 0");
    let line = peer.line();
    assert!(line.starts_with("process x: fork: the first process of the pid namespace"), "{line}");
}

#[test]
fn drop_without_descriptors_reaps() {
    assert_eq!(report::<1>("no-descriptor"), ["\"\""]);
}

#[test]
fn drop_joins_child_kills_daemon() {
    let lines = report::<3>("drops");
    assert_eq!(lines, ["child: finished", "parent: dropped", "parent: \"\""]);
}

#[test]
fn unwinding_parent_kills_child() {
    assert_eq!(report::<1>("unwind"), ["true \"\""]);
}

#[test]
fn stolen_exit_status_is_an_error() {
    let [ignored, stolen, dropped] = report("stolen");
    assert!(ignored.starts_with("process nothing-1: ") && ignored.contains("SIGCHLD"), "{ignored}");
    assert!(stolen.starts_with("process nothing-2 ("), "{stolen}");
    assert!(stolen.contains("waitid: ECHILD"), "{stolen}");
    assert_eq!(dropped, "dropped");
}

#[test]
fn killed_parent_ends_daemons_and_workers() {
    kill_family("family");
}

#[test]
fn forked_copy_keeps_no_daemon_alive() {
    let copy = kill_family("copied-family");
    assert!(ends_within(&copy.expect("a copy"), TEST_TIMEOUT));
}

/// Kills a parent, and looks for children that outlive it. Returns its copy, if it made one.
fn kill_family(role: &str) -> Option<OwnedFd> {
    let mut parent = Peer::start("process", role, &[]);
    let line = parent.line();
    let children: Vec<(i32, OwnedFd)> =
        line.split(' ').map(|pid| pid.parse().unwrap()).map(|pid| (pid, pidfd(pid))).collect();
    assert_eq!(children.len(), 6, "two daemons, two workers of each kind");
    let copy = (role == "copied-family").then(|| pidfd(parent.line().parse().unwrap()));
    parent.kill();
    let mut survivors = Vec::new();
    for (pid, child) in &children {
        let timeout = if survivors.is_empty() { TEST_TIMEOUT } else { Duration::ZERO };
        if !ends_within(child, timeout) {
            // It has not ended, so the number is still its own.
            kill(Pid::from_raw(*pid), Signal::SIGKILL).unwrap();
            survivors.push(*pid);
        }
    }
    assert!(survivors.is_empty(), "{survivors:?} live on, of {line}");
    if let Some(copy) = &copy {
        assert!(!ends_within(copy, Duration::ZERO), "the copy was there all the time");
    }
    copy
}

// ---- Pool ----

/// Where jobs announce that they are being done.
struct Announcements {
    listener: UnixListener,
    directory: tempfile::TempDir,
}

impl Announcements {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let listener = UnixListener::bind(directory.path().join("socket")).unwrap();
        Self { listener, directory }
    }

    /// A job with a number that is done as soon as the test writes a byte.
    fn ask(&self, pool: &Pool, number: u8) -> JobHandle<Option<u8>> {
        let path = self.directory.path().join("socket");
        pool.apply_async("announce", &(path, number)).unwrap()
    }

    /// The next job that has begun.
    fn next(&self) -> RunningJob {
        let (mut stream, _) = self.listener.accept().unwrap();
        let mut hello = [0; 5];
        stream.read_exact(&mut hello).unwrap();
        let [pid @ .., number] = hello;
        RunningJob { pid: i32::from_le_bytes(pid), number: number.into(), stream }
    }
}

/// A job that a worker has begun.
struct RunningJob {
    pid: i32,
    number: usize,
    /// A byte into it ends the job.
    stream: UnixStream,
}

#[test]
fn jobs_return_their_results() {
    let pool = pool();
    assert_eq!(pool.apply("square", &12), Ok(144_u64));
    assert_eq!(pool.apply("length", "four"), Ok(4));
    let handles: Vec<JobHandle<u64>> =
        (0..10_u64).map(|n| pool.apply_async("square", &n).unwrap()).collect();
    for (n, handle) in (0..).zip(&handles) {
        assert_eq!(handle.get(), Ok(n * n));
        assert!(handle.ready());
        assert_eq!(handle.get(), Ok(n * n), "twice gives the same");
    }
    assert_eq!(pool.apply_bytes("reverse", b"\xff\0abc").unwrap().get(), Ok(b"cba\0\xff".to_vec()));
    assert_eq!(pool.apply("stdin", &()), Ok(Some(0)), "a job cannot read the pool's socket");
}

#[test]
fn map_keeps_input_order() {
    let pool = workers("worker").workers(3).start().unwrap();
    let inputs: Vec<u64> = (0..10_000).collect();
    let outputs: Vec<u64> = pool.map("square", &inputs).unwrap();
    assert_eq!(outputs, inputs.iter().map(|n| n * n).collect::<Vec<_>>());
    assert_eq!(pool.map::<u64, u64>("square", &[]), Ok(vec![]));
    assert_eq!(pool.map("square", &[3_u64]), Ok(vec![9_u64]));
}

#[test]
fn message_above_limit_is_refused() {
    let pool = workers("worker").workers(1).start().unwrap();
    let large: Vec<u8> = (0..MESSAGE_LIMIT).map(|n| (n % 251) as u8).collect();
    let reversed = pool.apply_bytes("reverse", &large).unwrap().get().unwrap();
    assert!(reversed.iter().eq(large.iter().rev()));
    let before = pool.workers();

    let error = pool.apply_bytes("reverse", &vec![0; MESSAGE_LIMIT + 1]).unwrap_err();
    let expected = PoolError::TooLarge {
        job: "reverse".into(),
        part: "an input",
        bytes: MESSAGE_LIMIT + 1,
        limit: MESSAGE_LIMIT,
    };
    assert_eq!(error, expected);
    assert!(matches!(pool.apply_bytes(&"x".repeat(256), b""), Err(PoolError::TooLarge { .. })));
    let error = pool.apply_bytes("blow up", b"").unwrap().get().unwrap_err();
    assert!(
        matches!(&error, PoolError::Failed { text, .. } if text.contains("16777217")),
        "{error}"
    );
    assert_eq!(pool.apply("square", &3), Ok(9));
    assert_eq!(pool.workers(), before, "nobody died of it");
}

#[test]
fn failed_job_keeps_its_worker() {
    let pool = workers("worker").workers(1).start().unwrap();
    let pid: u32 = pool.apply("pid", &()).unwrap();
    let error = pool.apply::<_, ()>("panic", "oh dear").unwrap_err();
    let PoolError::Failed { job, text, pid: worker_pid, .. } = &error else { panic!("{error}") };
    assert_eq!((job.as_str(), text.as_str()), ("panic", "it panicked: oh dear"));
    assert_eq!(worker_pid.cast_unsigned(), pid);
    let error = pool.apply::<_, ()>("no such job", &()).unwrap_err();
    assert!(matches!(&error, PoolError::Unknown { job, .. } if job == "no such job"), "{error}");
    let error = pool.apply::<_, u64>("square", "text").unwrap_err();
    assert!(matches!(&error, PoolError::Failed { text, .. } if text.contains("input")), "{error}");
    let error = pool.apply::<_, String>("square", &2).unwrap_err();
    assert!(matches!(&error, PoolError::Form { text, .. } if text.contains("output")), "{error}");
    assert_eq!(pool.apply("pid", &()), Ok(pid), "the same worker still");
}

#[test]
fn worker_killed_mid_job_is_replaced() {
    let pool = pool();
    let jobs = Announcements::new();
    let asked = [jobs.ask(&pool, 0), jobs.ask(&pool, 1)];
    let (victim, mut other) = (jobs.next(), jobs.next());
    let squares: Vec<JobHandle<u64>> =
        (0..20_u64).map(|n| pool.apply_async("square", &n).unwrap()).collect();
    let had = pool.workers().into_iter().find(|(_, pid)| *pid == victim.pid).unwrap();
    kill(Pid::from_raw(victim.pid), Signal::SIGKILL).unwrap();

    let error = asked[victim.number].get().unwrap_err();
    let exit = Exit::Signal(9);
    let expected = PoolError::Died { job: "announce".into(), worker: had.0, pid: victim.pid, exit };
    assert_eq!(error, expected);
    assert!(
        error
            .to_string()
            .ends_with("died in it, and the job is not tried again: signal 9 (SIGKILL)"),
        "{error}"
    );
    // The other worker is still busy, so these are the replacement's work.
    for (n, square) in (0..).zip(&squares) {
        assert_eq!(square.get(), Ok(n * n));
    }
    let now = pool.workers();
    assert!(now.len() == 2 && now.iter().any(|(_, pid)| *pid == other.pid), "{now:?}");
    assert!(now.iter().all(|(_, pid)| *pid != victim.pid), "{now:?}");
    assert!(!asked[other.number].ready());
    other.stream.write_all(b"!").unwrap();
    assert_eq!(asked[other.number].get(), Ok(Some(b'!')));
}

#[test]
fn map_loses_only_the_killing_job() {
    let pool = pool();
    let inputs: Vec<u64> = (0..1000).collect();
    let outcomes = pool.map_each::<_, u64>("die", &inputs).unwrap();
    for (n, outcome) in (0..).zip(outcomes) {
        match outcome {
            Ok(output) => assert_eq!(output, n),
            Err(PoolError::Died { exit, .. }) => assert_eq!((n, exit), (500, Exit::Signal(6))),
            Err(other) => panic!("{n}: {other}"),
        }
    }
    let error = pool.map::<_, u64>("die", &[1, 500, 2]).unwrap_err();
    assert!(matches!(error, PoolError::Died { .. }), "{error}");
    let error = pool.apply::<_, ()>("exit", &7).unwrap_err();
    assert!(matches!(error, PoolError::Died { exit: Exit::Code(7), .. }), "{error}");
}

#[test]
fn idle_killed_worker_is_replaced() {
    let pool = workers("worker").workers(1).start().unwrap();
    for _ in 0..10 {
        let pid: i32 = pool.apply("pid", &()).unwrap();
        let watch = pidfd(pid);
        kill(Pid::from_raw(pid), Signal::SIGKILL).unwrap();
        assert!(ends_within(&watch, TEST_TIMEOUT));
        // More often in a row than the pool lets workers fail: each did a job in between. The job may
        // have been sent before the death was noticed; then it is reported.
        match pool.apply::<_, i32>("pid", &()) {
            Ok(next) => assert_ne!(next, pid),
            Err(error) => assert!(matches!(error, PoolError::Died { .. }), "{error}"),
        }
    }
}

#[test]
fn workers_failing_at_start_are_retired() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("starts");
    let pool = workers("stillborn").arg(path.to_str().unwrap()).start().unwrap();
    let error = match pool.apply_async::<_, ()>("anything", &()) {
        Ok(handle) => handle.get_timeout(TEST_TIMEOUT).unwrap_err(),
        Err(error) => error,
    };
    let PoolError::NoWorkers { reason, .. } = &error else { panic!("{error}") };
    assert!(reason.starts_with("it sent no hello: exit code 0; a worker calls"), "{reason}");
    pool.join();
    assert_eq!(fs::read(&path).unwrap().len(), 10, "five starts for each of two slots");
    assert_eq!(pool.apply::<_, ()>("anything", &()), Err(error), "and no more");
    assert_eq!(pool.workers(), []);
}

#[test]
fn worker_without_hello_is_retired() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("starts");
    let silent = workers("silent").arg(path.to_str().unwrap());
    let pool = silent.start_timeout(Duration::from_millis(500)).start().unwrap();
    let error = pool.apply::<_, ()>("anything", &()).unwrap_err();
    let PoolError::NoWorkers { reason, .. } = &error else { panic!("{error}") };
    assert!(
        reason.starts_with("it sent no hello within 500ms and was killed; a worker"),
        "{reason}"
    );
    pool.join();
    assert!(
        fs::read(&path).map_or(0, |starts| starts.len()) <= 2,
        "one start for each of two slots"
    );
    for (kind, reason) in [("greeting", "a frame of"), ("version", "version 2")] {
        let pool = workers("nonsense").arg(kind).start().unwrap();
        let error = pool.apply::<_, ()>("anything", &()).unwrap_err();
        assert!(error.to_string().contains(reason), "{kind}: {error}");
    }
}

#[test]
fn silent_successor_is_replaced() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("starts");
    // Long enough for those that do send one, on a busy machine.
    let moody = workers("moody").arg(path.to_str().unwrap()).workers(1);
    let pool = moody.start_timeout(Duration::from_secs(5)).start().unwrap();
    assert!(matches!(pool.apply::<_, ()>("exit", &7), Err(PoolError::Died { .. })));
    assert_eq!(pool.apply("square", &12), Ok(144));
    assert_eq!(fs::read(&path).unwrap().len(), 3);
}

#[test]
fn program_without_frames_is_explained() {
    for (program, timeout, what) in [
        ("true", TEST_TIMEOUT, "it sent no hello: exit code 0"),
        ("sleep", Duration::from_millis(50), "it sent no hello within"),
    ] {
        let options = Pool::command(program).arg("1000").start_timeout(timeout);
        let pool = options.start().unwrap();
        let error = pool.apply::<_, ()>("anything", &()).unwrap_err().to_string();
        assert!(error.contains(what) && error.contains("Worker::serve"), "{error}");
    }
}

#[test]
fn vanished_program_fails_at_once() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("program");
    std::os::unix::fs::symlink(PEER, &path).unwrap();
    let pool = Pool::command(&path).arg("process").arg("worker").workers(1).start().unwrap();
    assert_eq!(pool.apply("square", &12), Ok(144));
    fs::remove_file(&path).unwrap();
    kill(Pid::from_raw(pool.workers()[0].1), Signal::SIGKILL).unwrap();
    wait_for(|| pool.workers().is_empty().then_some(()));
    let error = pool.apply::<_, ()>("anything", &()).unwrap_err();
    let PoolError::NoWorkers { reason, .. } = &error else { panic!("{error}") };
    assert!(reason.contains(&format!("program {}: execve: ENOENT", path.display())), "{reason}");
}

#[test]
fn pool_survives_shortages() {
    for (resource, call, limit) in [
        ("descriptors", "socketpair", "this process may have 3 descriptors open (RLIMIT_NOFILE"),
        ("processes", "fork", ""),
    ] {
        let mut peer = Peer::start("process", "short-pool", &[resource]);
        let line = peer.line();
        let expected =
            "job square: not done within 400ms; the pool is short of workers: process worker/";
        assert!(line.starts_with(expected), "{line}");
        assert!(line.contains(call) && line.contains(limit), "{line}");
        assert_eq!([peer.line(), peer.line()], ["144", "[1, 4, 9]"]);
        assert_eq!(peer.finish(), Some(0));
    }
}

#[test]
fn worker_waits_for_its_thread() {
    let mut peer = Peer::start("process", "short-of-threads", &[]);
    let line = peer.line();
    if line.starts_with("SKIPPED") {
        eprintln!("{line}");
        return;
    }
    assert!(line.starts_with("job square: not done within 400ms"), "{line}");
    assert_eq!(peer.line(), "144");
    assert_eq!(peer.finish(), Some(0));
}

#[test]
fn worker_violating_protocol_is_replaced() {
    for (kind, expected) in [
        ("letters", "a frame that is none"),
        ("huge", "a frame of 4294967295"),
        ("stranger", "not its turn"),
    ] {
        let pool = workers("nonsense").arg(kind).start().unwrap();
        for _ in 0..10 {
            let error = pool.apply::<_, ()>("anything", &()).unwrap_err();
            let PoolError::Protocol { text, .. } = &error else { panic!("{kind}: {error}") };
            assert!(text.contains(expected), "{kind}: {text}");
        }
    }
}

#[test]
fn closed_pool_refuses_jobs() {
    let pool = pool();
    let handles: Vec<JobHandle<u64>> =
        (0..100_u64).map(|n| pool.apply_async("square", &n).unwrap()).collect();
    pool.close();
    let error = pool.apply::<_, u64>("square", &1).unwrap_err();
    assert_eq!(error, PoolError::Closed { pool: "ipc_peer".into() });
    pool.join_timeout(TEST_TIMEOUT).unwrap();
    assert_eq!(pool.workers(), []);
    for (n, handle) in (0..).zip(&handles) {
        assert!(handle.ready());
        assert_eq!(handle.get(), Ok(n * n), "what was accepted is done");
    }
    pool.join();
    pool.terminate();
}

#[test]
fn pool_timeout_leaves_job_running() {
    let pool = pool();
    let jobs = Announcements::new();
    let job = jobs.ask(&pool, 0);
    let mut running = jobs.next();
    let timeout = Duration::from_millis(60);
    let begin = Instant::now();
    assert!(matches!(job.get_timeout(timeout), Err(PoolError::TimedOut { .. })));
    assert!(begin.elapsed() >= timeout && !job.ready());
    let begin = Instant::now();
    assert!(matches!(pool.join_timeout(timeout), Err(PoolError::TimedOut { .. })));
    assert!(begin.elapsed() >= timeout);
    running.stream.write_all(b"x").unwrap();
    assert_eq!(job.get(), Ok(Some(b'x')));
    pool.join();
}

#[test]
fn terminate_ends_jobs_and_workers() {
    let jobs = Announcements::new();
    for drop_it in [false, true] {
        let pool = pool();
        let handles: Vec<_> = (0..8).map(|n| jobs.ask(&pool, n)).collect();
        let running = [jobs.next(), jobs.next()];
        let watches = running.each_ref().map(|job| pidfd(job.pid));
        if drop_it {
            drop(pool);
        } else {
            pool.terminate();
            pool.join();
            assert_eq!(pool.workers(), []);
        }
        for watch in &watches {
            let mut ended = [PollFd::new(watch.as_fd(), PollFlags::POLLIN)];
            assert_eq!(poll(&mut ended, PollTimeout::ZERO), Ok(1), "it is gone already");
        }
        for handle in &handles {
            assert_eq!(handle.get(), Err(PoolError::Terminated { job: "announce".into() }));
        }
    }
}

#[test]
fn threads_share_one_pool() {
    let pool = pool();
    std::thread::scope(|scope| {
        for thread in 0..4_u64 {
            let pool = &pool;
            scope.spawn(move || {
                for n in 0..50 {
                    let n = thread * 1000 + n;
                    assert_eq!(pool.apply("square", &n), Ok(n * n));
                }
            });
        }
    });
}

#[test]
fn invalid_pool_is_a_typed_error() {
    let error = workers("worker").workers(0).start().unwrap_err();
    assert!(matches!(error, Error::OutOfRange { given: 0, least: 1, .. }), "{error}");
    let error = Pool::command("/nonexistent/program").start().unwrap_err();
    assert_eq!(error.errno(), Some(Errno::ENOENT), "{error}");
    assert!(
        matches!(Pool::new("worker", 2), Err(Error::InvalidName { .. })),
        "init was not called here"
    );
    // A worker by hand has no pool to talk to.
    let output = std::process::Command::new(PEER)
        .args(["process", "worker"])
        .stdin(Stdio::null())
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8(output.stderr).unwrap().contains("started by a pool"));
}

#[test]
fn documented_python_worker_works() {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/process/frame.rs");
    let program: String = fs::read_to_string(source)
        .unwrap()
        .lines()
        .skip_while(|line| !line.ends_with("```python"))
        .skip(1)
        .take_while(|line| !line.ends_with("```"))
        .map(|line| {
            line.trim_start_matches("//!").strip_prefix(' ').unwrap_or_default().to_owned() + "\n"
        })
        .collect();
    if std::process::Command::new("python3").arg("--version").output().is_err() {
        eprintln!("SKIPPED: no python3");
        return;
    }
    let pool = Pool::command("python3").arg("-c").arg(program).workers(2).start().unwrap();
    let inputs: Vec<i64> = (-200..200).collect();
    let outputs: Vec<i64> = pool.map("square", &inputs).unwrap();
    assert_eq!(outputs, inputs.iter().map(|n| n * n).collect::<Vec<_>>());
    assert!(matches!(pool.apply::<_, i64>("cube", &1), Err(PoolError::Unknown { .. })));
    pool.join();
}
