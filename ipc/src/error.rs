//! What can go wrong, always with the name of the object.

use std::ops::RangeInclusive;

use nix::errno::Errno;

use crate::limits;

/// The result of every call of this library.
pub type Result<T> = std::result::Result<T, Error>;

/// Why a call did not do what it was asked to.
///
/// Every message begins with the object (a name, or a description such as `pipe 5 -> 6`), so that a log
/// line can be understood without its surroundings. It ends with what to do where that is known. Print it with
/// [`Display`](std::fmt::Display): the form of [`Debug`] is for programmers. A call that fails has changed
/// nothing, unless its documentation says otherwise.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The kernel refused a system call.
    #[error("{object}: {call}: {errno}{}", advice(call, *errno))]
    System {
        /// The name or description of the object.
        object: String,
        /// The system call, or the library call around it, as its manual page is called.
        call: &'static str,
        /// The kernel's reason.
        #[source]
        errno: Errno,
    },
    /// The kernel refused a system call because a limit is reached, and the limit is known. See
    /// [`limits`](crate::limits) for the refusals that this is found out for.
    #[error("{object}: {call}: {reason}")]
    Limit {
        /// The name or description of the object.
        object: String,
        /// The system call, as its manual page is called.
        call: &'static str,
        /// The kernel's reason, which may stand for several limits.
        errno: Errno,
        /// Which limit, its value, and what to do.
        reason: String,
    },
    /// A name that the mechanism cannot have.
    #[error("{name:?} is not a name for a {kind}: {reason}")]
    InvalidName {
        /// The name as it was given.
        name: String,
        /// What it was to name.
        kind: &'static str,
        /// The rule that it breaks.
        reason: &'static str,
    },
    /// A size, count or value outside of what the mechanism allows.
    #[error("{object}: {quantity}: {given} is not within {least} to {most}")]
    OutOfRange {
        /// The name or description of the object.
        object: String,
        /// What is measured, with its unit.
        quantity: &'static str,
        /// The value that was given.
        given: u64,
        /// The least that is allowed.
        least: u64,
        /// The most that is allowed.
        most: u64,
    },
    /// Nothing was done, since it would have meant waiting: the queue is full or empty, the lock or the
    /// semaphore is held by somebody else.
    #[error("{object}: would have to wait; try again later, or use the call that waits")]
    WouldBlock {
        /// The name or description of the object.
        object: String,
    },
    /// The time that the caller was ready to wait has passed.
    #[error(
        "{object}: nothing came within {waited:?}; check that the other side still runs, or wait longer"
    )]
    TimedOut {
        /// The name or description of the object.
        object: String,
        /// The time that the caller allowed.
        waited: std::time::Duration,
    },
    /// Nobody is left at the other end, or the object was closed.
    #[error("{object}: closed by the other side")]
    Closed {
        /// The name or description of the object.
        object: String,
    },
    /// The object exists, but is not what was expected: made by another program, by another version, or
    /// not yet complete.
    #[error("{object}: not usable: {reason}")]
    Unusable {
        /// The name or description of the object.
        object: String,
        /// What does not fit.
        reason: String,
    },
}

impl Error {
    /// The kernel's refusal of `call` on `object`: [`Limit`](Self::Limit) where [`limits`] finds the limit that
    /// was meant, and [`System`](Self::System) otherwise.
    pub(crate) fn system(object: impl Into<String>, call: &'static str, errno: Errno) -> Self {
        let object = object.into();
        match limits::reason(&object, call, errno) {
            Some(reason) => Self::Limit { object, call, errno, reason },
            None => Self::System { object, call, errno },
        }
    }

    /// As [`system`](Self::system), of the calling thread's `errno`.
    pub(crate) fn last(object: impl Into<String>, call: &'static str) -> Self {
        Self::system(object, call, Errno::last())
    }

    /// As [`system`](Self::system), for a call of the standard library.
    pub(crate) fn io(
        object: impl Into<String>,
        call: &'static str,
        error: &std::io::Error,
    ) -> Self {
        Self::system(object, call, error.raw_os_error().map_or(Errno::EIO, Errno::from_raw))
    }

