//! The ring of one sender and one receiver: records of any length in a circle of bytes.
//!
//! Lamport's queue ("Specifying concurrent program modules", 1983) needs no lock, since either index has
//! one writer. This one differs in how the receiver learns of a message: not from the sender's index, which
//! would cost the transfer of a cache line of its own, but from the first word of the record itself, which
//! travels together with the message (Giacomoni et al., "FastForward for efficient pipeline parallelism",
//! 2008). For that the word must read zero until the record is whole, so the sender clears the word that
//! follows a record before it publishes the record. The receiver's index is read by the sender only
//! when the room that it has seen is used up.
//!
//! A record: a word, then the message, padded to a multiple of eight. The word: in its upper half the position
//! of the record in units of eight bytes, which detects a receiver that lost its way; in its lower half a
//! bit that makes it different from zero, a bit for "skip to the start of the circle", and the length.
//! A record does not wrap around: one `memcpy` in, one out.
//!
//! A sender that is killed before it has published leaves nothing that a receiver sees. So this ring needs
//! no checksum, and has none.

use super::base::{Got, Indices, Store};
use super::sync::Ordering;

const THERE: u32 = 1 << 31;
const SKIP: u32 = 1 << 30;
const LENGTH: u32 = SKIP - 1;

/// The word before each message.
const WORD: u64 = 8;

/// The longest message that always fits into an empty ring, wherever its indices stand.
pub(crate) fn longest(capacity: u64) -> u64 {
    capacity / 2 - WORD
}

#[inline]
fn record(length: usize) -> u64 {
    (length as u64 + 2 * WORD - 1) & !(WORD - 1)
}

#[inline]
fn word(position: u64, low: u32) -> u64 {
    // The upper bits of a position do not fit, and need not: they differ from one round to the next.
    ((position >> 3) << 32) | u64::from(low)
}

/// The sender's side, and its own state.
pub struct Writer {
    capacity: u64,
    tail: u64,
    /// The receiver's index when it was last read.
    head: u64,
    /// The first word that is not yet published, with its offset; zero if there is none.
    withheld: (u64, u64),
}

impl Writer {
    /// Goes on where the last sender stopped. `capacity` is a power of two, at least 64.
    pub fn new(capacity: u64, indices: &Indices, store: &impl Store) -> Self {
        let head = indices.head.0.load(Ordering::Acquire);
        let mut tail = indices.tail.0.load(Ordering::Acquire);
        // A sender that died right after it published has not written its index.
        loop {
            let offset = tail & (capacity - 1);
            // SAFETY: the mask keeps the offset within the circle.
            let found = unsafe { store.word(offset) }.load(Ordering::Acquire);
            let low = found as u32;
            if low & THERE == 0 || found != word(tail, low) {
                break;
            }
            tail += match low & SKIP {
                0 => record((low & LENGTH) as usize),
                _ => capacity - offset,
            };
        }
        // Written at once, so that never more than one sender's last record lies beyond it: what the next one puts may
        // wrap around and overwrite the records that it would be found by.
        indices.tail.0.store(tail, Ordering::Release);
        Self { capacity, tail, head, withheld: (0, 0) }
    }

    /// Writes a message into the ring, without publishing it. `false` if there is no room for it now.
    ///
    /// The message must not be longer than [`longest`].
    #[inline]
    pub fn stage(&mut self, indices: &Indices, store: &impl Store, message: &[u8]) -> bool {
        debug_assert!(message.len() as u64 <= longest(self.capacity));
        let mask = self.capacity - 1;
        let need = record(message.len());
        let offset = self.tail & mask;
        let room = self.capacity - offset;
        let skip = if need > room { room } else { 0 };
        // The word after the record is cleared, so it must be free too.
        let end = self.tail.wrapping_add(skip + need);
        if end.wrapping_add(WORD).wrapping_sub(self.head) > self.capacity {
            self.head = indices.head.0.load(Ordering::Acquire);
            if end.wrapping_add(WORD).wrapping_sub(self.head) > self.capacity {
                return false;
            }
        }
        if skip != 0 {
            self.withhold(store, offset, word(self.tail, THERE | SKIP));
        }
        let start = self.tail.wrapping_add(skip);
        let offset = start & mask;
        // SAFETY: the record does not reach beyond the circle, by the choice of `skip`; `head` says that the
        // receiver is through with these bytes, and it does not read on before the word is published.
        unsafe {
            store.copy_in(offset + WORD, message);
            store.word(end & mask).store(0, Ordering::Relaxed);
        }
        self.withhold(store, offset, word(start, THERE | message.len() as u32));
        self.tail = end;
        true
    }

    /// Remembers the word if it is the first, and writes it otherwise: without the first one the receiver
    /// does not come that far.
    #[inline]
    fn withhold(&mut self, store: &impl Store, offset: u64, word: u64) {
        if self.withheld.1 == 0 {
            self.withheld = (offset, word);
        } else {
            // SAFETY: an offset of a record within the circle.
            unsafe { store.word(offset) }.store(word, Ordering::Relaxed);
        }
    }

    /// Publishes all that was staged, with one write.
    #[inline]
    pub fn publish(&mut self, indices: &Indices, store: &impl Store) {
        let (offset, word) = std::mem::take(&mut self.withheld);
        if word != 0 {
            // SAFETY: an offset of a record within the circle.
            unsafe { store.word(offset) }.store(word, Ordering::Release);
            indices.tail.0.store(self.tail, Ordering::Release);
        }
    }
}

/// The receiver's side.
pub struct Reader {
    capacity: u64,
    head: u64,
}

impl Reader {
    /// Goes on where the last receiver stopped: what it got but did not finish getting comes again.
    pub fn new(capacity: u64, indices: &Indices) -> Self {
        // A damaged index does not make this side read a word across the end.
        Self { capacity, head: indices.head.0.load(Ordering::Acquire) & !(WORD - 1) }
    }

    /// Takes the next message out, if there is one.
    #[inline]
    pub fn get(&mut self, indices: &Indices, store: &impl Store, into: &mut Vec<u8>) -> Got {
        loop {
            let offset = self.head & (self.capacity - 1);
            let room = self.capacity - offset;
            // SAFETY: the mask keeps the offset within the circle.
            let found = unsafe { store.word(offset) }.load(Ordering::Acquire);
            if found == 0 {
                return Got::Nothing;
            }
            let low = found as u32;
            let length = (low & LENGTH) as usize;
            if found != word(self.head, low) || low & THERE == 0 {
                return Got::Broken;
            }
            if low & SKIP != 0 {
                // Not released on its own: the record behind it does so in one write.
                self.head = self.head.wrapping_add(room);
                continue;
            }
            let need = record(length);
            if need > room {
                return Got::Broken;
            }
            // SAFETY: within the circle, as was just checked; the sender leaves these bytes alone until
            // `head` is beyond them.
            unsafe { store.copy_out(offset + WORD, length, into) };
            self.head = self.head.wrapping_add(need);
            indices.head.0.store(self.head, Ordering::Release);
            return Got::Message;
        }
    }
}
