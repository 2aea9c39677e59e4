//! The ring of many senders and one receiver: slots of one size, each with its state.
//!
//! After Vyukov's bounded queue ("Bounded MPMC queue", 1024cores.net), in which each slot carries a sequence
//! number that says whose turn it is. There a sender first takes a ticket and then writes its slot; if it is
//! killed in between, nobody knows, and the receiver waits for ever. Here a sender claims the slot itself,
//! in one exchange that writes the turn *and the claimer* into the slot's state; the common tail is only
//! advanced afterwards, by whoever comes first. So the owner of every unfinished slot is known, and
//! the receiver passes over it when that owner is dead.
//!
//! A checksum over turn, length and bytes guards the rest: bytes that changed after the sender summed
//! them are counted and not delivered.

use super::single::Line;
use super::sync::{AtomicU64, Ordering};

const FREE: u64 = 0;
const CLAIMED: u64 = 1;
const FULL: u64 = 2;

const KIND_BITS: u32 = 2;
const OWNER_BITS: u32 = 8;

/// How many senders may be attached at a time.
pub const SENDERS: usize = 64;

/// What all sides know of each other. All zero is its initial state.
#[repr(C)]
pub struct Control {
    /// The next ticket, or the one before it.
    pub tail: Line<AtomicU64>,
    /// Tickets that the receiver is through with.
    pub head: Line<AtomicU64>,
}

/// A slot: a state, the length and the checksum of its message, and the bytes. All zero at first.
pub trait Store {
    /// The state of slot `index`.
    fn state(&self, index: u64) -> &AtomicU64;
    /// The length of the message in slot `index`.
    fn length(&self, index: u64) -> &AtomicU64;
    /// Its checksum.
    fn checksum(&self, index: u64) -> &AtomicU64;

    /// Copies a message in.
    ///
    /// # Safety
    ///
    /// It is not longer than a slot, and the caller has claimed this one.
    unsafe fn copy_in(&self, index: u64, message: &[u8]);

    /// Copies `length` bytes out, in the place of what `into` held.
    ///
    /// # Safety
    ///
    /// `length` is not more than a slot has, and the slot is full.
    unsafe fn copy_out(&self, index: u64, length: usize, into: &mut Vec<u8>);
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

/// How many slots there are: a power of two, at least 2.
#[derive(Clone, Copy)]
pub struct Slots {
    mask: u64,
    shift: u32,
}

impl Slots {
    pub fn new(count: u64) -> Self {
        debug_assert!(count.is_power_of_two() && count >= 2);
        Self { mask: count - 1, shift: count.trailing_zeros() }
    }

