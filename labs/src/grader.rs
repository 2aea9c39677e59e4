//! Runs a check against a student's programs, contains whatever they do, and cleans up.
//!
//! The check itself runs in a *worker*, a process of its own: it may be stuck, killed or starved together with
//! what it examines, and this process will still say what happened. It is the subreaper of all that is
//! started below it, so that a daemon that has forked itself away is found, ended and waited for, too.
//!
//! | what a program does | what happens |
//! |---|---|
//! | hangs | each wait of the check has a bound; the check's deadline is behind them |
//! | forks without end | above [`PROCESSES_MAX`] processes all are killed; a pids cgroup holds them meanwhile, where there is one |
//! | prints without end | what is read is bounded, see [`crate::context::OUTPUT_MAX`] |
//! | fills the disk | a file has a largest size, and so has the folder |
//! | leaves processes behind | they are killed and waited for, and a message names them |
//!
//! A verdict is only taken from a worker that has ended in order. Where the machine kept this process or the
//! worker from running for much of the time, or does so for a small calculation after a slow failure, the failure
//! proves nothing: the check is tried again, and in the end it is *trouble*, which is neither a pass nor a failure.
//!
//! Ctrl-C ends a check in order. A grader that is killed outright leaves things behind, which the next one finds: see
//! [`crate::sweep`].

use crate::context::{Check, Finding, Stop, TestContext, describe_processes};
use crate::manifest::{CheckInfo, Lab};
use crate::sweep::{self, CGROUPS};
use harness::proc::{self, Process};
use nix::sys::resource::{Resource, setrlimit};
use nix::sys::signal::{SigSet, Signal, kill};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicI32, Ordering};
use std::time::{Duration, Instant};

/// How many processes the programs of a check may have at once.
pub const PROCESSES_MAX: usize = 64;

/// How many tasks a pids cgroup lets them have, threads counted too.
const TASKS_MAX: usize = 512;

/// The largest file that they may write, in bytes.
pub const FILE_MAX: u64 = 64 << 20;

/// How much the folder of a check may hold, in bytes.
pub const FOLDER_MAX: u64 = 256 << 20;

/// How often the processes are looked at.
const TICK: Duration = Duration::from_millis(20);

/// How often a check is tried that the machine was too busy for.
const ATTEMPTS: u32 = 3;

/// How long killed processes may take to be gone.
const CLEAN_UP: Duration = Duration::from_secs(10);

/// How the expectation begins of a program that did not end.
const AN_END: &str = "an end within";

/// A failure that took as long as this may be one of a wait, and so of a machine that was too busy.
const SLOW: Duration = Duration::from_millis(1500);

/// The calculation that shows whether this process gets to run: so much processor time, and no longer than that.
const PROBE: (Duration, Duration) = (Duration::from_millis(40), Duration::from_secs(2));

/// How the trouble begins of a check that the machine was too busy for: another time there may be a verdict.
pub const BUSY: &str = "the machine was too busy";

/// How many times as long as its processor time a calculation may take where checks can be trusted.
const STARVED: f64 = 6.0;

/// What came of a check.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Outcome {
    /// The program does what it should.
    Pass,
    /// It does not.
    Fail(Finding),
    /// It did not come to an end, or had to be stopped: what it did.
    Stopped(Finding),
    /// The machine cannot run the check: why.
    Skip(String),
    /// The grader could not do its own work: why.
    Trouble(String),
}

/// A check that was run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Graded {
    /// The check.
    pub id: String,
    /// What came of it.
    pub outcome: Outcome,
    /// How long it took, in seconds.
    pub seconds: f64,
    /// What its choices were made from.
    pub seed: u64,
    /// Processes that were left behind, each in words.
    pub leftovers: Vec<String>,
}

/// Makes this process the one that orphans below it are given to.
///
/// # Errors
///
/// The kernel refuses.
pub fn adopt_orphans() -> io::Result<()> {
    Ok(nix::sys::prctl::set_child_subreaper(true)?)
}

