//! Every example under hostile conditions: it ends in time, reports what happened in plain words, and leaves no process and
//! no name.
//!
//! Each run has namespaces of its own (`sandbox`), so that whatever exists after it was left by it. Unprivileged, the
//! conditions that need namespaces or another user are skipped. Variables of the environment:
//!
//! - `IPC_EXAMPLE=NAME` runs one example only.
//! - `IPC_ROUNDS=N` interrupts and kills each example at N random moments instead of a few.
//! - `IPC_SEED=N` is the seed of the first of these moments. A failure names its seed; the same seed stands for the same line of
//!   output, and as precisely as the scheduler allows for the same moment after it.

mod sandbox;

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{ErrorKind, Read};
use std::os::fd::AsFd;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStderr, ChildStdout, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, OnceLock};
use std::time::{Duration, Instant};

use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sched::{CloneFlags, unshare};
use nix::sys::resource::{Resource, setrlimit};
use nix::sys::signal::{SigHandler, Signal, kill, killpg, signal};
use nix::unistd::Pid;

use sandbox::{Machine, Sandbox, Shm};

/// By then an example and its processes have ended, whatever happens to it. The longest wait of an example is 10 s.
const BOUND: Duration = Duration::from_secs(60);

/// The one complaint that belongs to a story: a child of `process` fails, to show how that is seen.
const STORYS_ERROR: &str = "there is nothing that I could do";

/// How many examples run at the same time in one test. Most of them wait most of the time.
const RUNS_AT_ONCE: usize = 4;

/// A moment is at most 2 to this power yields after a line.
const MOST_YIELDS_EXPONENT: u64 = 14;

// The examples.

/// The names of the examples: `NAME.rs` or `NAME/main.rs`.
fn examples() -> Vec<String> {
    let mut names: Vec<String> = fs::read_dir(directory())
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| {
            path.extension().is_some_and(|it| it == "rs") || path.join("main.rs").exists()
        })
        .map(|path| path.file_stem().unwrap().to_str().unwrap().to_owned())
        .collect();
    names.sort();
    names
}

fn directory() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("examples")
}

fn source(name: &str) -> String {
    let file = directory().join(format!("{name}.rs"));
    let main = directory().join(name).join("main.rs");
    fs::read_to_string(&file).or_else(|_| fs::read_to_string(&main)).unwrap()
}

/// The directory of the built examples. `cargo test` builds them, `cargo test --test examples` does not: it would run the
/// ones of an earlier state.
fn programs() -> &'static Path {
    static PROGRAMS: OnceLock<PathBuf> = OnceLock::new();
    PROGRAMS.get_or_init(|| {
        let programs = Path::new(env!("CARGO_BIN_EXE_ipc_peer")).parent().unwrap().join("examples");
        examples().iter().for_each(|name| assert_current(&programs.join(name)));
        programs
    })
}

fn assert_current(program: &Path) {
    let advice = "run `cargo build -p ipc --examples` first (with the options of this test)";
    let modified = |path: &Path| fs::metadata(path).and_then(|it| it.modified());
    let name = program.display();
    let built = modified(program).unwrap_or_else(|error| panic!("{name}: {error}; {advice}"));
    // `PROGRAM: SOURCE SOURCE ...`, a space within a name as `\ `.
    let sources = fs::read_to_string(program.with_extension("d")).unwrap().replace("\\ ", "\0");
    for source in sources.split_whitespace().skip(1).map(|it| it.replace('\0', " ")) {
        let current = modified(Path::new(&source)).is_ok_and(|changed| changed <= built);
        assert!(current, "{name} is older than {source}; {advice}");
    }
}

// One run of an example.

/// Where the standard output of an example goes.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Output {
    Pipe,
    /// A pipe whose reader leaves after the first line.
    Head,
    File,
    /// A device that is full.
    Full,
}

/// How an example is started.
#[derive(Clone, Debug)]
struct Setting {
    output: Output,
    user: Option<u32>,
    limits: Vec<(Resource, u64)>,
    /// A shell that runs the example in a pid namespace of its own, with or without a `/proc` of that namespace.
    pid_namespace: Option<&'static str>,
}

