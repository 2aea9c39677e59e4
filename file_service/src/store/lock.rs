//! File locks (`flock`), and what takes their place on a file system without them.
//!
//! Two kinds of things are locked. A *temporary* is locked while its upload lives, so that no other server takes it for
//! a leftover. A *directory* is locked while a landing compares a name with a condition and replaces it: exclusively
//! for a conditional landing, shared for an unconditional one, so that nothing is replaced between a comparison and
//! the rename that it permits. A lock belongs to an open file, so each landing opens the directory for itself; then two
//! threads exclude each other as two processes do. No lock is waited for: it is had at once, or the landing is tried
//! again later.

use super::calls::uninterrupted;
use rustix::fs::{FlockOperation, Mode, OFlags, flock, openat};
use rustix::io::Errno;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::{PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard, TryLockError};

/// Takes the place of the locks of all directories where a file system has none. It excludes only the landings of
/// this process.
static PROCESS_LOCK: RwLock<()> = RwLock::new(());

/// Whether the file locks of the served file system are used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum FileLocks {
    /// Yes, as far as it has them.
    Used,
    /// No, as if it had none.
    Absent,
}

/// The outcome of one try to lock a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Claim {
    /// The lock is held until the file is closed.
    Held,
    /// Another open file has a lock that excludes this one.
    HeldByAnother,
    /// The file system does not support locks.
    Unsupported,
}

/// Which other landings in a directory the lock of one permits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Access {
    /// No other landing that replaces a file.
    Exclusive,
    /// Any landing with the same access.
    Shared,
}

impl FileLocks {
    /// Tries once to lock `file`, exclusively.
    ///
    /// # Errors
    ///
    /// The system's errors that mean neither of the other outcomes.
    pub(super) fn claim(self, file: impl AsFd) -> Result<Claim, Errno> {
        self.claim_with(file, FlockOperation::NonBlockingLockExclusive)
    }

    fn claim_with(self, file: impl AsFd, operation: FlockOperation) -> Result<Claim, Errno> {
        if self == FileLocks::Absent {
            return Ok(Claim::Unsupported);
        }
        meaning(uninterrupted(|| flock(&file, operation)))
    }

    /// Tries once to lock `directory` for a landing. Returns `None` while another landing excludes this one.
    ///
    /// # Errors
    ///
    /// The system's errors that mean neither that nor a file system without locks.
    pub(super) fn claim_directory(
        self,
        directory: BorrowedFd<'_>,
        access: Access,
    ) -> Result<Option<LandingLock>, Errno> {
        let operation = match access {
            Access::Exclusive => FlockOperation::NonBlockingLockExclusive,
            Access::Shared => FlockOperation::NonBlockingLockShared,
        };
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        match uninterrupted(|| openat(directory, ".", flags, Mode::empty())) {
            Ok(own) => match self.claim_with(&own, operation)? {
                Claim::Held => return Ok(Some(LandingLock::Directory(own))),
                Claim::HeldByAnother => return Ok(None),
                Claim::Unsupported => {}
            },
            // A directory that may be written and not read cannot be locked.
            Err(Errno::ACCESS | Errno::PERM) => {}
            Err(errno) => return Err(errno),
        }
        Ok(claim_process(access))
    }
}

/// A lock that is held for the rest of a landing.
#[derive(Debug)]
#[expect(dead_code, reason = "the guards are kept for their drop")]
pub(super) enum LandingLock {
    Directory(OwnedFd),
    ProcessExclusive(RwLockWriteGuard<'static, ()>),
    ProcessShared(RwLockReadGuard<'static, ()>),
}

fn claim_process(access: Access) -> Option<LandingLock> {
    match access {
        Access::Exclusive => held(PROCESS_LOCK.try_write()).map(LandingLock::ProcessExclusive),
        Access::Shared => held(PROCESS_LOCK.try_read()).map(LandingLock::ProcessShared),
    }
}

/// The lock guards no data, so a panic of an earlier holder has spoiled nothing.
fn held<G>(outcome: Result<G, TryLockError<G>>) -> Option<G> {
    match outcome {
        Ok(guard) => Some(guard),
        Err(TryLockError::Poisoned(poisoned)) => Some(PoisonError::into_inner(poisoned)),
        Err(TryLockError::WouldBlock) => None,
    }
}

/// What an outcome of `flock` means. Only EWOULDBLOCK says that the lock is held by another open file.
fn meaning(outcome: Result<(), Errno>) -> Result<Claim, Errno> {
    match outcome {
        Ok(()) => Ok(Claim::Held),
        Err(Errno::WOULDBLOCK) => Ok(Claim::HeldByAnother),
        // Lustre without `-o flock`, NFS without a lock manager, FUSE file systems that implement no locks.
        Err(Errno::NOLCK | Errno::NOSYS | Errno::OPNOTSUPP | Errno::INVAL) => {
            Ok(Claim::Unsupported)
        }
        Err(errno) => Err(errno),
    }
}

/// Keeps tests that use the lock of the process apart.
#[cfg(test)]
pub(super) fn alone() -> std::sync::MutexGuard<'static, ()> {
    static TESTS: std::sync::Mutex<()> = std::sync::Mutex::new(());
    TESTS.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::File;

    #[test]
    fn lock_errors_keep_their_meaning() {
        assert_eq!(meaning(Ok(())), Ok(Claim::Held));
        assert_eq!(meaning(Err(Errno::AGAIN)), Ok(Claim::HeldByAnother));
        for errno in [Errno::NOLCK, Errno::NOSYS, Errno::OPNOTSUPP, Errno::INVAL] {
            assert_eq!(meaning(Err(errno)), Ok(Claim::Unsupported), "{errno}");
        }
        for errno in [Errno::IO, Errno::NOMEM, Errno::STALE] {
            assert_eq!(meaning(Err(errno)), Err(errno));
        }
    }

    #[test]
    fn exclusive_landing_excludes_every_other() {
        let _alone = alone();
        let home = tempfile::tempdir().unwrap();
        let directory = File::open(home.path()).unwrap();
        for locks in [FileLocks::Used, FileLocks::Absent] {
            let claim = |access| locks.claim_directory(directory.as_fd(), access).unwrap();
            let shared = claim(Access::Shared);
            assert!(shared.is_some() && claim(Access::Shared).is_some(), "{locks:?}");
            assert!(claim(Access::Exclusive).is_none(), "{locks:?}");
            drop(shared);
            let exclusive = claim(Access::Exclusive);
            assert!(exclusive.is_some(), "{locks:?}");
            assert!(claim(Access::Shared).is_none(), "{locks:?}");
            assert!(claim(Access::Exclusive).is_none(), "{locks:?}");
        }
    }
}
