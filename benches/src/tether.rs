//! No measured process outlives the one that measures, however that one ends.
//!
//! The child ties itself: it asks the kernel for a SIGTERM at the death of its parent. So this holds
//! when the parent is killed, too, where no `Drop` runs. The kernel means the *thread* that started the
//! child: start servers from threads that last as long as they do.
//!
//! Each measured process leads a process group of its own. A Ctrl-C at the terminal reaches the measuring process
//! alone, which ends its servers in order; and what a server leaves behind is killed with its group.

use crate::control_group;
use nix::sys::signal::{SigSet, Signal};
use rustix::process::{Pid, getpid, getppid, kill_process_group, set_parent_process_death_signal};
use std::ffi::OsString;
use std::fs;
use std::io;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{self, Command};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;
use tempfile::TempDir;

/// The environment variable that tells a child to whom it is tied: a process id.
const PARENT: &str = "TETHERED_TO";

/// Marks `command` as one whose process is to be tied to this one, as the leader of a group of its own.
pub fn mark(command: &mut Command) -> &mut Command {
    command.env(PARENT, getpid().as_raw_pid().to_string()).process_group(0)
}

/// The process groups of servers, and the directories, that exist at this moment.
static GROUPS: Mutex<Vec<Pid>> = Mutex::new(Vec::new());
static DIRECTORIES: Mutex<Vec<PathBuf>> = Mutex::new(Vec::new());

fn locked<T>(list: &Mutex<T>) -> MutexGuard<'_, T> {
    list.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Has [`end_all`] kill the process group of `leader`, from now on until [`release`].
pub(crate) fn register(leader: Pid) {
    locked(&GROUPS).push(leader);
}

/// The group of `leader` has ended.
pub(crate) fn release(leader: Pid) {
    locked(&GROUPS).retain(|group| *group != leader);
}

/// A temporary directory that [`end_all`] removes too, where no `Drop` runs.
#[derive(Debug)]
pub struct Scratch(TempDir);

impl Scratch {
    /// Makes a directory whose name begins with `prefix`.
    ///
    /// # Errors
    ///
    /// The file system refuses.
    pub fn new(prefix: &str) -> io::Result<Scratch> {
        Scratch::keep(tempfile::Builder::new().prefix(prefix).tempdir()?)
    }

    /// The same in `directory`.
    ///
    /// # Errors
    ///
    /// The file system refuses.
    pub fn new_in(prefix: &str, directory: impl AsRef<Path>) -> io::Result<Scratch> {
        Scratch::keep(tempfile::Builder::new().prefix(prefix).tempdir_in(directory)?)
    }

    fn keep(directory: TempDir) -> io::Result<Scratch> {
        locked(&DIRECTORIES).push(directory.path().to_owned());
        Ok(Scratch(directory))
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        self.0.path()
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        locked(&DIRECTORIES).retain(|directory| directory != self.0.path());
    }
}

/// Kills all servers and removes all temporary directories, for a program that ends at once.
pub fn end_all() {
    for group in locked(&GROUPS).iter() {
        let _ = kill_process_group(*group, rustix::process::Signal::KILL);
    }
    for directory in locked(&DIRECTORIES).iter() {
        // This process may be putting a file into it at this moment.
        for _ in 0..3 {
            if fs::remove_dir_all(directory).is_ok() {
                break;
            }
        }
    }
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
                if fs::remove_dir_all(&folder).is_ok() {
                    break;
                }
            }
            process::exit(128 + signal as i32);
        }
    };
    thread::Builder::new().name("signals".into()).spawn(wait)?;
    Ok(())
}