/// Runs one check against the programs in `binaries`. [`adopt_orphans`] was called before, and this process has
/// no other children: those that are left afterwards are killed.
pub fn grade(lab: &Lab, check: &CheckInfo, binaries: &Path, seed: u64) -> Graded {
    let begun = Instant::now();
    let mut leftovers = Vec::new();
    let mut attempt = 1;
    let outcome = loop {
        if let Some(signal) = interrupted() {
            break Outcome::Trouble(format!("interrupted by {signal}"));
        }
        let tried = Instant::now();
        let (outcome, busy) = match attempt_once(lab, check, binaries, seed, &mut leftovers) {
            Ok(attempt) => attempt,
            Err(error) => (Outcome::Trouble(error.to_string()), None),
        };
        let slow = tried.elapsed() > SLOW && !matches!(outcome, Outcome::Pass | Outcome::Skip(_));
        let busy = busy.or_else(|| slow.then(starved).flatten());
        match (&outcome, busy) {
            // Too many processes or too large files are that on any machine.
            (Outcome::Stopped(finding), _) if !finding.expected.starts_with(AN_END) => {
                break outcome;
            }
            (Outcome::Fail(_) | Outcome::Stopped(_), Some(_)) if attempt < ATTEMPTS => attempt += 1,
            (Outcome::Fail(_) | Outcome::Stopped(_), Some(busy)) => break Outcome::Trouble(busy),
            _ => break outcome,
        }
    };
    let seconds = begun.elapsed().as_secs_f64();
    Graded { id: check.id.clone(), outcome, seconds, seed, leftovers }
}

/// Says so where this process hardly gets to run, by a calculation of which is known how long it should take. By now
/// nothing of the student's runs that could be to blame.
fn starved() -> Option<String> {
    let own = std::process::id() as i32;
    let (begun, before) = (Instant::now(), run_time(own)?);
    let mut used = Duration::ZERO;
    while used < PROBE.0 && begun.elapsed() < PROBE.1 {
        std::hint::black_box((0..20_000u64).fold(0, |sum: u64, n| sum.rotate_left(5) ^ n));
        used = run_time(own)?.saturating_sub(before);
    }
    let took = begun.elapsed();
    let starved = took > used.max(Duration::from_millis(4)).mul_f64(STARVED);
    starved
        .then(|| format!("{BUSY}: it gave the grader {used:.0?} of processor time in {took:.1?}"))
}

static INTERRUPTED: AtomicI32 = AtomicI32::new(0);

/// The signal, of those that ask a program to end, that came while a check was run. What follows it is not run.
pub fn interrupted() -> Option<Signal> {
    Signal::try_from(INTERRUPTED.load(Ordering::Relaxed)).ok()
}

/// Signals that ask to end, held back while there is something that would be left behind.
pub(crate) struct Signals {
    arrived: SignalFd,
    before: SigSet,
}

impl Signals {
    fn asking_to_end() -> SigSet {
        SigSet::from_iter([Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP])
    }

    pub(crate) fn hold() -> io::Result<Signals> {
        let signals = Signals::asking_to_end();
        let arrived =
            SignalFd::with_flags(&signals, SfdFlags::SFD_NONBLOCK | SfdFlags::SFD_CLOEXEC)?;
        let before = SigSet::thread_get_mask()?;
        signals.thread_block()?;
        Ok(Signals { arrived, before })
    }

    /// Whether one has come.
    pub(crate) fn came(&self) -> bool {
        if let Ok(Some(signal)) = self.arrived.read_signal() {
            INTERRUPTED.store(signal.ssi_signo as i32, Ordering::Relaxed);
        }
        interrupted().is_some()
    }
}

impl AsFd for Signals {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.arrived.as_fd()
    }
}

impl Drop for Signals {
    fn drop(&mut self) {
        self.came();
        let _ = self.before.thread_set_mask();
    }
}

