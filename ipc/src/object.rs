//! Objects with a name that were found on the machine, left behind or in use.

use nix::errno::Errno;
use nix::sys::signal::kill;
use nix::unistd::Pid;

use crate::error::Result;
use crate::usage::{Usage, list_pids};

/// An object that has a name, as [`queue::list`](crate::queue::list) and
/// [`semaphore::list`](crate::semaphore::list) find it.
///
/// The kernel keeps no mark of the program that made an object, so the lists hold everything that
/// belongs to the calling user, from whatever program. Whether something was *left behind* is a question of
/// which processes still use it: see [`usage`](Self::usage).
///
/// All fields describe the moment of the list. [`remove_unused`](Self::remove_unused) looks again.
#[derive(Debug)]
#[non_exhaustive]
pub struct Object {
    /// The mechanism: `POSIX queue`, `System V semaphore`.
    pub mechanism: &'static str,
    /// Its name with the slash, or its key.
    pub name: String,
    /// The identifier of a System V object.
    pub id: Option<i32>,
    /// The user that owns it.
    pub owner: u32,
    /// The bytes that it holds: those of the waiting messages, or of the semaphore's memory.
    pub bytes: u64,
    /// The processes that the kernel remembers as the last to have used it; they may be gone. Only
    /// System V objects have such a memory, and the creator is in it only if it used what it made. A process of another
    /// pid namespace has no number here and is left out.
    pub last_users: Vec<i32>,
    /// The processes that have it open now, as far as this user may look at them. Only POSIX objects are
    /// open or closed.
    pub open_in: Vec<i32>,
    /// The processes that wait inside of a call on it, as far as this user may look at them. Only of System V objects.
    pub waiting_in: Vec<i32>,
    /// Whether a process uses it.
    pub usage: Usage,
    /// What the kernel counts and remembers, for people: `1 message; last sent by 812 (gone)`. May be empty.
    pub details: String,
    pub(crate) remover: Remover,
}

/// Removes one object, and no later one of the same name.
///
/// The mechanism that lists an object hands in how to remove it, so that this module knows none of them.
pub(crate) struct Remover {
    remove: Box<dyn Fn() -> Result<()> + Send + Sync>,
    remove_unused: Box<dyn Fn() -> Result<Usage> + Send + Sync>,
}

impl Remover {
    /// `remove` removes it in any case; `remove_unused` does what [`Object::remove_unused`] promises.
    pub(crate) fn new(
        remove: impl Fn() -> Result<()> + Send + Sync + 'static,
        remove_unused: impl Fn() -> Result<Usage> + Send + Sync + 'static,
    ) -> Self {
        Self { remove: Box::new(remove), remove_unused: Box::new(remove_unused) }
    }
}

impl std::fmt::Debug for Remover {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Remover")
    }
}

impl Object {
    /// Whether it is [`Usage::Unused`]: no living process is known to use it, and all that could be looked at was.
    ///
    /// A POSIX object is unused when no process has it open or mapped. A System V object, which is never opened, counts as
    /// unused when it was used before, the last users are all gone, and no process waits in it. A
    /// living process that has its identifier and will use it again is not seen, so ask before you remove one.
    #[must_use]
    pub fn is_abandoned(&self) -> bool {
        self.usage == Usage::Unused
    }

    /// Removes the object, whether it is used or not. One that is gone already is not an error, and one that took over its name
    /// meanwhile stays.
    ///
    /// # Errors
    ///
    /// [`Error::System`](crate::Error::System) when the kernel refuses it: the object has another owner.
    pub fn remove(&self) -> Result<()> {
        (self.remover.remove)()
    }

    /// Looks again which processes use the object, and removes it if it is [`Usage::Unused`]. Any other result says why
    /// it stays. One that is gone already counts as removed, and one that took over its name meanwhile stays.
    ///
    /// A POSIX object cannot be opened between the look and the removal: a write lease (fcntl(2), `F_SETLEASE`) keeps
    /// others waiting for so long. A System V object has no such protection.
    ///
    /// # Errors
    ///
    /// As [`remove`](Self::remove).
    pub fn remove_unused(&self) -> Result<Usage> {
        (self.remover.remove_unused)()
    }
}

/// Whether a process uses a System V object: `waiting` processes wait in it, among them `waiting_in`, and
/// `last_users` were the last to use it.
pub(crate) fn system_v_usage(waiting: u32, waiting_in: &[i32], last_users: &[i32]) -> Usage {
    let alive: Vec<i32> = last_users.iter().copied().filter(|pid| process_exists(*pid)).collect();
    match waiting {
        _ if !waiting_in.is_empty() => {
            Usage::Used(format!("process {} waits in it", list_pids(waiting_in)))
        }
        1.. => Usage::Used(format!("{waiting} wait in it, in processes that cannot be seen here")),
        0 if !alive.is_empty() => {
            Usage::Used(format!("its last user, {}, is alive", list_pids(&alive)))
        }
        0 if last_users.is_empty() => Usage::Unknown("no process that used it is known".to_owned()),
        0 => Usage::Unused,
    }
}

/// Removes a System V object unless it is used, by what `ask` finds out about it just now.
pub(crate) fn remove_unused_system_v(
    ask: nix::Result<Usage>,
    remove: impl FnOnce() -> Result<()>,
) -> Result<Usage> {
    match ask {
        // Gone: `remove` says the same as for one that is there.
        Ok(Usage::Unused) | Err(Errno::EINVAL | Errno::EIDRM) => remove().map(|()| Usage::Unused),
        Ok(usage) => Ok(usage),
        Err(errno) => Ok(Usage::Unknown(format!("it cannot be read ({errno})"))),
    }
}

/// A pid for people, with whether the process is alive; `None` for 0, which the kernel gives where there is none.
pub(crate) fn describe_process(pid: i32) -> Option<String> {
    let state = if process_exists(pid) { "alive" } else { "gone" };
    (pid != 0).then(|| format!("{pid} ({state})"))
}

/// Whether a process has this pid, of whatever user.
pub(crate) fn process_exists(pid: i32) -> bool {
    pid > 0 && kill(Pid::from_raw(pid), None) != Err(Errno::ESRCH)
}
