//! The objects that have the kernel send a signal to this process, such as the notification of a queue.
//!
//! An object that still sends when nothing receives its signal any more ends the process. So the last receiver
//! of a signal takes the requests for it back, whichever of the two values is dropped first.

use std::os::fd::RawFd;
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::{Signal, Signals};
use crate::sys::Owner;

struct Registry {
    owner: Option<Owner>,
    sources: Vec<Source>,
    /// How many values of the process receive each signal.
    receivers: [u32; 65],
}

struct Source {
    descriptor: RawFd,
    signal: Signal,
    cancel: fn(RawFd),
}

impl Registry {
    const EMPTY: Self = Self { owner: None, sources: Vec::new(), receivers: [0; 65] };
}

static REGISTRY: Mutex<Registry> = Mutex::new(Registry::EMPTY);

fn registry() -> MutexGuard<'static, Registry> {
    let mut registry = REGISTRY.lock().unwrap_or_else(PoisonError::into_inner);
    // A forked child has a copy of what its parent requested, and requested nothing itself.
    if !registry.owner.is_some_and(Owner::is_here) {
        *registry = Registry { owner: Some(Owner::here()), ..Registry::EMPTY };
    }
    registry
}

/// Has `start` request `signal` on behalf of `descriptor`, and remembers that `cancel` takes the request back.
pub(crate) fn add<T>(
    descriptor: RawFd,
    signal: Signal,
    cancel: fn(RawFd),
    start: impl FnOnce() -> nix::Result<T>,
) -> nix::Result<T> {
    let mut registry = registry();
    let started = start()?;
    registry.sources.retain(|source| source.descriptor != descriptor);
    registry.sources.push(Source { descriptor, signal, cancel });
    Ok(started)
}

/// Takes back what was requested on behalf of `descriptor`, if anything was.
pub(crate) fn remove(descriptor: RawFd) {
    registry().take_back(|source| source.descriptor == descriptor);
}

/// Counts a value that receives `signals`.
pub(super) fn add_receiver(signals: Signals) {
    let mut registry = registry();
    for signal in signals.iter() {
        registry.receivers[signal.number().unsigned_abs() as usize] += 1;
    }
}

/// The reverse of [`add_receiver`]. Takes back the requests for those of the signals that no value receives any
/// more.
pub(super) fn remove_receiver(signals: Signals) {
    let mut registry = registry();
    let last = |signal: &Signal| {
        let receivers = &mut registry.receivers[signal.number().unsigned_abs() as usize];
        *receivers -= 1;
        *receivers == 0
    };
    let unreceived: Signals = signals.iter().filter(last).collect();
    registry.take_back(|source| unreceived.contains(source.signal));
}

impl Registry {
    fn take_back(&mut self, wanted: impl Fn(&Source) -> bool) {
        for source in self.sources.extract_if(.., |source| wanted(source)) {
            (source.cancel)(source.descriptor);
        }
    }
}