impl Setting {
    fn usual() -> Self {
        Self { output: Output::Pipe, user: None, limits: Vec::new(), pid_namespace: None }
    }

    fn limited(resource: Resource, limit: u64) -> Self {
        Self { limits: vec![(resource, limit)], ..Self::usual() }
    }
}

/// A running example, and what it has printed so far.
struct Run<'a> {
    sandbox: &'a Sandbox,
    marker: String,
    child: Child,
    status: Option<ExitStatus>,
    stdout: Option<ChildStdout>,
    stderr: Option<ChildStderr>,
    output: Output,
    printed: Vec<u8>,
    reported: Vec<u8>,
    begun: Instant,
}

/// How a run ended.
#[derive(Debug)]
struct End {
    pid: i32,
    status: ExitStatus,
    printed: String,
    reported: String,
    /// What must not be there: processes, the text of a panic.
    faults: Vec<String>,
}

impl<'a> Run<'a> {
    fn start(sandbox: &'a Sandbox, name: &str, setting: &Setting) -> std::io::Result<Self> {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let marker = format!("IPC_EXAMPLE_RUN={}-{count}", std::process::id());
        let program = sandbox.programs().join(name);
        let mut command = Command::new(&program);
        if let Some(script) = setting.pid_namespace {
            unshare(CloneFlags::CLONE_NEWPID)?;
            command = Command::new("/bin/sh");
            command.args(["-c", script]).arg(&program);
        }
        let (variable, value) = marker.split_once('=').unwrap();
        command.env(variable, value).env("TMPDIR", sandbox.temporary());
        command.env_remove("XDG_RUNTIME_DIR").env_remove("RUST_BACKTRACE");
        command.current_dir(sandbox.temporary()).process_group(0);
        if let Some(user) = setting.user {
            command.uid(user).gid(user);
        }
        command.stdin(Stdio::null()).stderr(Stdio::piped());
        command.stdout(match setting.output {
            Output::Pipe | Output::Head => Stdio::piped(),
            Output::File => File::create(sandbox.output())?.into(),
            Output::Full => File::options().write(true).open("/dev/full")?.into(),
        });
        let limits = setting.limits.clone();
        let prepare = move || {
            // As a terminal starts it: a shell's background job would inherit that Ctrl-C is ignored.
            for interruption in [Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP] {
                // SAFETY: no handler is installed, and nothing was installed before.
                unsafe { signal(interruption, SigHandler::SigDfl) }?;
            }
            limits.iter().try_for_each(|&(which, limit)| setrlimit(which, limit, limit))?;
            Ok(())
        };
        // SAFETY: between fork and exec the closure only makes system calls; it allocates and locks nothing.
        unsafe { command.pre_exec(prepare) };
        let mut child = command.spawn()?;
        let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
        let pipes = [stdout.as_ref().map(AsFd::as_fd), stderr.as_ref().map(AsFd::as_fd)];
        for pipe in pipes.into_iter().flatten() {
            fcntl(pipe, FcntlArg::F_SETFL(OFlag::O_NONBLOCK))?;
        }
        Ok(Self {
            sandbox,
            marker,
            child,
            status: None,
            stdout,
            stderr,
            output: setting.output,
            printed: Vec::new(),
            reported: Vec::new(),
            begun: Instant::now(),
        })
    }

    fn pid(&self) -> i32 {
        i32::try_from(self.child.id()).unwrap()
    }

    /// Waits a moment for output, and takes it. Returns whether the main process still runs.
    fn advance(&mut self, wait: PollTimeout) -> bool {
        let pipes = [self.stdout.as_ref().map(AsFd::as_fd), self.stderr.as_ref().map(AsFd::as_fd)];
        let mut pipes: Vec<PollFd> =
            pipes.into_iter().flatten().map(|pipe| PollFd::new(pipe, PollFlags::POLLIN)).collect();
        poll(&mut pipes, wait).unwrap();
        take(&mut self.stdout, &mut self.printed);
        take(&mut self.stderr, &mut self.reported);
        if self.output == Output::Head && self.printed.contains(&b'\n') {
            self.stdout = None;
        }
        if self.status.is_none() {
            self.status = self.child.try_wait().unwrap();
        }
        self.status.is_none()
    }

