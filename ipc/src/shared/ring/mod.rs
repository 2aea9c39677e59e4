//! Rings of messages in shared memory: no system call per message.
//!
//! | type | senders | messages | checksum | choose it when |
//! |---|---|---|---|---|
//! | [`Ring`] | one | any length up to half of the ring | none | two processes talk, and fast |
//! | [`RingMany`] | up to 64 | any length up to that of a slot | yes | many report to one |
//!
//! Both have one receiver. Each end belongs to one process at a time; another may take it over when its owner
//! has left or died.
//!
//! # Waiting
//!
//! [`Wait`] is chosen when the ring is made, for both sides. [`Wait::Sleep`] looks for a moment, then sleeps
//! on a futex; whoever puts or gets wakes the other with a system call only if it sleeps, and pays a
//! memory fence (some five nanoseconds) to know that. [`Wait::Spin`] never sleeps: the lowest latency, and
//! a processor that does nothing else. It gives the processor up between looks when it has looked for long,
//! so that two spinning sides get on even on one processor.
//!
//! # When a peer dies
//!
//! A side that waits looks every tenth of a second whether the other still lives (its number and the time of
//! its start, as `/proc` tells them, so both must be in one pid namespace). So a waiting call returns
//! [`Error::Closed`] at once when the peer was dropped in good order, and within about a tenth of a second when it
//! was killed; what it had put is delivered before. A call that need not wait does not look.
//!
//! - A sender killed in the middle of a put: in a [`Ring`] nothing is seen of that message. In a
//!   [`RingMany`] its slot is passed over, by a receiver who finds its owner dead, and counted in
//!   [`ManyReceiver::torn`]; other senders are not disturbed.
//! - A receiver killed in the middle of a get: the next receiver gets that message again.
//! - A sender of a [`RingMany`] that is alive, but stopped in the middle of a put, holds up the receiver: order
//!   is kept, and the living are not passed over.
//!
//! # Trust
//!
//! Peers are trusted to run this code. What a faulty one writes may spoil messages, and is answered with
//! [`Error::Foreign`] where it is noticed; no index that is read from the ring is used unchecked.

mod many;
mod many_senders;
mod one_sender;
mod single;

pub use many_senders::{ManyReceiver, ManySender, RingMany};
pub use one_sender::{Receiver, Ring, Sender};

use std::hint::spin_loop;
use std::ptr::NonNull;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use super::bell::Bell;
use super::identity;
use super::memory::{Memory, Shared};
use super::sync;
use crate::error::{Error, Result};
use crate::sys::Deadline;
use single::Line;

/// How the ends of a ring wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wait {
    /// Asleep in the kernel, woken by the other side.
    Sleep,
    /// Awake, looking again and again.
    Spin,
}

/// Looks before anything else is done about waiting.
const LOOKS: u32 = 100;

impl Wait {
    /// What stands between two looks. Who spins pauses: whoever looks all the time takes the cache line away from
    /// the other side in the middle of its writing. Who sleeps soon does not, for a pause can be longer than
    /// the whole way to the other core and back.
    #[inline]
    fn between_looks(self) {
        if self == Self::Spin {
            spin_loop();
        }
    }
}
/// How often a side that waits looks after the other.
const SLICE: Duration = Duration::from_millis(100);

/// Who is at the ends, and where they sleep. Written seldom, so that reading it costs nothing.
#[repr(C)]
struct Ends<const N: usize> {
    not_empty: Line<Bell>,
    not_full: Line<Bell>,
    /// See [`identity`]; zero when there never was one.
    receiver: Line<AtomicU64>,
    /// The same; zero for a place that is free.
    senders: [AtomicU64; N],
    /// How many senders there ever were, and how many of them left in good order.
    joined: AtomicU64,
    left: AtomicU64,
}

// SAFETY: atomics only, any bits.
unsafe impl<const N: usize> Shared for Ends<N> {}

/// Takes an end of a ring for this process, if nobody alive has it.
fn take(end: &AtomicU64, memory: &Memory, what: &str) -> Result<()> {
    let own = identity::own();
    let before = end.load(Ordering::Acquire);
    let taken = identity::is_alive(before)
        || end.compare_exchange(before, own, Ordering::AcqRel, Ordering::Acquire).is_err();
    match taken {
        false => Ok(()),
        true => {
            let owner = identity::pid(end.load(Ordering::Acquire));
            Err(memory.foreign(format!("process {owner} is its {what}")))
        }
    }
}

/// Leaves an end, if this process has it: not in a child that was forked with a copy.
fn leave(end: &AtomicU64, with: u64) -> bool {
    let owner = end.load(Ordering::Acquire);
    identity::is_own(owner)
        && end.compare_exchange(owner, with, Ordering::AcqRel, Ordering::Relaxed).is_ok()
}

