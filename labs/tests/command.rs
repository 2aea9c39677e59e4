//! The command from outside, with programs that behave as badly as programs can.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// A student's folder with lab 00 open. One at a time: they share what Cargo has built.
struct Cli {
    folder: tempfile::TempDir,
    _turn: MutexGuard<'static, ()>,
}

static TURN: Mutex<()> = Mutex::new(());

fn target() -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR")).join("labs")
}

impl Cli {
    fn new() -> Cli {
        let turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir_all(target()).unwrap();
        std::os::unix::fs::symlink(target(), folder.path().join("target")).unwrap();
        let cli = Cli { folder, _turn: turn };
        assert_eq!(cli.run(&["open", "00"]).status.code(), Some(0));
        cli
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_lab"));
        command.args(["--lang", "en", "--folder"]).arg(self.folder.path()).args(args);
        command
    }

    fn run(&self, args: &[&str]) -> Output {
        self.command(args).output().unwrap()
    }

    fn write(&self, main: &str) {
        let folder = self.folder.path().join("00_layers/src");
        fs::write(folder.join("main.rs"), main).unwrap();
    }

    /// Grades a program by one check; gives the exit code and what was printed. Where the machine is too busy for a
    /// verdict, there is none yet.
    fn grade(&self, main: &str) -> (i32, String) {
        self.write(main);
        let mut attempts = 0;
        loop {
            attempts += 1;
            let output = self.run(&["test", "00", "--only", "layers.tcp"]);
            let text = [output.stdout, output.stderr].concat();
            let (code, text) = (output.status.code().unwrap(), String::from_utf8_lossy(&text));
            let busy = code == 3 && text.contains("the machine was too busy");
            if !busy || attempts == 5 {
                return (code, text.into_owned());
            }
        }
    }
}

/// Processes whose program lies where graders put them, with their states.
fn left_behind() -> Vec<String> {
    let mut left = Vec::new();
    // One that has ended may have to wait for whoever has inherited it. One that lives is one too many.
    harness::wait::within(harness::wait::TIMEOUT, || {
        left = students_processes();
        !left.iter().all(|stat| stat.contains(") Z ")) || left.is_empty()
    });
    left
}

/// As [`left_behind`], at this moment.
fn students_processes() -> Vec<String> {
    let mut left = Vec::new();
    for entry in fs::read_dir("/proc").unwrap().flatten() {
        let stat = fs::read_to_string(entry.path().join("stat")).unwrap_or_default();
        // The name that the tests give their programs, and nobody else. What process 1 has inherited and not waited
        // for yet is over.
        if stat.contains("(layers)") && !stat.contains(") Z 1 ") {
            left.push(stat);
        }
    }
    left
}

#[test]
fn hanging_program_is_stopped() {
    let (code, text) = Cli::new().grade("fn main() { loop { std::thread::park(); } }");
    assert_eq!(code, 1, "{text}");
    assert!(text.contains("runs on: pid") && text.contains("in futex"), "{text}");
    assert!(left_behind().is_empty());
}

#[test]
fn endless_output_is_stopped() {
    let (code, text) = Cli::new().grade("fn main() { loop { println!(\"no\"); } }");
    assert_eq!(code, 1, "{text}");
    assert!(text.contains("bytes of output; it was stopped"), "{text}");
    assert!(left_behind().is_empty());
}

#[test]
fn fork_bomb_is_killed() {
    let bomb = "fn main() { loop { unsafe { libc::fork(); } } }";
    let (code, text) = Cli::new().grade(bomb);
    assert_eq!(code, 1, "{text}");
    assert!(text.contains("no more than 64 processes at once"), "{text}");
    assert!(left_behind().is_empty());
}

