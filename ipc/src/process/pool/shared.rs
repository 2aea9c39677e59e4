//! The state of a pool: its queue, and how far it has come to its end.

use std::collections::VecDeque;
use std::sync::atomic::AtomicU64;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

use nix::sys::eventfd::EventFd;

use super::error::{Outcome, PoolError};
use super::job::Chunk;
use crate::sys::Owner;

/// What the pool's owners and its supervisor share.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) name: String,
    pub(super) workers: usize,
    pub(super) next_id: AtomicU64,
    pub(super) state: Mutex<State>,
    pub(super) finished: Condvar,
    /// The process that has the supervisor's thread.
    pub(super) owner: Owner,
    /// Wakes the supervisor when the state has changed.
    pub(super) wake: EventFd,
}

#[derive(Debug, Default)]
pub(super) struct State {
    /// Jobs that no worker has yet.
    pub(super) queue: VecDeque<Chunk>,
    pub(super) closed: bool,
    pub(super) terminated: bool,
    pub(super) finished: bool,
    /// Why the pool takes no more jobs, if all workers were given up.
    pub(super) failure: Option<PoolError>,
    pub(super) workers: Vec<(String, i32)>,
    /// Why a worker could not be started, while it is tried again.
    pub(super) shortage: Option<String>,
}

impl Shared {
    /// Refuses a forked copy of the owner: no thread there would answer, and one that did not come along may have
    /// held the locks.
    pub(super) fn check_owner(&self) -> Outcome<()> {
        if self.owner.is_here() {
            return Ok(());
        }
        Err(PoolError::Forked { pool: self.name.clone() })
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn wake(&self) {
        // Fails only when the counter is full, and then the supervisor is awake.
        let _ = self.wake.write(1);
    }
}
