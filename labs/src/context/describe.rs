//! Processes and texts in the words of a finding.

use harness::proc::Process;
use nix::sys::signal::Signal;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::fs;
use std::os::unix::process::ExitStatusExt;
use std::process::ExitStatus;

/// How a program has ended, in words.
pub fn describe_exit(status: ExitStatus) -> String {
    match (status.code(), status.signal().map(Signal::try_from)) {
        (Some(101), _) => "panicked (exit code 101)".into(),
        (Some(code), _) => format!("ended with exit code {code}"),
        (None, Some(Ok(Signal::SIGXFSZ))) => {
            "was ended by SIGXFSZ: it wrote a file beyond the limit".into()
        }
        (None, Some(Ok(signal))) => format!("was ended by {signal}"),
        (None, _) => "ended".into(),
    }
}

/// What processes are doing: their states, and the system calls that their threads are in.
pub fn describe_processes(processes: &[Process]) -> String {
    let one = |process: &Process| {
        let calls: BTreeSet<&str> = thread_syscalls(process.pid).into_values().collect();
        let calls = calls.into_iter().collect::<Vec<_>>().join(", ");
        let calls = if calls.is_empty() { calls } else { format!(" in {calls}") };
        let what = match process.state {
            'R' => "running",
            'Z' => "a zombie",
            'T' => "stopped",
            _ => "waiting",
        };
        format!("pid {} is {what}{calls}", process.pid)
    };
    let mut shown: Vec<String> = processes.iter().take(6).map(one).collect();
    if processes.len() > shown.len() {
        shown.push(format!("and {} more", processes.len() - shown.len()));
    }
    if shown.is_empty() { "it is gone".into() } else { shown.join("; ") }
}

/// The waiting system calls that the threads of a process are in, by thread id, where the kernel shows them. The
/// thread that began in `main` has the id of the process.
pub fn thread_syscalls(pid: i32) -> BTreeMap<i32, &'static str> {
    let Ok(tasks) = fs::read_dir(format!("/proc/{pid}/task")) else { return BTreeMap::new() };
    let call = |task: fs::DirEntry| {
        let line = fs::read_to_string(task.path().join("syscall")).ok()?;
        let call = name_of(line.split(' ').next()?.parse().ok()?)?;
        Some((task.file_name().to_str()?.parse().ok()?, call))
    };
    tasks.flatten().filter_map(call).collect()
}

/// The waiting calls of x86-64 that students meet.
fn name_of(number: i64) -> Option<&'static str> {
    if cfg!(not(target_arch = "x86_64")) {
        return None;
    }
    Some(match number {
        0 => "read",
        1 => "write",
        7 => "poll",
        23 => "select",
        34 => "pause",
        35 | 230 => "nanosleep",
        43 | 288 => "accept",
        44 => "sendto",
        45 => "recvfrom",
        46 => "sendmsg",
        47 => "recvmsg",
        61 | 247 => "wait",
        72 => "fcntl",
        73 => "flock",
        130 => "sigsuspend",
        128 => "sigtimedwait",
        202 => "futex",
        232 | 281 => "epoll_wait",
        270 => "pselect",
        271 => "ppoll",
        _ => return None,
    })
}

/// Text in quotes, cut where it is long.
pub fn quote(text: &str) -> String {
    let mut shown: String = text.chars().take(80).collect();
    if text.chars().count() > 80 {
        shown.push('…');
    }
    format!("{shown:?}")
}

/// Bytes as hexadecimal digits.
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(2 * bytes.len()), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}
