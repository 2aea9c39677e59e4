//! The owners of a ring's ends, and where they sleep.

use std::sync::atomic::{AtomicU64, Ordering};

use super::base::CachePadded;
use crate::error::{Error, Result};
use crate::shared::event_count::EventCount;
use crate::shared::identity;
use crate::shared::memory::{Memory, Shared};

/// Written seldom, so that reading it costs nothing. `S` is an array with a word for each sender.
#[repr(C)]
pub(crate) struct Ends<S> {
    pub(super) not_empty: CachePadded<EventCount>,
    pub(super) not_full: CachePadded<EventCount>,
    /// See [`identity`]; zero when there never was one.
    receiver: CachePadded<AtomicU64>,
    /// The same.
    senders: S,
    /// How many senders there ever were, and how many of them left in good order.
    joined: AtomicU64,
    left: AtomicU64,
}

// SAFETY: atomics only, any bits.
unsafe impl<S: Shared> Shared for Ends<S> {}

// SAFETY: atomics only, any bits.
unsafe impl<const N: usize> Shared for [AtomicU64; N] {}

impl<S: AsRef<[AtomicU64]>> Ends<S> {
    /// Makes this process the receiver, if no living process is.
    pub(crate) fn claim_receiver(&self, memory: &Memory) -> Result<()> {
        match claim(&self.receiver.0, |owner| !identity::is_alive(owner)) {
            true => Ok(()),
            false => Err(owned(memory, &self.receiver.0, "receiver")),
        }
    }

    /// Makes this process a sender, and returns its number.
    ///
    /// The word of a dead sender stays its own until the receiver has passed over what it left unfinished.
    pub(crate) fn claim_sender(
        &self,
        memory: &Memory,
        has_unfinished: impl Fn(usize) -> bool,
    ) -> Result<usize> {
        let senders = self.senders.as_ref();
        let claimed = senders.iter().enumerate().position(|(number, sender)| {
            claim(sender, |owner| {
                matches!(owner, 0 | identity::GONE)
                    || !identity::is_alive(owner) && !has_unfinished(number)
            })
        });
        match (claimed, senders) {
            (Some(number), _) => {
                self.joined.fetch_add(1, Ordering::AcqRel);
                Ok(number)
            }
            (None, [sender]) => Err(owned(memory, sender, "sender")),
            (None, _) => Err(Error::WouldBlock { object: memory.name().to_owned() }),
        }
    }

    /// Leaves the ring as its receiver, and wakes senders.
    pub(crate) fn release_receiver(&self) {
        if release(&self.receiver.0) {
            self.not_full.0.notify_all();
        }
    }

    /// Leaves the ring as sender `number`, and wakes the receiver.
    pub(crate) fn release_sender(&self, number: usize) {
        if release(&self.senders.as_ref()[number]) {
            self.left.fetch_add(1, Ordering::AcqRel);
            self.not_empty.0.notify_all();
        }
    }

    /// Whether there can be more than one sender.
    #[inline]
    pub(crate) fn has_many_senders(&self) -> bool {
        self.senders.as_ref().len() > 1
    }

    /// Whether the receiver has left in good order: known without asking the system.
    #[inline]
    pub(crate) fn receiver_left(&self) -> bool {
        self.receiver.0.load(Ordering::Relaxed) == identity::GONE
    }

    /// Whether there was a receiver, and it has left or died.
    pub(crate) fn receiver_absent(&self) -> bool {
        let owner = self.receiver.0.load(Ordering::Acquire);
        owner != 0 && !identity::is_alive(owner)
    }

    /// Whether there were senders, and all have left in good order: known without asking the system.
    #[inline]
    pub(crate) fn senders_left(&self) -> bool {
        match self.senders.as_ref() {
            [sender] => sender.load(Ordering::Acquire) == identity::GONE,
            _ => {
                let left = self.left.load(Ordering::Acquire);
                left != 0 && left == self.joined.load(Ordering::Acquire)
            }
        }
    }

    /// Whether there were senders, and all have left or died.
    pub(crate) fn senders_absent(&self) -> bool {
        let owners = || self.senders.as_ref().iter().map(|sender| sender.load(Ordering::Acquire));
        owners().any(|owner| owner != 0) && !owners().any(identity::is_alive)
    }

    /// Whether there is a sender of this number, and it is alive.
    pub(crate) fn is_sender_alive(&self, number: usize) -> bool {
        let sender = self.senders.as_ref().get(number);
        sender.is_some_and(|sender| identity::is_alive(sender.load(Ordering::Acquire)))
    }
}

/// Makes this process the owner of an end, if it is free.
fn claim(end: &AtomicU64, is_free: impl Fn(u64) -> bool) -> bool {
    let before = end.load(Ordering::Acquire);
    is_free(before)
        && end
            .compare_exchange(before, identity::own(), Ordering::AcqRel, Ordering::Acquire)
            .is_ok()
}

/// Leaves an end, if this process has it: not in a child that was forked with a copy.
fn release(end: &AtomicU64) -> bool {
    let owner = end.load(Ordering::Acquire);
    identity::is_own(owner)
        && end.compare_exchange(owner, identity::GONE, Ordering::AcqRel, Ordering::Relaxed).is_ok()
}

fn owned(memory: &Memory, end: &AtomicU64, role: &str) -> Error {
    let owner = identity::pid(end.load(Ordering::Acquire));
    memory.unusable(format!("process {owner} is its {role}"))
}