    /// Lets the example run until it has printed some lines, and then a little longer. Returns whether it still runs.
    fn advance_to(&mut self, moment: Moment) -> bool {
        let lines = |bytes: &[u8]| bytes.iter().filter(|&&byte| byte == b'\n').count();
        while lines(&self.printed) < moment.lines && self.begun.elapsed() < BOUND {
            if !self.advance(PollTimeout::from(20_u8)) {
                return false;
            }
        }
        for _ in 0..moment.yields {
            std::thread::yield_now();
        }
        self.advance(PollTimeout::ZERO)
    }

    /// The example's processes without the main one.
    fn children(&self) -> Vec<(i32, String)> {
        let mut processes = self.sandbox.processes(&self.marker);
        processes.retain(|(pid, _)| *pid != self.pid());
        processes
    }

    /// Kills a process, unless it ends by itself: it is stopped first, since a signal that reaches a process on its way
    /// out changes nothing. Returns whether it was killed.
    fn kill_running(&self, pid: i32) -> bool {
        let send = |signal| kill(Pid::from_raw(pid), signal).is_ok();
        let stat = self.sandbox.proc().join(pid.to_string()).join("stat");
        let state = || {
            let stat = fs::read_to_string(&stat).unwrap_or_default();
            stat.rsplit(')').next().and_then(|rest| rest.trim_start().chars().next())
        };
        let begun = Instant::now();
        if !send(Signal::SIGSTOP) {
            return false;
        }
        while begun.elapsed() < BOUND {
            match state() {
                Some('T') => return send(Signal::SIGKILL),
                None | Some('Z' | 'X') => return false,
                Some(_) => std::thread::yield_now(),
            }
        }
        send(Signal::SIGKILL)
    }

    /// Waits for the end of every process.
    fn finish(mut self) -> End {
        let begun = Instant::now();
        let mut faults = Vec::new();
        loop {
            let runs = self.advance(PollTimeout::from(20_u8));
            let open = self.stdout.is_some() || self.stderr.is_some();
            let late = begun.elapsed() > BOUND;
            if (!runs && !open) || late {
                let left = self.sandbox.processes(&self.marker);
                if left.is_empty() && !runs {
                    break;
                }
                if late {
                    let of = |(pid, line): &(i32, String)| {
                        let main = if *pid == self.pid() { " (main)" } else { "" };
                        let arguments = line.split_once(' ').map_or("", |(_, arguments)| arguments);
                        format!("{pid}{main} {arguments}")
                    };
                    let left: Vec<String> = left.iter().map(of).collect();
                    faults.push(format!("still running after {BOUND:?}: {}", left.join(", ")));
                    break;
                }
            }
        }
        self.end_all();
        let reported = String::from_utf8_lossy(&self.reported).into_owned();
        let printed = if self.output == Output::File {
            fs::read_to_string(self.sandbox.output()).unwrap()
        } else {
            String::from_utf8_lossy(&self.printed).into_owned()
        };
        let reported: String = reported
            .lines()
            .filter(|line| !line.ends_with(STORYS_ERROR))
            .map(|it| format!("{it}\n"))
            .collect();
        let is_bad = |line: &&str| line.contains("panicked at") || is_debug_text(line);
        faults.extend(reported.lines().filter(is_bad).map(|line| format!("printed {line:?}")));
        End { pid: self.pid(), status: self.status.unwrap(), printed, reported, faults }
    }

    /// Kills what still runs.
    fn end_all(&mut self) {
        while self.status.is_none() || !self.sandbox.processes(&self.marker).is_empty() {
            for (pid, _) in self.sandbox.processes(&self.marker) {
                let _ = kill(Pid::from_raw(pid), Signal::SIGKILL);
            }
            if self.status.is_none() {
                let _ = self.child.kill();
                self.status = self.child.try_wait().unwrap();
            }
        }
    }
}

impl Drop for Run<'_> {
    fn drop(&mut self) {
        self.end_all();
    }
}

/// Reads what is there; an end of file closes the pipe.
fn take(pipe: &mut Option<impl Read>, into: &mut Vec<u8>) {
    if let Some(open) = pipe {
        match open.read_to_end(into) {
            Ok(_) => *pipe = None,
            Err(error) => assert_eq!(error.kind(), ErrorKind::WouldBlock, "{error}"),
        }
    }
}

