//! The ring of many senders and one receiver: slots of one size, each with its state.
//!
//! After Vyukov's bounded queue ("Bounded MPMC queue", 1024cores.net), in which each slot carries a sequence
//! number. There a sender first takes a ticket and then writes its slot; if it is killed in between, the
//! receiver waits for ever. Here a sender claims the slot itself,
//! in one exchange that writes the turn *and the claimer* into the slot's state; the common tail is only
//! advanced afterwards, by the sender that comes first. So the owner of every unfinished slot is known, and
//! the receiver passes over it when that owner is dead.
//!
//! A checksum over turn, length and bytes guards the rest: bytes that changed after the sender summed
//! them are counted and not delivered.

use super::base::{Got, Indices, Store};
use super::sync::{AtomicU64, Ordering};

const FREE: u64 = 0;
const CLAIMED: u64 = 1;
const FULL: u64 = 2;

const KIND_BITS: u32 = 2;
const OWNER_BITS: u32 = 8;

/// How many senders may be attached at a time.
pub(crate) const SENDERS: usize = 64;

/// The words of a slot before its message: state, length, checksum.
const HEADER: u64 = 24;

/// The bytes of a slot for messages of up to `longest` bytes.
pub(crate) fn stride(longest: u64) -> u64 {
    (longest + HEADER).next_multiple_of(64)
}

#[inline]
fn state(lap: u64, owner: usize, kind: u64) -> u64 {
    (((lap << OWNER_BITS) | owner as u64) << KIND_BITS) | kind
}

#[inline]
fn lap_of(state: u64) -> u64 {
    state >> (OWNER_BITS + KIND_BITS)
}

#[inline]
fn owner_of(state: u64) -> usize {
    ((state >> KIND_BITS) & ((1 << OWNER_BITS) - 1)) as usize
}

/// The slots: each has a state, the length and the checksum of its message, and the bytes.
#[derive(Clone, Copy)]
pub struct Slots {
    mask: u64,
    shift: u32,
    stride: u64,
}

impl Slots {
    /// `count` is a power of two, at least 2.
    pub fn new(count: u64, longest: u64) -> Self {
        debug_assert!(count.is_power_of_two() && count >= 2);
        Self { mask: count - 1, shift: count.trailing_zeros(), stride: stride(longest) }
    }

    #[inline]
    fn state<S: Store>(self, store: &S, ticket: u64) -> &AtomicU64 {
        self.word(store, ticket, 0)
    }

    #[inline]
    fn length<S: Store>(self, store: &S, ticket: u64) -> &AtomicU64 {
        self.word(store, ticket, 8)
    }

    #[inline]
    fn checksum<S: Store>(self, store: &S, ticket: u64) -> &AtomicU64 {
        self.word(store, ticket, 16)
    }

    #[inline]
    fn word<S: Store>(self, store: &S, ticket: u64, at: u64) -> &AtomicU64 {
        // SAFETY: the mask keeps the slot within the store, which has room for all; strides are multiples of 64,
        // and a slot begins with three words.
        unsafe { store.word(self.offset(ticket) + at) }
    }

    #[inline]
    fn offset(self, ticket: u64) -> u64 {
        (ticket & self.mask) * self.stride
    }

    #[inline]
    fn lap(self, ticket: u64) -> u64 {
        // The state has room for this many bits; a lap comes again after longer than anybody waits.
        (ticket >> self.shift) & (u64::MAX >> (OWNER_BITS + KIND_BITS))
    }

    #[inline]
    fn lap_before(self, ticket: u64) -> u64 {
        self.lap(ticket.wrapping_sub(self.mask + 1))
    }

    #[inline]
    fn lap_after(self, ticket: u64) -> u64 {
        self.lap(ticket.wrapping_add(self.mask + 1))
    }
}

/// A slot that the sender owns until it publishes it.
#[derive(Debug)]
pub struct Claim {
    ticket: u64,
}

