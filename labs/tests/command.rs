//! The command from outside, with programs that behave as badly as programs can.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// A student's folder with lab 00 open. One at a time: they share what Cargo has built.
struct Desk {
    folder: tempfile::TempDir,
    _turn: MutexGuard<'static, ()>,
}

static TURN: Mutex<()> = Mutex::new(());

fn target() -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR")).join("labs")
}

impl Desk {
    fn new() -> Desk {
        let turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir_all(target()).unwrap();
        std::os::unix::fs::symlink(target(), folder.path().join("target")).unwrap();
        let desk = Desk { folder, _turn: turn };
        assert_eq!(desk.run(&["open", "00"]).status.code(), Some(0));
        desk
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

    /// Grades a program by one check; gives the exit code and what was printed.
    fn grade(&self, main: &str) -> (i32, String) {
        self.write(main);
        let output = self.run(&["test", "00", "--only", "layers.tcp"]);
        let text = [output.stdout, output.stderr].concat();
        (output.status.code().unwrap(), String::from_utf8_lossy(&text).into_owned())
    }
}

/// Processes whose program lies where graders put them, with their states.
fn left_behind() -> Vec<String> {
    let mut left = Vec::new();
    for entry in fs::read_dir("/proc").unwrap().flatten() {
        let stat = fs::read_to_string(entry.path().join("stat")).unwrap_or_default();
        // The name that the tests give their programs, and nobody else.
        if stat.contains("(layers)") {
            left.push(stat);
        }
    }
    left
}

#[test]
fn a_program_that_hangs() {
    let (code, text) = Desk::new().grade("fn main() { loop { std::thread::park(); } }");
    assert_eq!(code, 1, "{text}");
    assert!(text.contains("runs on: pid") && text.contains("in futex"), "{text}");
    assert!(left_behind().is_empty());
}

#[test]
fn a_program_that_prints_without_end() {
    let (code, text) = Desk::new().grade("fn main() { loop { println!(\"no\"); } }");
    assert_eq!(code, 1, "{text}");
    assert!(text.contains("bytes of output; it was stopped"), "{text}");
    assert!(left_behind().is_empty());
}

#[test]
fn a_program_that_forks_without_end() {
    let bomb = "fn main() { loop { unsafe { libc::fork(); } } }";
    let (code, text) = Desk::new().grade(bomb);
    assert_eq!(code, 1, "{text}");
    assert!(text.contains("no more than 64 processes at once"), "{text}");
    assert!(left_behind().is_empty());
}

#[test]
fn a_program_that_fills_the_disk() {
    let one = "fn main() { let block = vec![1u8; 1 << 20]; \
               let mut file = std::fs::File::create(\"f\").unwrap(); \
               loop { std::io::Write::write_all(&mut file, &block).unwrap(); } }";
    let desk = Desk::new();
    let (code, text) = desk.grade(one);
    assert_eq!(code, 1, "{text}");
    assert!(text.contains("it wrote a file beyond the limit"), "{text}");
    let many = "fn main() { let block = vec![1u8; 1 << 20]; \
                for n in 0u64.. { std::fs::write(format!(\"f{n}\"), &block).unwrap(); } }";
    let (code, text) = desk.grade(many);
    assert_eq!(code, 1, "{text}");
    assert!(text.contains("no more than 256 MiB of files"), "{text}");
}

#[test]
fn a_daemon_that_escapes_is_found_and_ended() {
    // Another session, another group, no parent: but still below the grader.
    let daemon = "fn main() { unsafe { \
        if libc::fork() == 0 { libc::setsid(); if libc::fork() == 0 { \
            for fd in 0..64 { libc::close(fd); } loop { libc::pause(); } } \
            libc::_exit(0); } } \
        for line in std::io::stdin().lines() { line.unwrap(); println!(\"no\"); } }";
    let (code, text) = Desk::new().grade(daemon);
    assert_eq!(code, 1, "{text}");
    assert!(text.contains("left") && text.contains("in pause"), "{text}");
    assert!(left_behind().is_empty());
}

#[test]
fn a_program_that_does_not_compile_is_not_graded() {
    let (code, text) = Desk::new().grade("fn main() { 1 }");
    assert_eq!(code, 1, "{text}");
    assert!(text.contains("mismatched types") && text.contains("nothing was graded"), "{text}");
}

#[test]
fn two_graders_at_once_are_one_too_many() {
    let desk = Desk::new();
    desk.write("fn main() { loop { std::thread::park(); } }");
    let mut first = desk.command(&["test", "00", "--only", "layers.tcp"]);
    let mut first = first.stdout(Stdio::piped()).spawn().unwrap();
    let lock = target().join("00_layers.lock");
    let locked = || fs::File::open(&lock).is_ok_and(|file| file.try_lock().is_err());
    assert!(harness::wait::within(harness::wait::PATIENCE, locked), "it never takes the lock");
    let second = desk.run(&["test", "00"]);
    assert_eq!(second.status.code(), Some(3));
    let text = String::from_utf8_lossy(&second.stderr);
    assert!(text.contains("is being graded already"), "{text}");
    assert_eq!(first.wait().unwrap().code(), Some(1));
}

#[test]
fn a_worker_that_is_killed_says_nothing_about_the_program() {
    let desk = Desk::new();
    // The student's program kills its parent, which is the worker.
    let killer = "fn main() { unsafe { libc::kill(libc::getppid(), libc::SIGKILL); } }";
    let (code, text) = desk.grade(killer);
    assert_eq!(code, 3, "{text}");
    assert!(text.contains("the grader's worker was ended by SIGKILL"), "{text}");
    assert!(left_behind().is_empty());
}

#[test]
fn bad_usage_has_exit_code_2_and_names_what_there_is() {
    let desk = Desk::new();
    for (args, wanted) in [
        (&["open", "99"][..], "there is no lab 99; there are 00"),
        (&["test", "00", "--only", "nothing"], "no check is called nothing; there are layers.tcp"),
        (&["hint", "00", "nothing"], "there is no hole nothing; there are ip-lengths"),
        (&["explain", "00", "nothing"], "there is no check nothing"),
        (&["test", "00", "--seed", "xyz"], "hexadecimal"),
    ] {
        let output = desk.run(args);
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(2), "{args:?}: {text}");
        assert!(text.contains(wanted), "{args:?}: {text}");
    }
}

#[test]
fn what_a_student_wrote_is_never_lost() {
    let desk = Desk::new();
    desk.write("fn main() {} // mine");
    let mine = |path: &Path| fs::read_to_string(path.join("src/main.rs")).unwrap().contains("mine");
    let package = desk.folder.path().join("00_layers");
    assert_eq!(desk.run(&["open", "00"]).status.code(), Some(0));
    assert!(mine(&package));
    assert_eq!(desk.run(&["reset", "00"]).status.code(), Some(0));
    assert!(!mine(&package) && mine(&desk.folder.path().join("backups/00_layers-1")));
    // A file of progress that cannot be understood is left alone.
    fs::write(desk.folder.path().join("progress.json"), "{ not json").unwrap();
    assert_eq!(desk.run(&["list"]).status.code(), Some(3));
    assert_eq!(fs::read_to_string(desk.folder.path().join("progress.json")).unwrap(), "{ not json");
}

#[test]
fn starters_are_what_the_references_make_them() {
    let output =
        Command::new(env!("CARGO_BIN_EXE_lab")).args(["starters", "--check"]).output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{text}");
}