/// Gives the outcome and, where the machine was too busy for it to prove anything, how that showed.
fn attempt_once(
    lab: &Lab,
    check: &CheckInfo,
    binaries: &Path,
    seed: u64,
    leftovers: &mut Vec<String>,
) -> io::Result<(Outcome, Option<String>)> {
    let signals = Signals::hold()?;
    let folder = tempfile::Builder::new().prefix(&sweep::name()).tempdir()?;
    let mut worker = Command::new(std::env::current_exe()?)
        .args(["__check", &lab.name(), &check.id, &seed.to_string()])
        .args([binaries, folder.path()])
        .env(sweep::MARK, folder.path())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .process_group(0)
        .spawn()?;
    let cgroup = Cgroup::around(worker.id());
    // The worker waits for this: it starts nothing before it is in the cgroup.
    if let Some(mut stdin) = worker.stdin.take() {
        stdin.write_all(b"\n")?;
    }
    let watched = watch(&mut worker, check, folder.path(), &signals);
    let outcome = clean_up(&mut worker, cgroup.as_ref(), leftovers).and(watched);
    drop(cgroup);
    drop(folder);
    drop(signals);
    outcome
}

/// Watches a worker until it ends or has to be ended.
fn watch(
    worker: &mut Child,
    check: &CheckInfo,
    folder: &Path,
    signals: &Signals,
) -> io::Result<(Outcome, Option<String>)> {
    let pid = worker.id() as i32;
    let mut stdout = worker.stdout.take().ok_or(io::ErrorKind::BrokenPipe)?;
    let mut stderr = worker.stderr.take().ok_or(io::ErrorKind::BrokenPipe)?;
    rustix::io::ioctl_fionbio(&stdout, true)?;
    rustix::io::ioctl_fionbio(&stderr, true)?;
    let (mut said, mut complained) = (Vec::new(), Vec::new());
    let begun = Instant::now();
    let deadline = Duration::from_secs(check.deadline);
    let (mut late, mut delayed) = (Duration::ZERO, Duration::ZERO);
    let mut ticks = 0u32;
    let stopped =
        |what: String, observed: String| Outcome::Stopped(Finding { expected: what, observed });
    let outcome = loop {
        let asleep = Instant::now();
        let ended = {
            let mut fds = [PollFd::new(&stdout, PollFlags::IN)];
            let tick = Timespec { tv_sec: 0, tv_nsec: TICK.subsec_nanos().into() };
            poll(&mut fds, Some(&tick)).map_err(io::Error::from)?;
            drain(&mut stderr, &mut complained)?;
            // Its end alone: what the worker says at last may come between a look here and the end of the other.
            drain(&mut stdout, &mut said)?
        };
        late += asleep.elapsed().saturating_sub(TICK);
        delayed = run_delay(pid).unwrap_or(delayed);
        if ended {
            drain(&mut stderr, &mut complained)?;
            break verdict(worker, &said, &complained)?;
        }
        if signals.came() {
            break Outcome::Trouble("interrupted".into());
        }
        ticks += 1;
        let family = descendants();
        let students = family.iter().filter(|p| p.pid != pid && p.state != 'Z').count();
        if students > PROCESSES_MAX {
            let what = format!("no more than {PROCESSES_MAX} processes at once");
            break stopped(what, format!("{students} processes; all were killed"));
        }
        if ticks.is_multiple_of(10) && size_of(folder) > FOLDER_MAX {
            let what = format!("no more than {} MiB of files", FOLDER_MAX >> 20);
            break stopped(what, "more than that; the program was killed".into());
        }
        if begun.elapsed() > deadline {
            let students: Vec<Process> = family.into_iter().filter(|p| p.pid != pid).collect();
            let what = format!("{AN_END} {deadline:?}");
            break stopped(
                what,
                format!("{}{}", deadlock(&students), describe_processes(&students)),
            );
        }
    };
    let elapsed = begun.elapsed();
    let waited = late.max(delayed);
    let busy = (waited > elapsed.mul_f64(0.4) && waited > Duration::from_millis(400)).then(|| {
        format!("{BUSY}: for {waited:.1?} of {elapsed:.1?} the grader did not get to run")
    });
    Ok((outcome, busy))
}