/// Whether a line shows a Rust value (`Kind(WouldBlock)`, `Os { code: 24 }`) instead of a sentence.
fn is_debug_text(line: &str) -> bool {
    let opens_value = |word: &str, next: Option<&&str>| {
        let name = word.trim_start_matches(|it: char| !it.is_alphanumeric());
        let name = name.rsplit_once("::").map_or(name, |(_, name)| name);
        let is_type = |name: &str| {
            name.starts_with(|it: char| it.is_ascii_uppercase())
                && name.chars().all(|it| it.is_ascii_alphanumeric())
        };
        name.split_once('(').is_some_and(|(name, _)| is_type(name))
            || (is_type(name) && next == Some(&"{"))
    };
    let words: Vec<&str> = line.split(' ').collect();
    (0..words.len()).any(|index| opens_value(words[index], words.get(index + 1)))
}

impl End {
    /// Success without a word of complaint.
    fn must_succeed(mut self) -> Self {
        if !self.status.success() || !self.reported.is_empty() {
            self.faults.push("did not succeed quietly".to_owned());
        }
        self
    }

    /// Success, or a failure that is reported.
    fn must_succeed_or_report(mut self) -> Self {
        let reported = self.reported.lines().any(|line| !line.trim().is_empty());
        match self.status.code() {
            Some(0) => {}
            Some(_) if reported => {}
            Some(_) => self.faults.push("failed without a word".to_owned()),
            None => self.faults.push("was ended by a signal".to_owned()),
        }
        self
    }

    /// No failure because a name exists already.
    fn must_not_meet(mut self) -> Self {
        if ["EEXIST", "EADDRINUSE"].iter().any(|errno| self.reported.contains(errno)) {
            self.faults.push("met the names of another copy".to_owned());
        }
        self
    }

    /// Success, a failure that is reported, or the end by a signal that was sent to it.
    fn must_report_or_end_by(self, signal: Signal) -> Self {
        if self.status.signal() == Some(signal as i32) {
            self
        } else {
            self.must_succeed_or_report()
        }
    }

    /// A failure that is reported, or a success that mentions what happened.
    fn must_report_a_kill(mut self) -> Self {
        let text = format!("{}{}", self.printed, self.reported).to_lowercase();
        let mentioned = ["kill", "signal 9", "died", "dead"].iter().any(|word| text.contains(word));
        if self.status.success() && !mentioned {
            self.faults.push("did not mention that a process was killed".to_owned());
        }
        self.must_succeed_or_report()
    }

    /// What is known about the run.
    fn describe(&self) -> String {
        let last: Vec<&str> = self.reported.lines().rev().take(3).collect();
        let lines = self.printed.lines().count();
        format!("[{}; {lines} lines; stderr: {last:?}]", self.status)
    }
}

// Moments.

/// A moment of a run: after some lines of output and a little more.
#[derive(Clone, Copy, Debug)]
struct Moment {
    lines: usize,
    yields: u64,
}

/// A generator of numbers (SplitMix64), the same ones for the same seed.
struct Random(u64);

impl Random {
    fn seed(condition: &str, example: &str, round: u64) -> u64 {
        let bytes = condition.bytes().chain(example.bytes());
        let usual =
            || bytes.fold(0, |seed: u64, byte| seed.wrapping_mul(31).wrapping_add(byte.into()));
        variable("IPC_SEED").unwrap_or_else(usual).wrapping_add(round)
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound.max(1)
    }

    /// Short and long additional times are equally probable by order of magnitude.
    fn moment(&mut self, lines: usize) -> Moment {
        let lines = usize::try_from(self.below(lines as u64)).unwrap();
        let bound = 1 << self.below(MOST_YIELDS_EXPONENT + 1);
        Moment { lines, yields: self.below(bound) }
    }
}

fn variable(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|value| value.parse().unwrap())
}

// A condition.