/// A sender's side.
pub struct Writer {
    slots: Slots,
    owner: usize,
}

impl Writer {
    /// That of sender number `owner`.
    pub fn new(slots: Slots, owner: usize) -> Self {
        Self { slots, owner }
    }

    /// Claims the next slot, if there is a free one.
    #[inline]
    pub fn claim(&self, indices: &Indices, store: &impl Store) -> Option<Claim> {
        let tail = &indices.tail.0;
        let advance = |from: u64| {
            let next = from.wrapping_add(1);
            // A failure means that another has done it, and returns how far.
            match tail.compare_exchange(from, next, Ordering::Relaxed, Ordering::Relaxed) {
                Ok(_) => next,
                Err(now) => now,
            }
        };
        let mut ticket = tail.load(Ordering::Relaxed);
        loop {
            let lap = self.slots.lap(ticket);
            let slot = self.slots.state(store, ticket);
            let (free, mine) = (state(lap, 0, FREE), state(lap, self.owner, CLAIMED));
            let found = slot.load(Ordering::Relaxed);
            if found == free {
                // Acquire: the receiver has read the last message out before this one is written.
                if slot.compare_exchange(free, mine, Ordering::Acquire, Ordering::Relaxed).is_ok() {
                    advance(ticket);
                    return Some(Claim { ticket });
                }
            } else if lap_of(found) == self.slots.lap_before(ticket) {
                return None; // The message of the last round is still there: the ring is full.
            } else {
                // Another sender's, which may have been killed before it could advance the tail: help.
                ticket = advance(ticket);
            }
        }
    }

    /// Writes a message, which fits, into a claimed slot.
    #[inline]
    pub fn fill(&self, store: &impl Store, claim: &Claim, message: &[u8]) {
        let (slots, ticket) = (self.slots, claim.ticket);
        // SAFETY: the caller has checked the length; the slot is claimed.
        unsafe { store.copy_in(slots.offset(ticket) + HEADER, message) };
        slots.length(store, ticket).store(message.len() as u64, Ordering::Relaxed);
        slots.checksum(store, ticket).store(checksum(ticket, message), Ordering::Relaxed);
    }

    /// Hands a filled slot to the receiver. `false` if the receiver has passed over it, since it took this
    /// process for dead.
    #[inline]
    pub fn publish(&self, store: &impl Store, claim: Claim) -> bool {
        let lap = self.slots.lap(claim.ticket);
        let (claimed, full) = (state(lap, self.owner, CLAIMED), state(lap, self.owner, FULL));
        let state = self.slots.state(store, claim.ticket);
        state.compare_exchange(claimed, full, Ordering::Release, Ordering::Relaxed).is_ok()
    }
}

/// Whether sender number `owner` has a slot that it has not finished. Of a dead one only: the living go on
/// claiming.
pub(crate) fn has_claims(slots: Slots, store: &impl Store, owner: usize) -> bool {
    (0..=slots.mask).any(|index| {
        let found = slots.state(store, index).load(Ordering::Acquire);
        found == state(lap_of(found), owner, CLAIMED)
    })
}

/// The receiver's side.
pub struct Reader {
    slots: Slots,
    longest: usize,
    head: u64,
}

impl Reader {
    /// Goes on where the last receiver stopped: what it got but did not finish getting comes again.
    ///
    /// `longest` is the room of a slot, in bytes.
    pub fn new(slots: Slots, longest: usize, indices: &Indices, store: &impl Store) -> Self {
        let mut head = indices.head.0.load(Ordering::Acquire);
        // The last one died between releasing the slot and writing its index. It is written now: should this one
        // die in the same way, the index is again behind by one slot, and not by two.
        let found = slots.state(store, head).load(Ordering::Acquire);
        if lap_of(found) == slots.lap_after(head) {
            head = head.wrapping_add(1);
            indices.head.0.store(head, Ordering::Release);
        }
        Self { slots, longest, head }
    }

