//! No measured process outlives the one that measures, however that one ends.
//!
//! The child ties itself: it asks the kernel for a SIGTERM at the death of its parent. So this holds
//! when the parent is killed, too, where no `Drop` runs. The kernel means the *thread* that started the
//! child: start servers from threads that last as long as they do.

use crate::control_group;
use nix::sys::signal::{SigSet, Signal};
use rustix::process::{Pid, getpid, getppid, set_parent_process_death_signal};
use std::ffi::OsString;
use std::io;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{self, Command};
use std::thread;

/// The environment variable that tells a child to whom it is tied: a process id.
const PARENT: &str = "TETHERED_TO";

/// Marks `command` as one whose process is to be tied to this one.
pub fn mark(command: &mut Command) -> &mut Command {
    command.env(PARENT, getpid().as_raw_pid().to_string())
}

/// Ties this process to its parent if it was [`mark`]ed, puts it into the control group that it was marked for, and
/// unblocks the signals that it inherited blocked; first thing in `main`.
pub fn tie() {
    let Some(parent) = std::env::var(PARENT).ok().and_then(|text| text.parse().ok()) else {
        return;
    };
    let tied = set_parent_process_death_signal(Some(rustix::process::Signal::TERM));
    // The parent may have died before it was asked for its death.
    if tied.is_err() || getppid().map(Pid::as_raw_pid) != Some(parent) {
        process::exit(1);
    }
    control_group::join();
    let _ = SigSet::empty().thread_set_mask();
}

/// Becomes the program that `line` names, which stays as tied as this process is. Returns on failure alone.
pub fn become_program(line: &[OsString]) -> io::Error {
    match line.split_first() {
        Some((program, args)) => Command::new(program).args(args).exec(),
        None => io::Error::new(io::ErrorKind::InvalidInput, "no program named"),
    }
}

/// At SIGINT and SIGTERM removes `folder` and exits with 128 plus the signal's number.
///
/// Comes before other threads start, so that they inherit the mask.
///
/// # Errors
///
/// The system refuses the mask or a thread.
pub fn remove_when_interrupted(folder: PathBuf) -> io::Result<()> {
    let signals = SigSet::from_iter([Signal::SIGINT, Signal::SIGTERM]);
    signals.thread_block()?;
    let wait = move || {
        if let Ok(signal) = signals.wait() {
            // A server may be putting a file into it at this moment.
            for _ in 0..3 {
                if std::fs::remove_dir_all(&folder).is_ok() {
                    break;
                }
            }
            process::exit(128 + signal as i32);
        }
    };
    thread::Builder::new().name("signals".into()).spawn(wait)?;
    Ok(())
}