/// Runs every example under a condition, several at a time, and returns the failures.
fn under(
    condition: &str,
    machine: Machine,
    rounds: u64,
    run: impl Fn(&Sandbox, &str, &mut Random) -> Vec<End> + Sync,
) -> Vec<String> {
    let only = std::env::var("IPC_EXAMPLE").ok();
    let names = examples().into_iter().filter(|it| only.as_ref().is_none_or(|only| only == it));
    let mut jobs: Vec<(String, u64)> =
        names.flat_map(|name| (0..rounds).map(move |round| (name.clone(), round))).collect();
    assert!(!jobs.is_empty(), "IPC_EXAMPLE: no example is named {only:?}");
    jobs.reverse();
    let check = |sandbox: &Sandbox, name: &str, random: &mut Random| {
        let before = sandbox.names(&[]);
        let ends = run(sandbox, name, random);
        let pids: Vec<i32> = ends.iter().map(|end| end.pid).collect();
        let left = sandbox.names(&pids).into_iter().filter(|name| !before.contains(name));
        let mut faults: Vec<String> = left.map(|name| format!("left {name}")).collect();
        faults.extend(ends.iter().flat_map(|end| end.faults.clone()));
        let ends: Vec<String> = ends.iter().map(End::describe).collect();
        (!faults.is_empty()).then(|| format!("{} {}", faults.join("; "), ends.join(" ")))
    };
    let (jobs, failures) = (Mutex::new(jobs), Mutex::new(Vec::new()));
    std::thread::scope(|scope| {
        for _ in 0..RUNS_AT_ONCE {
            scope.spawn(|| {
                while let Some((name, round)) = { jobs.lock().unwrap().pop() } {
                    let seed = Random::seed(condition, &name, round);
                    let mut random = Random(seed);
                    let body = |sandbox: &Sandbox| check(sandbox, &name, &mut random);
                    let failure = Sandbox::run(machine, programs(), body)
                        .unwrap_or_else(|error| Some(format!("no sandbox: {error}")));
                    if let Some(failure) = failure {
                        let line = format!("FAILED\t{condition}\t{name}\tseed {seed}: {failure}");
                        failures.lock().unwrap().push(line);
                    }
                }
            });
        }
    });
    let mut failures = failures.into_inner().unwrap();
    failures.sort();
    failures
}

/// Examines several conditions at the same time, and returns the failures. Under some limits every run waits for
/// seconds, and needs no processor meanwhile.
fn at_once<F: FnOnce() -> Vec<String> + Send>(
    conditions: impl IntoIterator<Item = F>,
) -> Vec<String> {
    std::thread::scope(|scope| {
        let threads: Vec<_> = conditions.into_iter().map(|it| scope.spawn(it)).collect();
        threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
    })
}

fn none(failures: &[String]) {
    assert!(failures.is_empty(), "{} runs failed:\n{}", failures.len(), failures.join("\n"));
}

/// Whether this process may make namespaces and become another user. If not, that is said.
fn privileged(condition: &str) -> bool {
    let private = |sandbox: &Sandbox| sandbox.private;
    let privileged = Sandbox::run(Machine::USUAL, programs(), private).unwrap();
    if !privileged {
        eprintln!("SKIPPED: {condition}: needs root and namespaces");
    }
    privileged
}

fn rounds(usual: u64) -> u64 {
    variable("IPC_ROUNDS").unwrap_or(usual)
}

/// The users of the limits that the kernel counts per user: a new one for each run.
fn new_user() -> u32 {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    30_000 + (std::process::id() * 64 + COUNT.fetch_add(1, Ordering::Relaxed)) % 30_000
}

const NOBODY: u32 = 65_534;

/// One run, to its end.
fn run(sandbox: &Sandbox, name: &str, setting: &Setting) -> End {
    Run::start(sandbox, name, setting).unwrap().finish()
}

/// How many lines each example prints when nothing happens to it.
fn lines() -> &'static BTreeMap<String, usize> {
    static LINES: OnceLock<BTreeMap<String, usize>> = OnceLock::new();
    let count = |name: String| {
        let printed = |sandbox: &Sandbox| run(sandbox, &name, &Setting::usual()).printed;
        let printed = Sandbox::run(Machine::USUAL, programs(), printed).unwrap();
        (name, printed.lines().count())
    };
    let count_all = || examples().into_iter().map(count).collect();
    LINES.get_or_init(count_all)
}