#[test]
fn disk_filling_is_stopped() {
    // Large from the beginning, so that little has to be written.
    let one = "fn main() { let block = vec![1u8; 1 << 20]; \
               let mut file = std::fs::File::create(\"f\").unwrap(); file.set_len(50 << 20).unwrap(); \
               std::io::Seek::seek(&mut file, std::io::SeekFrom::End(0)).unwrap(); \
               loop { std::io::Write::write_all(&mut file, &block).unwrap(); } }";
    let cli = Cli::new();
    let (code, text) = cli.grade(one);
    assert_eq!(code, 1, "{text}");
    assert!(text.contains("it wrote a file beyond the limit"), "{text}");
    // Large, and without a block on the disk: how much room and time others leave there is of no concern here.
    let many = "fn main() { for n in 0..300 { \
                let file = std::fs::File::create(format!(\"f{n}\")).unwrap(); \
                file.set_len(1 << 20).unwrap(); } loop { std::thread::park(); } }";
    let (code, text) = cli.grade(many);
    assert_eq!(code, 1, "{text}");
    assert!(text.contains("no more than 256 MiB of files"), "{text}");
}

#[test]
fn escaped_daemon_is_killed() {
    // Another session, another group, no parent: but still below the grader.
    let daemon = "fn main() { unsafe { \
        if libc::fork() == 0 { libc::setsid(); if libc::fork() == 0 { \
            for fd in 0..64 { libc::close(fd); } loop { libc::pause(); } } \
            libc::_exit(0); } } \
        for line in std::io::stdin().lines() { line.unwrap(); println!(\"no\"); } }";
    let (code, text) = Cli::new().grade(daemon);
    assert_eq!(code, 1, "{text}");
    assert!(text.contains("left") && text.contains("in pause"), "{text}");
    assert!(left_behind().is_empty());
}

#[test]
fn broken_program_is_not_graded() {
    let (code, text) = Cli::new().grade("fn main() { 1 }");
    assert_eq!(code, 1, "{text}");
    assert!(text.contains("mismatched types") && text.contains("nothing was graded"), "{text}");
}

#[test]
fn second_grader_is_refused() {
    let cli = Cli::new();
    cli.write("fn main() { loop { std::thread::park(); } }");
    let mut first = cli.command(&["test", "00", "--only", "layers.tcp"]);
    let mut first = first.stdout(Stdio::piped()).spawn().unwrap();
    // It has the lock when it runs the program. Who tried to take the lock to see that might be the one who has it when the
    // grader does.
    eventually("the program runs", || !students_processes().is_empty());
    // It keeps the lock for as long as the second one takes.
    let pid = nix::unistd::Pid::from_raw(first.id() as i32);
    nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGSTOP).unwrap();
    let second = cli.run(&["test", "00"]);
    nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGCONT).unwrap();
    assert_eq!(second.status.code(), Some(3));
    let text = String::from_utf8_lossy(&second.stderr);
    assert!(text.contains("is being graded already"), "{text}");
    // The first goes on; whether it has a verdict in the end is a question of how busy the machine is.
    assert!(matches!(first.wait().unwrap().code(), Some(1 | 3)));
}

#[test]
fn killed_worker_is_grader_error() {
    let cli = Cli::new();
    // The student's program kills its parent, which is the worker.
    let killer = "fn main() { unsafe { libc::kill(libc::getppid(), libc::SIGKILL); } }";
    let (code, text) = cli.grade(killer);
    assert_eq!(code, 3, "{text}");
    assert!(text.contains("the grader's worker was ended by SIGKILL"), "{text}");
    assert!(left_behind().is_empty());
}

#[test]
fn bad_usage_exits_with_2() {
    let cli = Cli::new();
    for (args, wanted) in [
        (&["open", "99"][..], "there is no lab 99; there are 00"),
        (&["test", "00", "--only", "nothing"], "no check is called nothing; there are layers.tcp"),
        (&["hint", "00", "nothing"], "there is no gap nothing; there are ip-lengths"),
        (&["explain", "00", "nothing"], "there is no check nothing"),
        (&["test", "00", "--seed", "xyz"], "hexadecimal"),
        (&["open", "08"], "that you write in lab 04: cargo lab open 04"),
        (&["bench", "08", "--against", "04"], "lab 04 is not open yet"),
        (&["bench", "04", "--against", "00"], "lab 00 has no server of the file protocol"),
    ] {
        let output = cli.run(args);
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(2), "{args:?}: {text}");
        assert!(text.contains(wanted), "{args:?}: {text}");
    }
}

