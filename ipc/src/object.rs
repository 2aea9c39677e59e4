//! Objects with a name that were found on the machine, left behind or in use.

use nix::errno::Errno;
use nix::sys::signal::kill;
use nix::unistd::Pid;

use crate::error::Result;

/// An object of this user, as [`queue::list`](crate::queue::list) and
/// [`semaphore::list`](crate::semaphore::list) find it.
///
/// The kernel keeps no mark of the program that made an object, so the lists hold everything that
/// belongs to the calling user, from whatever program. Whether something was *left behind* is a question of
/// which processes still use it: see [`is_abandoned`](Self::is_abandoned).
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
    /// System V objects have such a memory, and the creator is in it only if it used what it made.
    pub last_users: Vec<i32>,
    /// The processes that have it open now, as far as this user may look at them. Only POSIX objects are
    /// open or closed.
    pub open_in: Vec<i32>,
    pub(crate) remover: Remover,
}

/// Removes one object, and no later one of the same name.
///
/// The mechanism that lists an object hands in how to remove it, so that this module knows none of them.
pub(crate) struct Remover(Box<dyn Fn() -> Result<()> + Send + Sync>);

impl Remover {
    pub(crate) fn new(remove: impl Fn() -> Result<()> + Send + Sync + 'static) -> Self {
        Self(Box::new(remove))
    }
}

impl std::fmt::Debug for Remover {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Remover")
    }
}

impl Object {
    /// Whether no living process is known to use it.
    ///
    /// For POSIX objects: nobody has it open, among the processes that this user may look at. For System V
    /// objects, which nobody opens: the last users are all gone. Processes that wait to use it for the
    /// first time are not seen, so ask before you remove.
    #[must_use]
    pub fn is_abandoned(&self) -> bool {
        self.open_in.is_empty() && !self.last_users.iter().any(|pid| process_exists(*pid))
    }

    /// Removes the object. One that is gone already is no error, and one that took over its name
    /// meanwhile stays.
    ///
    /// # Errors
    ///
    /// [`Error::System`](crate::Error::System) when the kernel refuses it: the object has another owner.
    pub fn remove(&self) -> Result<()> {
        (self.remover.0)()
    }
}

/// Whether a process has this pid, of whatever user.
pub(crate) fn process_exists(pid: i32) -> bool {
    pid > 0 && kill(Pid::from_raw(pid), None) != Err(Errno::ESRCH)
}