#[test]
fn example_alone_succeeds_quietly() {
    none(&under("plain", Machine::USUAL, 1, |sandbox, name, _| {
        let mut end = run(sandbox, name, &Setting::usual()).must_succeed();
        let directory = sandbox.temporary().display().to_string();
        let printed = end.printed.replace(&directory, "/tmp");
        let long = printed.lines().filter(|line| line.chars().count() > 100);
        end.faults.extend(long.map(|line| format!("printed more than 100 columns: {line}")));
        vec![end]
    }));
}

#[test]
fn example_into_file_succeeds_quietly() {
    none(&under("stdout is a file", Machine::USUAL, 1, |sandbox, name, _| {
        let setting = Setting { output: Output::File, ..Setting::usual() };
        vec![run(sandbox, name, &setting).must_succeed()]
    }));
}

#[test]
fn copies_at_once_do_not_meet() {
    none(&under("three copies at once", Machine::USUAL, 1, |sandbox, name, _| {
        let start = |_| Run::start(sandbox, name, &Setting::usual()).unwrap();
        let copies = [0; 3].map(start);
        copies.map(|copy| copy.finish().must_succeed()).into()
    }));
}

#[test]
fn example_as_nobody_succeeds_quietly() {
    if privileged("as nobody") {
        none(&under("as nobody", Machine::USUAL, 1, |sandbox, name, _| {
            let setting = Setting { user: Some(NOBODY), ..Setting::usual() };
            vec![run(sandbox, name, &setting).must_succeed()]
        }));
    }
}

#[test]
fn reader_that_leaves_ends_example() {
    none(&under("| head -1", Machine::USUAL, rounds(1), |sandbox, name, _| {
        let setting = Setting { output: Output::Head, ..Setting::usual() };
        let mut end = run(sandbox, name, &setting).must_report_or_end_by(Signal::SIGPIPE);
        if !end.reported.is_empty() {
            end.faults.push("was not quiet".to_owned());
        }
        vec![end]
    }));
}

#[test]
fn full_output_is_reported() {
    none(&under("> /dev/full", Machine::USUAL, 1, |sandbox, name, _| {
        let setting = Setting { output: Output::Full, ..Setting::usual() };
        let mut end = run(sandbox, name, &setting).must_succeed_or_report();
        if end.status.success() {
            end.faults.push("did not report that its output was lost".to_owned());
        }
        vec![end]
    }));
}

#[test]
fn ctrl_c_leaves_nothing() {
    let lines = lines();
    none(&under("Ctrl-C", Machine::USUAL, rounds(2), |sandbox, name, random| {
        let mut run = Run::start(sandbox, name, &Setting::usual()).unwrap();
        if run.advance_to(random.moment(lines[name])) {
            killpg(Pid::from_raw(run.pid()), Signal::SIGINT).unwrap();
        }
        vec![run.finish().must_report_or_end_by(Signal::SIGINT)]
    }));
}

#[test]
fn terminated_example_leaves_nothing() {
    let lines = lines();
    none(&under("SIGTERM", Machine::USUAL, rounds(2), |sandbox, name, random| {
        let mut run = Run::start(sandbox, name, &Setting::usual()).unwrap();
        if run.advance_to(random.moment(lines[name])) {
            kill(Pid::from_raw(run.pid()), Signal::SIGTERM).unwrap();
        }
        vec![run.finish().must_report_or_end_by(Signal::SIGTERM)]
    }));
}

#[test]
fn killed_example_leaves_nothing() {
    let lines = lines();
    none(&under("kill -9 of main", Machine::USUAL, rounds(3), |sandbox, name, random| {
        let mut run = Run::start(sandbox, name, &Setting::usual()).unwrap();
        if run.advance_to(random.moment(lines[name])) {
            kill(Pid::from_raw(run.pid()), Signal::SIGKILL).unwrap();
        }
        vec![run.finish().must_report_or_end_by(Signal::SIGKILL)]
    }));
}