    #[inline]
    fn index(self, ticket: u64) -> u64 {
        ticket & self.mask
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

/// A slot that the caller owns until it publishes it.
#[derive(Debug)]
pub struct Claim {
    ticket: u64,
    owner: usize,
}

/// Claims the next slot for sender number `owner`, if there is a free one.
#[inline]
pub fn claim(slots: Slots, control: &Control, store: &impl Store, owner: usize) -> Option<Claim> {
    let tail = &control.tail.0;
    let advance = |from: u64| {
        let next = from.wrapping_add(1);
        // A failure means that another has done it, and tells how far.
        match tail.compare_exchange(from, next, Ordering::Relaxed, Ordering::Relaxed) {
            Ok(_) => next,
            Err(now) => now,
        }
    };
    let mut ticket = tail.load(Ordering::Relaxed);
    loop {
        let lap = slots.lap(ticket);
        let slot = store.state(slots.index(ticket));
        let (free, mine) = (state(lap, 0, FREE), state(lap, owner, CLAIMED));
        let found = slot.load(Ordering::Relaxed);
        if found == free {
            // Acquire: the receiver has read the last message out before this one is written.
            if slot.compare_exchange(free, mine, Ordering::Acquire, Ordering::Relaxed).is_ok() {
                advance(ticket);
                return Some(Claim { ticket, owner });
            }
        } else if lap_of(found) == slots.lap_before(ticket) {
            return None; // The message of the last round is still there: the ring is full.
        } else {
            // Somebody else's, who may have been killed before it could advance the tail: help.
            ticket = advance(ticket);
        }
    }
}

/// Writes a message, which fits, into a claimed slot.
#[inline]
pub fn fill(slots: Slots, store: &impl Store, claim: &Claim, message: &[u8]) {
    let index = slots.index(claim.ticket);
    // SAFETY: the caller has checked the length; the slot is claimed.
    unsafe { store.copy_in(index, message) };
    store.length(index).store(message.len() as u64, Ordering::Relaxed);
    store.checksum(index).store(checksum(claim.ticket, message), Ordering::Relaxed);
}

/// Hands a filled slot to the receiver. `false` if it was taken away meanwhile, since this process was
/// thought dead.
#[inline]
pub fn publish(slots: Slots, store: &impl Store, claim: Claim) -> bool {
    let lap = slots.lap(claim.ticket);
    store
        .state(slots.index(claim.ticket))
        .compare_exchange(
            state(lap, claim.owner, CLAIMED),
            state(lap, claim.owner, FULL),
            Ordering::Release,
            Ordering::Relaxed,
        )
        .is_ok()
}

/// Whether sender number `owner` has a slot that it has not finished. Of a dead one only: the living go on
/// claiming.
pub fn has_claims(slots: Slots, store: &impl Store, owner: usize) -> bool {
    (0..=slots.mask).any(|index| {
        let found = store.state(index).load(Ordering::Acquire);
        found == state(lap_of(found), owner, CLAIMED)
    })
}

/// What a look into the ring brought.
#[derive(Debug, PartialEq, Eq)]
pub enum Got {
    Message,
    Nothing,
    /// The next slot is claimed by a sender who is not done.
    Unfinished,
    /// There was a message, but not the one that was sent. It is out of the ring.
    Torn,
}

/// The receiver's side.
pub struct Reader {
    slots: Slots,
    head: u64,
}

impl Reader {
    /// Goes on where the last receiver stopped: what it got but did not finish getting comes again.
    pub fn new(slots: Slots, control: &Control, store: &impl Store) -> Self {
        let mut head = control.head.0.load(Ordering::Acquire);
        // One that died between giving the slot free and writing its index.
        let found = store.state(slots.index(head)).load(Ordering::Acquire);
        if lap_of(found) == slots.lap_after(head) {
            head = head.wrapping_add(1);
        }
        Self { slots, head }
    }

    /// Takes the next message out, if there is one. `longest` is what a slot holds, in bytes.
    #[inline]
    pub fn get(
        &mut self,
        control: &Control,
        store: &impl Store,
        longest: usize,
        into: &mut Vec<u8>,
    ) -> Got {
        let (index, lap) = (self.slots.index(self.head), self.slots.lap(self.head));
        let found = store.state(index).load(Ordering::Acquire);
        if found == state(lap, 0, FREE) || lap_of(found) != lap {
            return Got::Nothing;
        }
        if found == state(lap, owner_of(found), CLAIMED) {
            return Got::Unfinished;
        }
        let length = store.length(index).load(Ordering::Relaxed) as usize;
        let mut whole = length <= longest;
        if whole {
            // SAFETY: not more than a slot has; the slot is full, and nobody else empties it.
            unsafe { store.copy_out(index, length, into) };
            whole = checksum(self.head, into) == store.checksum(index).load(Ordering::Relaxed);
        }
        store.state(index).store(self.next_lap(), Ordering::Release);
        self.advance(control);
        if whole { Got::Message } else { Got::Torn }
    }

    /// The number of the sender who has claimed the next slot and not finished it, if there is one.
    pub fn unfinished(&self, store: &impl Store) -> Option<usize> {
        let lap = self.slots.lap(self.head);
        let found = store.state(self.slots.index(self.head)).load(Ordering::Acquire);
        let owner = owner_of(found);
        (found == state(lap, owner, CLAIMED)).then_some(owner)
    }

    /// Passes over the slot that sender number `owner`, who is dead, has not finished. `false` if it has
    /// been finished after all.
    pub fn skip(&mut self, control: &Control, store: &impl Store, owner: usize) -> bool {
        let (index, lap) = (self.slots.index(self.head), self.slots.lap(self.head));
        let claimed = state(lap, owner, CLAIMED);
        let skipped = store
            .state(index)
            .compare_exchange(claimed, self.next_lap(), Ordering::AcqRel, Ordering::Relaxed)
            .is_ok();
        if skipped {
            self.advance(control);
        }
        skipped
    }

    /// The state of the current slot when it is free for its next turn.
    #[inline]
    fn next_lap(&self) -> u64 {
        state(self.slots.lap_after(self.head), 0, FREE)
    }

    #[inline]
    fn advance(&mut self, control: &Control) {
        self.head = self.head.wrapping_add(1);
        control.head.0.store(self.head, Ordering::Release);
    }
}

/// A checksum over the message and its turn.
///
/// A multiplication per sixteen bytes whose upper and lower halves are folded together, as in Wang Yi's
/// wyhash: fast, and any change of the bytes changes it but for one case in 2^64 or so. It detects
/// accidents, not forgers.
#[inline]
pub fn checksum(ticket: u64, message: &[u8]) -> u64 {
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