#[test]
fn students_work_is_never_lost() {
    let cli = Cli::new();
    cli.write("fn main() {} // mine");
    let mine = |path: &Path| fs::read_to_string(path.join("src/main.rs")).unwrap().contains("mine");
    let package = cli.folder.path().join("00_layers");
    assert_eq!(cli.run(&["open", "00"]).status.code(), Some(0));
    assert!(mine(&package));
    assert_eq!(cli.run(&["reset", "00"]).status.code(), Some(0));
    assert!(!mine(&package) && mine(&cli.folder.path().join("backups/00_layers-1")));
    // A file of progress that cannot be understood is left alone.
    fs::write(cli.folder.path().join("progress.json"), "{ not json").unwrap();
    assert_eq!(cli.run(&["list"]).status.code(), Some(3));
    assert_eq!(fs::read_to_string(cli.folder.path().join("progress.json")).unwrap(), "{ not json");
}

#[test]
fn dependent_lab_uses_students_library() {
    let cli = Cli::new();
    for lab in ["04", "08", "08"] {
        let output = cli.run(&["open", lab]);
        assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    }
    let session = cli.folder.path().join("04_file_server/src/session.rs");
    fs::write(session, "compile_error!(\"this is mine\");\n").unwrap();
    let output = cli.run(&["test", "08"]);
    let text = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{text}");
    assert!(text.contains("this is mine"), "{text}");
}

/// How long a build may take, and what is behind it, on a machine that has much else to do.
const BUILD: Duration = Duration::from_secs(600);

/// Waits until a file or a process has what is looked for, be it after a build.
fn eventually(what: &str, condition: impl FnMut() -> bool) {
    assert!(harness::wait::within(BUILD, condition), "it never happens: {what}");
}

/// Folders and control groups of the grader with this process id.
fn made_by(pid: u32) -> Vec<PathBuf> {
    let homes = [std::env::temp_dir(), "/sys/fs/cgroup/pids".into(), "/sys/fs/cgroup".into()];
    let entries = homes.iter().filter_map(|home| fs::read_dir(home).ok()).flatten().flatten();
    let wanted = format!("-{pid}-");
    let own = |path: &PathBuf| {
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        name.starts_with("lab-") && name.contains(&wanted)
    };
    entries.map(|entry| entry.path()).filter(own).collect()
}

const HANGS: &str =
    "fn main() { unsafe { libc::chdir(c\"/\".as_ptr()); } loop { std::thread::park(); } }";

#[test]
fn killed_graders_leftovers_are_swept() {
    let cli = Cli::new();
    cli.write(HANGS);
    let mut killed = cli.command(&["test", "00", "--only", "layers.tcp"]);
    let mut killed = killed.stdout(Stdio::null()).spawn().unwrap();
    eventually("the program runs", || !students_processes().is_empty());
    killed.kill().unwrap();
    killed.wait().unwrap();
    assert!(!made_by(killed.id()).is_empty() && !students_processes().is_empty());
    cli.write("fn main() { println!(\"no\"); }");
    let next = cli.run(&["test", "00", "--only", "layers.tcp"]);
    let text = String::from_utf8_lossy(&next.stderr).into_owned();
    assert!(matches!(next.status.code(), Some(1 | 3)), "{text}");
    assert!(text.contains("an earlier run was killed; removed what it left: process"), "{text}");
    assert_eq!(made_by(killed.id()), Vec::<PathBuf>::new());
    assert!(left_behind().is_empty(), "{:?}", left_behind());
}