#[test]
fn killed_child_is_reported() {
    let lines = lines();
    none(&under("kill -9 of a child", Machine::USUAL, rounds(4), |sandbox, name, random| {
        let mut run = Run::start(sandbox, name, &Setting::usual()).unwrap();
        let mut runs = run.advance_to(random.moment(lines[name]));
        let mut killed = None;
        while runs && killed.is_none() {
            let children = run.children();
            if !children.is_empty() {
                let index = usize::try_from(random.below(children.len() as u64)).unwrap();
                let (pid, line) = &children[index];
                killed = run.kill_running(*pid).then(|| line.clone());
            }
            runs = run.advance(PollTimeout::ZERO);
        }
        let end = run.finish();
        let Some(line) = killed else { return vec![end.must_succeed_or_report()] };
        // An example does without its tracker, which has nothing to do unless the example is killed.
        let mut end = if line.contains("ipc-tracker") {
            end.must_succeed_or_report()
        } else {
            end.must_report_a_kill()
        };
        if !end.faults.is_empty() {
            let arguments = line.split_once(' ').map_or("?", |(_, arguments)| arguments);
            end.faults.push(format!("(killed: {arguments})"));
        }
        vec![end]
    }));
}

/// Under a limit an example works, or says what is missing.
fn under_limit(
    condition: &str,
    machine: Machine,
    setting: impl Fn() -> Setting + Sync,
) -> Vec<String> {
    under(condition, machine, 1, |sandbox, name, _| {
        vec![run(sandbox, name, &setting()).must_succeed_or_report()]
    })
}

#[test]
fn few_descriptors_are_reported() {
    let under_number = |limit| {
        let setting = || Setting::limited(Resource::RLIMIT_NOFILE, limit);
        under_limit(&format!("ulimit -n {limit}"), Machine::USUAL, setting)
    };
    none(&(4..=12).flat_map(under_number).collect::<Vec<_>>());
}

#[test]
fn small_limits_are_reported() {
    let limits = [
        ("RLIMIT_MSGQUEUE 0", Resource::RLIMIT_MSGQUEUE, 0),
        ("RLIMIT_SIGPENDING 0", Resource::RLIMIT_SIGPENDING, 0),
        ("RLIMIT_MEMLOCK 0", Resource::RLIMIT_MEMLOCK, 0),
        ("RLIMIT_AS 64 MiB", Resource::RLIMIT_AS, 64 << 20),
        ("RLIMIT_AS 16 MiB", Resource::RLIMIT_AS, 16 << 20),
    ];
    let failures = limits.into_iter().flat_map(|(condition, resource, limit)| {
        under_limit(condition, Machine::USUAL, || Setting::limited(resource, limit))
    });
    none(&failures.collect::<Vec<_>>());
}

#[test]
fn few_processes_are_reported() {
    if privileged("ulimit -u") {
        // The kernel counts the processes of a user.
        let setting = |limit| Setting {
            user: Some(new_user()),
            ..Setting::limited(Resource::RLIMIT_NPROC, limit)
        };
        let under_number = |limit| {
            move || under_limit(&format!("ulimit -u {limit}"), Machine::USUAL, || setting(limit))
        };
        none(&at_once((1..=4).map(under_number)));
    }
}

#[test]
fn unusual_machine_is_reported() {
    if privileged("unusual machines") {
        let usual = Machine::USUAL;
        let machines = [
            ("full /dev/shm", Machine { shm: Shm::Full, ..usual }),
            ("read-only /dev/shm", Machine { shm: Shm::ReadOnly, ..usual }),
            ("no /dev/shm", Machine { shm: Shm::Absent, ..usual }),
            ("no mqueue mount", Machine { mqueue: false, ..usual }),
            ("no /proc", Machine { proc: false, ..usual }),
            ("no objects allowed", Machine { no_objects: true, ..usual }),
        ];
        // Root may exceed the number of POSIX queues.
        let setting = || Setting { user: Some(NOBODY), ..Setting::usual() };
        let failures = machines
            .into_iter()
            .flat_map(|(condition, machine)| under_limit(condition, machine, setting));
        none(&failures.collect::<Vec<_>>());
    }
}