    /// Takes the next message out, if there is one that is finished.
    #[inline]
    pub fn get(&mut self, indices: &Indices, store: &impl Store, into: &mut Vec<u8>) -> Got {
        let (slots, ticket) = (self.slots, self.head);
        let lap = slots.lap(ticket);
        let found = slots.state(store, ticket).load(Ordering::Acquire);
        if found == state(lap, 0, FREE) || lap_of(found) != lap {
            return Got::Nothing;
        }
        if found == state(lap, owner_of(found), CLAIMED) {
            return Got::Nothing;
        }
        let length = slots.length(store, ticket).load(Ordering::Relaxed) as usize;
        let mut whole = length <= self.longest;
        if whole {
            // SAFETY: not more than a slot has; the slot is full, and nobody else empties it.
            unsafe { store.copy_out(slots.offset(ticket) + HEADER, length, into) };
            whole = checksum(ticket, into) == slots.checksum(store, ticket).load(Ordering::Relaxed);
        }
        slots.state(store, ticket).store(self.next_lap(), Ordering::Release);
        self.advance(indices);
        if whole { Got::Message } else { Got::Torn }
    }

    /// The number of the sender who has claimed the next slot and not finished it, if there is one.
    pub fn unfinished(&self, store: &impl Store) -> Option<usize> {
        let lap = self.slots.lap(self.head);
        let found = self.slots.state(store, self.head).load(Ordering::Acquire);
        let owner = owner_of(found);
        (found == state(lap, owner, CLAIMED)).then_some(owner)
    }

    /// Passes over the slot that sender number `owner`, who is dead, has not finished. `false` if it has
    /// been finished after all.
    pub fn skip(&mut self, indices: &Indices, store: &impl Store, owner: usize) -> bool {
        let claimed = state(self.slots.lap(self.head), owner, CLAIMED);
        let skipped = self
            .slots
            .state(store, self.head)
            .compare_exchange(claimed, self.next_lap(), Ordering::AcqRel, Ordering::Relaxed)
            .is_ok();
        if skipped {
            self.advance(indices);
        }
        skipped
    }

    /// The state of the current slot when it is free for its next turn.
    #[inline]
    fn next_lap(&self) -> u64 {
        state(self.slots.lap_after(self.head), 0, FREE)
    }

    #[inline]
    fn advance(&mut self, indices: &Indices) {
        self.head = self.head.wrapping_add(1);
        indices.head.0.store(self.head, Ordering::Release);
    }
}

/// A checksum over the message and its turn.
///
/// A multiplication per sixteen bytes whose upper and lower halves are folded together, as in Wang Yi's
/// wyhash: fast, and any change of the bytes changes it but for one case in 2^64 or so. It detects
/// accidents, not forgers.
#[inline]
pub(crate) fn checksum(ticket: u64, message: &[u8]) -> u64 {
    const KEY: [u64; 2] = [0x9e37_79b9_7f4a_7c15, 0xd1b5_4a32_d192_ed03];
    let fold = |left: u64, right: u64| {
        let product = u128::from(left) * u128::from(right);
        product as u64 ^ (product >> 64) as u64
    };
    let eight = |bytes: &[u8]| {
        let mut word = [0; 8];
        word[..bytes.len()].copy_from_slice(bytes);
        u64::from_le_bytes(word)
    };
    let mut sum = fold(ticket ^ KEY[0], message.len() as u64 ^ KEY[1]);
    let mut pairs = message.chunks_exact(16);
    for pair in &mut pairs {
        sum = fold(eight(&pair[..8]) ^ KEY[0], eight(&pair[8..]) ^ KEY[1] ^ sum);
    }
    let rest = pairs.remainder();
    let (first, second) = rest.split_at(rest.len().min(8));
    fold(eight(first) ^ KEY[0], eight(second) ^ KEY[1] ^ sum)
}
