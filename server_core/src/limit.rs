//! The limit on connections, and the registry of those that are alive.

use crate::handle::ConnectionHandle;
use crate::slab::{Key, Slab};
use std::fmt;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};

/// A limit on connections that several processes share. Each process has a limit of its own besides.
pub trait SharedLimit: fmt::Debug + Send + Sync {
    /// Counts a connection, if the limit allows one more; returns whether it does.
    fn try_acquire(&self) -> bool;

    /// Uncounts a connection.
    fn release(&self);
}

/// The right to have a connection open; it ends when this is dropped.
#[derive(Debug)]
pub struct ConnectionPermit {
    registry: Arc<Registry>,
    key: Key,
}

impl ConnectionPermit {
    /// Drops the registry's share of the connection's handle. The connection still counts.
    pub(crate) fn forget_handle(&self) {
        let handle = self.registry.lock().handles.get_mut(self.key).and_then(Option::take);
        drop(handle); // closing a socket is a system call: not under the lock
    }
}

impl Drop for ConnectionPermit {
    fn drop(&mut self) {
        self.registry.remove(self.key);
    }
}

/// The connections of this process that are alive.
#[derive(Debug, Default)]
pub(crate) struct Registry {
    live: Mutex<Live>,
    empty: Condvar,
    shared_limit: OnceLock<Arc<dyn SharedLimit>>,
}

#[derive(Debug, Default)]
struct Live {
    /// One a permit; without a handle where only the permit is kept.
    handles: Slab<Option<Arc<ConnectionHandle>>>,
    /// When the drain timeout ends. Shutdown has been requested if there is one.
    cut_off: Option<Instant>,
}

impl Live {
    fn handles(&self) -> impl Iterator<Item = &Arc<ConnectionHandle>> {
        self.handles.iter().filter_map(|(_, handle)| handle.as_ref())
    }
}

impl Registry {
    fn lock(&self) -> MutexGuard<'_, Live> {
        // No code that can panic runs under this lock.
        self.live.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Counts connections by `limit` from now on, besides the limit of this process.
    pub(crate) fn share_limit(&self, limit: Arc<dyn SharedLimit>) {
        let _ = self.shared_limit.set(limit);
    }

    /// Adds a connection, if fewer than `max` are alive and the shared limit allows it.
    pub(crate) fn admit(
        self: &Arc<Registry>,
        handle: &Arc<ConnectionHandle>,
        max: usize,
    ) -> Option<ConnectionPermit> {
        let mut live = self.lock();
        if live.handles.len() >= max {
            return None;
        }
        if self.shared_limit.get().is_some_and(|limit| !limit.try_acquire()) {
            return None;
        }
        let key = live.handles.insert(Some(Arc::clone(handle)));
        if live.cut_off.is_some() {
            handle.request_shutdown(); // accepted just before the listening socket was shut down
        }
        Some(ConnectionPermit { registry: Arc::clone(self), key })
    }

    fn remove(&self, key: Key) {
        let removed;
        {
            let mut live = self.lock();
            removed = live.handles.remove(key);
            if let Some(limit) = self.shared_limit.get() {
                limit.release();
            }
            if live.handles.is_empty() && live.cut_off.is_some() {
                self.empty.notify_all();
            }
        }
        drop(removed); // closing a socket is a system call: not under the lock
    }

    /// Requests that every session ends after the request under way. A second call changes nothing.
    pub(crate) fn begin_shutdown(&self, drain_timeout: Duration) {
        let mut live = self.lock();
        if live.cut_off.is_some() {
            return;
        }
        live.cut_off = Some(Instant::now() + drain_timeout);
        live.handles().for_each(|handle| handle.request_shutdown());
        self.empty.notify_all();
    }

    /// When the drain timeout ends; `None` before the shutdown request.
    pub(crate) fn cut_off(&self) -> Option<Instant> {
        self.lock().cut_off
    }

    /// Waits until no connection is left, for at most `timeout`.
    pub(crate) fn wait_until_empty(&self, timeout: Duration) {
        let live = self.lock();
        let _ = self.empty.wait_timeout_while(live, timeout, |live| !live.handles.is_empty());
    }

    /// Ends the connections that the drain timeout has overtaken. Logs first: it may be the end of the
    /// process.
    pub(crate) fn cut(&self) {
        let live = self.lock();
        if !live.handles.is_empty() {
            tracing::warn!("drain timeout: {} connections cut", live.handles.len());
        }
        live.handles().for_each(|handle| handle.cut());
    }
}