#[test]
fn pid_namespaces_do_not_disturb() {
    // The shell is process 1 of the namespace, so the example is an ordinary process.
    let own_proc = "mount -t proc proc /proc && \"$0\"; exit $?";
    let outer_proc = "\"$0\"; exit $?";
    let setting = |script| Setting { pid_namespace: Some(script), ..Setting::usual() };
    if privileged("pid namespaces") {
        let own = || {
            under("pid namespace", Machine::USUAL, 1, |sandbox, name, _| {
                vec![run(sandbox, name, &setting(own_proc)).must_succeed()]
            })
        };
        let outer = || {
            let condition = "pid namespace with an outer /proc";
            under_limit(condition, Machine::USUAL, || setting(outer_proc))
        };
        // Both copies have the same pid.
        let two = || {
            under("two pid namespaces", Machine::USUAL, 1, |sandbox, name, _| {
                std::thread::scope(|scope| {
                    [0; 2]
                        .map(|_| scope.spawn(|| run(sandbox, name, &setting(outer_proc))))
                        .map(|thread| {
                            thread.join().unwrap().must_succeed_or_report().must_not_meet()
                        })
                        .into()
                })
            })
        };
        let conditions: [&(dyn Fn() -> Vec<String> + Sync); 3] = [&own, &outer, &two];
        none(&at_once(conditions));
    }
}

#[test]
fn sandbox_finds_what_is_left() {
    let find = |sandbox: &Sandbox| {
        if !sandbox.private {
            eprintln!("SKIPPED: only files are found without namespaces");
            return;
        }
        fs::write(sandbox.temporary().join("left"), "").unwrap();
        let _queue = ipc::queue::PosixQueue::create("/left", 1, 8).unwrap();
        let _semaphore = ipc::semaphore::NamedSemaphore::create("/left", 1).unwrap();
        let _sysv = ipc::queue::SysvQueue::create(ipc::Key::PRIVATE, 1, 8).unwrap();
        let names =
            ["/dev/shm/sem.left", "POSIX queue /left", "System V msg of key 0", "TMPDIR/left"];
        assert_eq!(sandbox.names(&[]), names);
        let mut cat = Command::new("cat");
        let cat = cat.env("IPC_EXAMPLE_RUN", "left").stdin(Stdio::piped()).spawn().unwrap();
        let found = || sandbox.processes("IPC_EXAMPLE_RUN=left").first().map(|(pid, _)| *pid);
        // The child shows its environment once it has become another program.
        let begun = Instant::now();
        while found() != i32::try_from(cat.id()).ok() && begun.elapsed() < BOUND {
            std::thread::yield_now();
        }
        assert_eq!(found(), i32::try_from(cat.id()).ok());
        cat.wait_with_output().unwrap(); // closes its input first
    };
    Sandbox::run(Machine::USUAL, programs(), find).unwrap();
}

#[test]
fn debug_text_is_recognised() {
    for line in ["Error: Os { code: 24 }", "ring: Kind(WouldBlock)", "a: Error::Closed { object"] {
        assert!(is_debug_text(line), "{line}");
    }
    for line in ["queue /a: mq_open: ENOSPC (queues_max is 256)", "shm_open(3) failed {", "I/O"] {
        assert!(!is_debug_text(line), "{line}");
    }
}

#[test]
fn header_says_how_to_run() {
    for name in examples() {
        let source = source(&name);
        let header: Vec<&str> = source.lines().take_while(|line| line.starts_with("//!")).collect();
        let command = format!("//! Run it: `cargo run -p ipc --example {name}`");
        assert!(header.iter().any(|line| line.starts_with(&command)), "{name}: {command}");
        assert!(header.iter().any(|line| line.starts_with("//! Look at: ")), "{name}: Look at");
    }
}

#[test]
fn readme_lists_every_example() {
    let readme = Path::new(env!("CARGO_MANIFEST_DIR")).join("../README.md");
    let readme = fs::read_to_string(readme).unwrap();
    let rows = readme.lines().skip_while(|line| !line.starts_with("| mechanism | module |"));
    let table: Vec<&str> = rows.take_while(|line| line.starts_with('|')).collect();
    for name in examples() {
        let entry = format!("`{name}`");
        assert!(table.iter().any(|row| row.contains(&entry)), "README.md does not list {name}");
    }
}