#[test]
fn ctrl_c_ends_check_in_order() {
    let cli = Cli::new();
    cli.write(HANGS);
    let mut ended = cli.command(&["test", "00", "--only", "layers.tcp"]);
    let mut ended = ended.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    eventually("the program runs", || !students_processes().is_empty());
    let pid = nix::unistd::Pid::from_raw(ended.id() as i32);
    nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGINT).unwrap();
    assert_eq!(ended.wait().unwrap().code(), Some(130));
    assert_eq!(made_by(ended.id()), Vec::<PathBuf>::new());
    assert!(left_behind().is_empty(), "{:?}", left_behind());
}

#[test]
fn starved_grader_reports_busy_machine() {
    let cli = Cli::new();
    // Needs a second of processor time, and is right apart from that: no failure may come of it.
    cli.write(
        "fn main() { let begun = std::time::Instant::now(); let mut sum = 0u64; \
         let mut used = || { let mut t = libc::timespec { tv_sec: 0, tv_nsec: 0 }; \
         unsafe { libc::clock_gettime(libc::CLOCK_PROCESS_CPUTIME_ID, &mut t); } \
         t.tv_sec as f64 + t.tv_nsec as f64 / 1e9 }; \
         while used() < 0.8 { for n in 0..10_000 { sum = std::hint::black_box(sum ^ n); } } \
         let _ = begun; }",
    );
    // Once, to build it while there is time. Whether there is enough of it for a verdict is not asked yet.
    let built = cli.run(&["test", "00", "--only", "layers.tcp"]);
    assert!(matches!(built.status.code(), Some(1 | 3)), "{built:?}");
    // All processors are kept busy, and the grader comes last.
    let cores = std::thread::available_parallelism().map_or(2, usize::from);
    let mut burners: Vec<_> = (0..2 * cores)
        .map(|_| Command::new("sh").args(["-c", "while :; do :; done"]).spawn().unwrap())
        .collect();
    let mut starved = Command::new("chrt");
    starved.args(["--idle", "0", env!("CARGO_BIN_EXE_lab"), "--lang", "en", "--folder"]);
    starved.arg(cli.folder.path()).args(["test", "00", "--only", "layers.tcp"]);
    let output = starved.output();
    for burner in &mut burners {
        burner.kill().unwrap();
        burner.wait().unwrap();
    }
    let Ok(output) = output else {
        eprintln!("SKIPPED: no chrt on this machine");
        return;
    };
    let text = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
    assert_eq!(output.status.code(), Some(3), "{text}");
    assert!(text.contains("the machine was too busy") && text.contains(" ?/"), "{text}");
}

#[test]
fn report_has_every_lab() {
    let cli = Cli::new();
    // One that does not compile: a failure of the student's, with what the compiler says.
    cli.write("fn main() { 1 }");
    let output = cli.run(&["grade", "--format", "json"]);
    assert_eq!(output.status.code(), Some(1));
    let report: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((&report["status"], &report["points"]), (&"fail".into(), &0.into()));
    let observed = report["labs"][0]["checks"][0]["observed"].as_str().unwrap();
    assert!(observed.contains("does not compile: error[E0308]: mismatched types"), "{observed}");
    // One that somebody else is grading: nobody's failure.
    fs::create_dir_all(target()).unwrap();
    let lock = fs::File::create(target().join("00_layers.lock")).unwrap();
    lock.lock().unwrap();
    let output = cli.run(&["grade", "--format", "json"]);
    assert_eq!(output.status.code(), Some(3));
    let report: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(
        (&report["status"], &report["points"]),
        (&"grader_error".into(), &serde_json::Value::Null)
    );
    let reason = report["labs"][0]["checks"][0]["reason"].as_str().unwrap();
    assert!(reason.contains("is being graded already"), "{reason}");
    drop(lock);
    // None at all is a wrong use.
    let empty = tempfile::tempdir().unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_lab"));
    command.args(["--lang", "en", "--folder"]).arg(empty.path()).args(["grade"]);
    assert_eq!(command.output().unwrap().status.code(), Some(2));
}