/// What a worker that has ended its output says.
fn verdict(worker: &mut Child, said: &[u8], complained: &[u8]) -> io::Result<Outcome> {
    let status = worker.wait()?;
    if !status.success() {
        let last =
            String::from_utf8_lossy(complained).lines().take(3).collect::<Vec<_>>().join(" ");
        let how = crate::context::describe_exit(status);
        return Ok(Outcome::Trouble(format!("the grader's worker {how} {last}")));
    }
    match serde_json::from_slice(said) {
        Ok(outcome) => Ok(outcome),
        Err(error) => Ok(Outcome::Trouble(format!("the grader's worker has no verdict: {error}"))),
    }
}

/// Reads what there is; gives whether that was the end.
fn drain(stream: &mut impl Read, into: &mut Vec<u8>) -> io::Result<bool> {
    let mut chunk = [0; 4096];
    loop {
        match stream.read(&mut chunk) {
            Ok(0) => return Ok(true),
            Ok(n) => into.extend_from_slice(&chunk[..n]),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(false),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

/// Kills whatever is left below this process and waits for it.
fn clean_up(
    worker: &mut Child,
    cgroup: Option<&Cgroup>,
    leftovers: &mut Vec<String>,
) -> io::Result<()> {
    let own = worker.id() as i32;
    let begun = Instant::now();
    let mut first = true;
    loop {
        let mut left = descendants();
        if let Some(cgroup) = cgroup {
            left.extend(cgroup.members().into_iter().filter_map(proc::process));
        }
        left.retain(|process| process.pid != own);
        if std::mem::take(&mut first) {
            let alive = left.iter().filter(|process| process.state != 'Z');
            leftovers.extend(
                alive.take(8).map(|process| describe_processes(std::slice::from_ref(process))),
            );
        }
        let _ = kill(Pid::from_raw(-own), Signal::SIGKILL);
        for process in &left {
            let _ = kill(Pid::from_raw(process.pid), Signal::SIGKILL);
        }
        let _ = worker.kill();
        let _ = worker.try_wait();
        let childless = reap_all();
        if childless && left.is_empty() {
            let _ = worker.wait();
            return Ok(());
        }
        if begun.elapsed() > CLEAN_UP {
            return Err(io::Error::other(format!(
                "cannot be ended: {}",
                describe_processes(&left)
            )));
        }
        harness::wait::pause(Duration::from_millis(2));
    }
}

/// Waits for every child that has ended; gives whether none is left at all.
fn reap_all() -> bool {
    loop {
        match waitpid(None, Some(WaitPidFlag::WNOHANG)) {
            Ok(WaitStatus::StillAlive) => return false,
            Ok(_) => {}
            Err(_) => return true,
        }
    }
}

/// All processes below this one.
fn descendants() -> Vec<Process> {
    let own = std::process::id() as i32;
    let mut family = vec![];
    let mut parents = vec![own];
    let all: Vec<Process> = all_processes();
    while let Some(parent) = parents.pop() {
        for child in all.iter().filter(|process| process.parent == parent && process.pid != own) {
            parents.push(child.pid);
            family.push(child.clone());
        }
    }
    family
}

fn all_processes() -> Vec<Process> {
    let Ok(entries) = fs::read_dir("/proc") else { return Vec::new() };
    let pids = entries.flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    pids.filter_map(proc::process).collect()
}

/// How long a process was ready to run and did not.
fn run_delay(pid: i32) -> Option<Duration> {
    let line = fs::read_to_string(format!("/proc/{pid}/schedstat")).ok()?;
    Some(Duration::from_nanos(line.split_whitespace().nth(1)?.parse().ok()?))
}

/// How long a process has run.
fn run_time(pid: i32) -> Option<Duration> {
    let line = fs::read_to_string(format!("/proc/{pid}/schedstat")).ok()?;
    Some(Duration::from_nanos(line.split_whitespace().next()?.parse().ok()?))
}

/// Bytes below a folder.
fn size_of(folder: &Path) -> u64 {
    let Ok(entries) = fs::read_dir(folder) else { return 0 };
    let sizes = entries.flatten().map(|entry| match entry.metadata() {
        Ok(metadata) if metadata.is_dir() => size_of(&entry.path()),
        Ok(metadata) => metadata.len(),
        Err(_) => 0,
    });
    sizes.sum()
}

/// Says so where nobody can ever go on: every thread waits for a futex without a time-out, and none has run
/// between two looks.
fn deadlock(family: &[Process]) -> String {
    let look = || -> Option<BTreeMap<(i32, String), String>> {
        let mut threads = BTreeMap::new();
        for process in family.iter().filter(|process| process.state != 'Z') {
            for task in fs::read_dir(format!("/proc/{}/task", process.pid)).ok()?.flatten() {
                let call = fs::read_to_string(task.path().join("syscall")).ok()?;
                let mut words = call.split_whitespace();
                // futex(address, FUTEX_WAIT..., value, no time-out)
                let futex = words.next()? == "202";
                let untimed = words.nth(3)? == "0x0";
                if !futex || !untimed {
                    return None;
                }
                let status = fs::read_to_string(task.path().join("status")).ok()?;
                let switches = status.lines().filter(|line| line.contains("ctxt_switches"));
                let switches = switches.collect::<Vec<_>>().join(" ");
                threads.insert((process.pid, task.file_name().to_string_lossy().into()), switches);
            }
        }
        (!threads.is_empty()).then_some(threads)
    };
    let first = look();
    let same = first.is_some()
        && (0..5).all(|_| {
            harness::wait::pause(Duration::from_millis(20));
            look() == first
        });
    match (same, first) {
        (true, Some(threads)) => {
            format!("DEADLOCK: all {} threads wait on a futex; ", threads.len())
        }
        _ => String::new(),
    }
}

/// A control group of pids, of version 1 or 2, where one can be made.
struct Cgroup(PathBuf);

impl Cgroup {
    fn around(pid: u32) -> Option<Cgroup> {
        let name = format!("{}{pid}", sweep::name());
        CGROUPS.iter().find_map(|home| {
            let cgroup = Path::new(home).join(&name);
            fs::create_dir(&cgroup).ok()?;
            let cgroup = Cgroup(cgroup);
            fs::write(cgroup.0.join("pids.max"), TASKS_MAX.to_string()).ok()?;
            fs::write(cgroup.0.join("cgroup.procs"), pid.to_string()).ok()?;
            Some(cgroup)
        })
    }

    fn members(&self) -> Vec<i32> {
        let list = fs::read_to_string(self.0.join("cgroup.procs")).unwrap_or_default();
        list.lines().filter_map(|line| line.parse().ok()).collect()
    }
}

impl Drop for Cgroup {
    fn drop(&mut self) {
        // It goes a moment after its last member has gone.
        harness::wait::within(Duration::from_secs(2), || fs::remove_dir(&self.0).is_ok());
    }
}

/// What a worker does: runs the check, writes its verdict, ends.
///
/// # Errors
///
/// The verdict cannot be written.
pub fn work(code: Check, binaries: PathBuf, folder: PathBuf, seed: u64) -> io::Result<()> {
    // Dies with the grader, so that nothing outlives a grader that was killed.
    rustix::process::set_parent_process_death_signal(Some(rustix::process::Signal::KILL))?;
    // The grader holds them back, for itself.
    Signals::asking_to_end().thread_unblock()?;
    setrlimit(Resource::RLIMIT_FSIZE, FILE_MAX, FILE_MAX)?;
    setrlimit(Resource::RLIMIT_CORE, 0, 0)?;
    let mut go = [0];
    io::stdin().read_exact(&mut go)?;
    let outcome = match code(&TestContext::new(binaries, folder, seed)) {
        Ok(()) => Outcome::Pass,
        Err(Stop::Fail(finding)) => Outcome::Fail(finding),
        Err(Stop::Skip(why)) => Outcome::Skip(why),
        Err(Stop::GraderError(why)) => Outcome::Trouble(why),
    };
    let text = serde_json::to_string(&outcome)?;
    let mut stdout = io::stdout().lock();
    stdout.write_all(text.as_bytes())?;
    stdout.flush()
}