    pub(crate) fn unusable(object: impl Into<String>, reason: impl Into<String>) -> Self {
        Self::Unusable { object: object.into(), reason: reason.into() }
    }

    /// Refuses a value outside of `range`.
    pub(crate) fn check_range(
        object: &str,
        quantity: &'static str,
        given: u64,
        range: RangeInclusive<u64>,
    ) -> Result<()> {
        if range.contains(&given) {
            return Ok(());
        }
        let (least, most) = range.into_inner();
        Err(Self::OutOfRange { object: object.to_owned(), quantity, given, least, most })
    }

    /// Refuses a file of more bytes than this process may make.
    pub(crate) fn check_file_size(object: &str, call: &'static str, bytes: u64) -> Result<()> {
        let Some(reason) = limits::file_size_reason(bytes) else { return Ok(()) };
        Err(Self::Limit { object: object.to_owned(), call, errno: Errno::EFBIG, reason })
    }

    /// The kernel's reason, if the kernel was asked.
    #[must_use]
    pub fn errno(&self) -> Option<Errno> {
        match self {
            Self::System { errno, .. } | Self::Limit { errno, .. } => Some(*errno),
            _ => None,
        }
    }
}

/// What to do about a refusal, where the call makes it plain what the refusal means.
fn advice(call: &str, errno: Errno) -> &'static str {
    let opens = ["mq_open", "msgget", "semget", "sem_open", "shm_open", "shmget"].contains(&call);
    match errno {
        Errno::EEXIST => "; open it, or remove it if its creator is gone",
        Errno::EADDRINUSE => "; stop the process that has bound it, or take another name",
        Errno::ENOENT if opens => "; start the process that makes it first",
        Errno::EACCES if opens => {
            "; it belongs to another user, so run as that user or take another name"
        }
        _ => "",
    }
}

impl From<Error> for std::io::Error {
    /// Keeps the message; the kind is the nearest that the standard library has.
    fn from(error: Error) -> Self {
        use std::io::ErrorKind;
        let kind = match &error {
            Error::System { errno, .. } | Error::Limit { errno, .. } => Self::from(*errno).kind(),
            Error::InvalidName { .. } | Error::OutOfRange { .. } => ErrorKind::InvalidInput,
            Error::WouldBlock { .. } => ErrorKind::WouldBlock,
            Error::TimedOut { .. } => ErrorKind::TimedOut,
            Error::Closed { .. } => ErrorKind::BrokenPipe,
            Error::Unusable { .. } => ErrorKind::InvalidData,
        };
        Self::new(kind, error)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refused_fork_names_limit() {
        let error = Error::system("x", "fork", Errno::EAGAIN);
        let text = error.to_string();
        assert!(text.contains("RLIMIT_NPROC") || text.contains("pids.max"), "{text}");
        assert_eq!(error.errno(), Some(Errno::EAGAIN));
        assert!(matches!(Error::system("x", "execve", Errno::ENOENT), Error::System { .. }));
    }

    #[test]
    fn message_says_what_to_do() {
        let object = || "queue /x".to_owned();
        for (error, expected) in [
            (Error::WouldBlock { object: object() }, "try again later"),
            (
                Error::TimedOut { object: object(), waited: std::time::Duration::from_secs(1) },
                "within 1s; check that the other side still runs",
            ),
            (Error::system(object(), "mq_open", Errno::EEXIST), "open it, or remove it"),
            (Error::system(object(), "mq_open", Errno::ENOENT), "start the process"),
            (Error::system(object(), "mq_open", Errno::EACCES), "another user"),
            (Error::system(object(), "bind", Errno::EADDRINUSE), "take another name"),
        ] {
            let text = error.to_string();
            assert!(text.starts_with("queue /x: ") && text.contains(expected), "{text}");
            assert_eq!(std::io::Error::from(error).to_string(), text);
        }
    }
}