/// A `lab watch`, with all that it has printed so far.
struct Watching {
    command: std::process::Child,
    printed: std::sync::Arc<Mutex<String>>,
}

impl Watching {
    /// Starts it by `through`, a command that is given what to run behind its own arguments.
    fn start(cli: &Cli, through: &[&str], args: &[&str]) -> Watching {
        let watch = cli.command(&[&["watch", "00"], args].concat());
        let mut command = match through {
            [] => watch,
            [program, rest @ ..] => {
                let mut command = Command::new(program);
                command.args(rest).arg(watch.get_program()).args(watch.get_args());
                command
            }
        };
        let mut command = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        let printed = std::sync::Arc::new(Mutex::new(String::new()));
        let (output, into) = (command.stdout.take().unwrap(), printed.clone());
        std::thread::spawn(move || {
            for line in
                std::io::BufRead::lines(std::io::BufReader::new(output)).map_while(Result::ok)
            {
                into.lock().unwrap().push_str(&(line + "\n"));
            }
        });
        Watching { command, printed }
    }

    /// Waits for this text, and takes everything up to now.
    fn shows(&self, what: &str) -> String {
        eventually(what, || self.printed.lock().unwrap().contains(what));
        std::mem::take(&mut self.printed.lock().unwrap())
    }

    fn ends(mut self) {
        let pid = nix::unistd::Pid::from_raw(self.command.id() as i32);
        nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGINT).unwrap();
        assert_eq!(self.command.wait().unwrap().code(), Some(0));
        self.shows("The watch has ended.");
    }
}

impl Drop for Watching {
    fn drop(&mut self) {
        let _ = self.command.kill();
        let _ = self.command.wait();
    }
}

fn watch_sees_saves(through: &[&str], args: &[&str], says: &str) {
    let cli = Cli::new();
    cli.write("fn main() { panic!(\"aardvark\"); }");
    let watching = Watching::start(&cli, through, args);
    watching.shows(says);
    watching.shows("--only errors.others --seed");
    // Many editors save like this: a new file takes the name of the old one. A write in place could be seen half done and
    // be built twice; a signal during the second build ends the command at once.
    let save = |text| {
        let source = cli.folder.path().join("00_layers/src");
        fs::write(source.join("main.rs~"), text).unwrap();
        fs::rename(source.join("main.rs~"), source.join("main.rs")).unwrap();
    };
    save("fn main() { panic!(\"badger\"); }");
    let text = watching.shows("as before:");
    assert!(text.contains("badger") && !text.contains("aardvark"), "{text}");
    // What does not compile is said, and the next save is tried again.
    save("fn main() { 1 }");
    watching.shows("It does not compile");
    save("fn main() { panic!(\"cormorant\"); }");
    watching.shows("cormorant");
    watching.ends();
}

#[test]
fn watch_sees_editor_saves() {
    watch_sees_saves(&[], &[], "Ctrl-C ends it");
}

#[test]
fn watch_polls_on_request() {
    watch_sees_saves(&[], &["--poll"], "looked at again and again: as asked for");
}

/// The limits are those of a user namespace, so that nobody else is short of what is used up here.
#[test]
fn watch_polls_without_inotify() {
    for limit in ["max_inotify_instances", "max_inotify_watches"] {
        let set = format!("echo 0 > /proc/sys/user/{limit} && exec \"$@\"");
        let through = ["unshare", "--user", "--map-root-user", "sh", "-c", &set, "sh"];
        let probe = Command::new(through[0]).args(&through[1..]).arg("true").output();
        match probe {
            Ok(output) if output.status.success() => {}
            refused => {
                eprintln!("SKIPPED: a limit cannot be set in a user namespace: {refused:?}");
                return;
            }
        }
        watch_sees_saves(&through, &[], &limit.replace("max_inotify", "fs/inotify/max_user"));
    }
}