/// Tries until `step` has a result. The caller has tried [`LOOKS`] times already, where it costs least.
///
/// `absent` says why it never will, and is asked now and then; `alone`: nobody else sleeps by this bell.
fn wait<R>(
    memory: &Memory,
    how: Wait,
    bell: &Bell,
    alone: bool,
    timeout: Option<Duration>,
    mut step: impl FnMut() -> Result<Option<R>>,
    mut absent: impl FnMut() -> bool,
) -> Result<R> {
    let deadline = timeout.map(Deadline::monotonic);
    let mut next_look = Instant::now() + SLICE;
    loop {
        match how {
            Wait::Spin => {
                for _ in 0..LOOKS {
                    if let Some(result) = step()? {
                        return Ok(result);
                    }
                    spin_loop();
                }
                // If both are on one core, the other cannot go on before this.
                std::thread::yield_now();
            }
            Wait::Sleep => {
                let announced = bell.announce();
                if let Some(result) = step()? {
                    if alone {
                        bell.leave(announced);
                    }
                    return Ok(result);
                }
                let left = deadline.map_or(SLICE, |deadline| deadline.left());
                let slice = Deadline::monotonic(left.min(SLICE));
                let passed = bell.sleep(announced, Some(&slice));
                if passed && alone {
                    bell.leave(announced);
                }
            }
        }
        let over = deadline.is_some_and(|deadline| deadline.left().is_zero());
        if over || Instant::now() >= next_look {
            next_look = Instant::now() + SLICE;
            // In this order: what the other did before it went is seen by the step after.
            let closed = absent();
            if let Some(result) = step()? {
                return Ok(result);
            }
            if closed {
                return Err(Error::Closed { object: memory.name().to_owned() });
            }
        }
        if let Some(deadline) = deadline.filter(|_| over) {
            return Err(deadline.passed(memory.name()));
        }
        if let Some(result) = step()? {
            return Ok(result);
        }
    }
}

fn check_length(memory: &Memory, message: &[u8], most: usize) -> Result<()> {
    if message.len() <= most {
        return Ok(());
    }
    Err(Error::OutOfRange {
        object: memory.name().to_owned(),
        what: "message length in bytes",
        given: message.len() as u64,
        least: 0,
        most: most as u64,
    })
}

fn closed(memory: &Memory) -> Error {
    Error::Closed { object: memory.name().to_owned() }
}

fn how(fact: u64) -> Wait {
    if fact == 0 { Wait::Sleep } else { Wait::Spin }
}

/// The bytes of a mapping behind a ring's control words.
struct Bytes {
    base: NonNull<u8>,
    /// The whole, and of slots one.
    size: u64,
    stride: u64,
}

// SAFETY: the ends that own it keep the mapping, which belongs to the process; what is reached through it
// is synchronised by the words of the ring.
unsafe impl Send for Bytes {}

impl Bytes {
    /// The bytes at `offset`.
    ///
    /// # Safety
    ///
    /// `offset` is not beyond `size`.
    #[inline]
    unsafe fn at(&self, offset: u64) -> *mut u8 {
        debug_assert!(offset <= self.size);
        // SAFETY: within the mapping, as the caller says and `Memory::content` checked.
        unsafe { self.base.as_ptr().add(offset as usize) }
    }

    /// The word at `offset`.
    ///
    /// # Safety
    ///
    /// A multiple of eight, at least eight less than `size`.
    #[inline]
    unsafe fn word_at(&self, offset: u64) -> &AtomicU64 {
        debug_assert!(offset.is_multiple_of(8) && offset + 8 <= self.size);
        // SAFETY: within the mapping and aligned, as the caller says; an atomic, valid for any bits.
        unsafe { AtomicU64::from_ptr(self.at(offset).cast()) }
    }

    /// Copies out.
    ///
    /// # Safety
    ///
    /// All of it within `size`, and nobody writes there meanwhile.
    #[inline]
    unsafe fn read(&self, offset: u64, length: usize, into: &mut Vec<u8>) {
        debug_assert!(offset + length as u64 <= self.size);
        into.clear();
        into.reserve(length);
        // SAFETY: the source as the caller says; the target has been reserved, does not overlap a mapping, and
        // is initialised up to `length` after the copy.
        unsafe {
            std::ptr::copy_nonoverlapping(self.at(offset), into.as_mut_ptr(), length);
            into.set_len(length);
        }
    }

    /// Copies in.
    ///
    /// # Safety
    ///
    /// All of it within `size`, and nobody else reads or writes there meanwhile.
    #[inline]
    unsafe fn write(&self, offset: u64, message: &[u8]) {
        debug_assert!(offset + message.len() as u64 <= self.size);
        // SAFETY: the target as the caller says; a slice of this process does not overlap it.
        unsafe {
            std::ptr::copy_nonoverlapping(message.as_ptr(), self.at(offset), message.len());
        }
    }
}

/// Whether the owner of an end left it, or died. Not if there never was one.
fn absent(end: &AtomicU64) -> bool {
    let owner = end.load(Ordering::Acquire);
    owner != 0 && !identity::is_alive(owner)
}
