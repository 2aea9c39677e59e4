//! Rings of messages, of nothing but atomics and a futex.

use std::io::{Error, Result};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU64, Ordering, fence};

use super::calls::{futex_wait, futex_wake_all};
use super::memory::{CONTENT, CachePadded, Map};

/// How often an end looks before it sleeps.
const LOOKS: u32 = 100;

/// Between the header of the memory and the slots.
#[repr(C)]
struct Indices {
    tail: CachePadded<AtomicU64>,
    head: CachePadded<AtomicU64>,
}

/// The words before the bytes of a slot.
const SLOT_HEADER: usize = 16;

/// The ends of a ring, as indices.
const RECEIVER: usize = 0;
const SENDER: usize = 1;

/// Where the memory's header says that a side that finds nothing to do may sleep: the highest bit of the length.
const SLEEPING: u64 = 1 << 63;

/// Slots of one size in shared memory, and how an end waits for one.
struct SlotArray {
    map: Map,
    mask: u64,
    longest: usize,
    stride: usize,
    sleeping: bool,
}

impl SlotArray {
    /// `slots` is rounded up to a power of two. Fails unless both numbers are from 1 to 2^24.
    fn create(kind: u64, slots: usize, longest: usize, sleeping: bool) -> Result<Self> {
        if slots == 0 || slots > 1 << 24 || longest == 0 || longest > 1 << 24 {
            return Err(Error::other("a ring has 1 to 2^24 slots of 1 to 2^24 bytes"));
        }
        let (slots, stride) = (slots.next_power_of_two(), stride(longest));
        let waits = if sleeping { SLEEPING } else { 0 };
        let size = size_of::<Indices>() + slots * stride;
        let map = Map::create([kind, slots as u64, longest as u64 | waits], size)?;
        Ok(Self { map, mask: slots as u64 - 1, longest, stride, sleeping })
    }

    fn open(memory: OwnedFd, kind: u64) -> Result<Self> {
        let (map, slots, facts) = Map::open(memory, kind)?;
        let (longest, least) = (facts & !SLEEPING, CONTENT + size_of::<Indices>());
        let fits = slots.is_power_of_two() && slots <= 1 << 24 && (1..=1 << 24).contains(&longest);
        let longest = longest as usize;
        if !fits || map.length < least + slots as usize * stride(longest) {
            return Err(Error::other("the ring does not fit into its memory"));
        }
        let (stride, sleeping) = (stride(longest), facts & SLEEPING != 0);
        Ok(Self { map, mask: slots - 1, longest, stride, sleeping })
    }

    #[inline]
    fn indices(&self) -> &Indices {
        // SAFETY: atomics only, any bits.
        unsafe { self.map.content(0) }
    }

    /// The slot of number `ticket`: two words, then the bytes.
    #[inline]
    fn slot(&self, ticket: u64) -> (&AtomicU64, &AtomicU64, NonNull<u8>) {
        let offset = CONTENT + size_of::<Indices>() + (ticket & self.mask) as usize * self.stride;
        // SAFETY: the mask keeps the slot within the mapping, whose length `create` and `open` have checked; strides
        // are multiples of 64. Two atomics, for which any bits are valid.
        unsafe {
            let slot = self.map.base.add(offset);
            let word = |at: usize| AtomicU64::from_ptr(slot.add(at).cast().as_ptr());
            (word(0), word(8), slot.add(SLOT_HEADER))
        }
    }

    /// Copies a message in.
    ///
    /// # Safety
    ///
    /// The slot is the caller's until it is published.
    #[inline]
    unsafe fn copy_in(&self, to: NonNull<u8>, message: &[u8]) {
        assert!(message.len() <= self.longest, "the message is longer than a slot");
        // SAFETY: the slot has room, as was just checked; a slice of this process does not overlap it.
        unsafe { to.as_ptr().copy_from_nonoverlapping(message.as_ptr(), message.len()) };
    }

    /// Copies a message out.
    ///
    /// # Safety
    ///
    /// The slot is published, and the caller's until it is released.
    #[inline]
    unsafe fn copy_out(&self, from: NonNull<u8>, length: u64, buffer: &mut [u8]) -> usize {
        let length = length as usize;
        assert!(length <= self.longest, "the slot holds no message");
        let buffer = &mut buffer[..length];
        // SAFETY: a slot has so many bytes; the buffer is as long.
        unsafe { buffer.as_mut_ptr().copy_from_nonoverlapping(from.as_ptr(), length) };
        length
    }

    /// Wakes an end that sleeps.
    #[inline]
    fn wake(&self, end: usize) {
        if !self.sleeping {
            return;
        }
        let asleep = &self.map.header().asleep[end].0;
        fence(Ordering::SeqCst);
        if asleep.load(Ordering::Relaxed) != 0 {
            asleep.store(0, Ordering::Relaxed);
            futex_wake_all(asleep);
        }
    }

    /// Until `ready`: looks, and then sleeps if it may.
    #[inline]
    fn wait_until(&self, end: usize, mut ready: impl FnMut() -> bool) {
        loop {
            for _ in 0..LOOKS {
                if ready() {
                    return;
                }
            }
            if self.sleeping {
                let asleep = &self.map.header().asleep[end].0;
                asleep.store(1, Ordering::Relaxed);
                fence(Ordering::SeqCst);
                if ready() {
                    return;
                }
                futex_wait(asleep, 1);
            }
        }
    }
}

fn stride(longest: usize) -> usize {
    (longest + SLOT_HEADER).next_multiple_of(64)
}

/// A ring of one sender and one receiver: slots that carry the number of their message, so that the news of a message
/// travels together with it (Giacomoni and others, "FastForward for efficient pipeline parallelism", 2008), and an
/// index of the receiver of which the sender keeps a copy until there seems to be no room (Lamport 1983).
pub struct Ring(SlotArray);

const RING: u64 = 4;

impl Ring {
    /// With `slots` slots, rounded up to a power of two, for messages of up to `longest` bytes. An end that finds
    /// nothing to do looks a hundred times, and then sleeps if `sleeping`.
    pub fn create(slots: usize, longest: usize, sleeping: bool) -> Result<Self> {
        SlotArray::create(RING, slots, longest, sleeping).map(Self)
    }

    /// That of another process.
    pub fn from_fd(memory: OwnedFd) -> Result<Self> {
        SlotArray::open(memory, RING).map(Self)
    }

    /// Becomes the sender, of which there is ever one.
    pub fn sender(self) -> Result<Sender> {
        self.0.map.take(SENDER)?;
        Ok(Sender { slots: self.0, tail: 0, head: 0 })
    }

    /// Becomes the receiver, of which there is ever one.
    pub fn receiver(self) -> Result<Receiver> {
        self.0.map.take(RECEIVER)?;
        Ok(Receiver { slots: self.0, head: 0 })
    }
}

impl AsFd for Ring {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.map.as_fd()
    }
}

/// The end of a [`Ring`] that puts messages in.
pub struct Sender {
    slots: SlotArray,
    tail: u64,
    head: u64,
}

impl Sender {
    /// Waits for room. Panics if the message is longer than a slot.
    #[inline]
    pub fn put(&mut self, message: &[u8]) {
        let indices = self.slots.indices();
        let (tail, mask) = (self.tail, self.slots.mask);
        if tail.wrapping_sub(self.head) > mask {
            let head = &mut self.head;
            self.slots.wait_until(SENDER, || {
                *head = indices.head.0.load(Ordering::Acquire);
                tail.wrapping_sub(*head) <= mask
            });
        }
        let (word, _, bytes) = self.slots.slot(tail);
        self.tail = tail.wrapping_add(1);
        // SAFETY: `head` says that the receiver is through with this slot, and it does not read on before the word below;
        // there is one sender.
        unsafe { self.slots.copy_in(bytes, message) };
        word.store(self.tail << 32 | message.len() as u64, Ordering::Release);
        self.slots.wake(RECEIVER);
    }
}

/// The end of a [`Ring`] that takes messages out.
pub struct Receiver {
    slots: SlotArray,
    head: u64,
}

impl Receiver {
    /// Waits for a message, and returns its length. Panics if the buffer is too short for it.
    #[inline]
    pub fn get(&mut self, buffer: &mut [u8]) -> usize {
        let next = self.head.wrapping_add(1);
        let (word, _, bytes) = self.slots.slot(self.head);
        let mut found = 0;
        self.slots.wait_until(RECEIVER, || {
            found = word.load(Ordering::Acquire);
            found >> 32 == next & u64::from(u32::MAX)
        });
        // SAFETY: the word says that the message is there, and the sender waits for `head` before it writes here again;
        // there is one receiver.
        let length = unsafe { self.slots.copy_out(bytes, found & u64::from(u32::MAX), buffer) };
        self.head = next;
        self.slots.indices().head.0.store(next, Ordering::Release);
        self.slots.wake(SENDER);
        length
    }
}

/// A ring of many senders and one receiver: slots that carry a sequence number (Vyukov, "Bounded MPMC queue",
/// 1024cores.net). A sender that dies between its ticket and its message blocks it for ever.
pub struct ManyRing(SlotArray);

const MANY_RING: u64 = 5;

impl ManyRing {
    /// As [`Ring::create`].
    pub fn create(slots: usize, longest: usize, sleeping: bool) -> Result<Self> {
        let slots = SlotArray::create(MANY_RING, slots, longest, sleeping)?;
        for ticket in 0..=slots.mask {
            slots.slot(ticket).0.store(ticket, Ordering::Release);
        }
        Ok(Self(slots))
    }

    /// That of another process.
    pub fn from_fd(memory: OwnedFd) -> Result<Self> {
        SlotArray::open(memory, MANY_RING).map(Self)
    }

    /// Becomes a sender, one of many.
    #[must_use]
    pub fn sender(self) -> ManySender {
        ManySender(self.0)
    }

    /// Becomes the receiver, of which there is ever one.
    pub fn receiver(self) -> Result<ManyReceiver> {
        self.0.map.take(RECEIVER)?;
        Ok(ManyReceiver { slots: self.0, head: 0 })
    }
}

impl AsFd for ManyRing {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.map.as_fd()
    }
}

/// An end of a [`ManyRing`] that puts messages in.
pub struct ManySender(SlotArray);

impl ManySender {
    /// Waits for room. Panics if the message is longer than a slot.
    #[inline]
    pub fn put(&mut self, message: &[u8]) {
        let slots = &self.0;
        assert!(message.len() <= slots.longest, "the message is longer than a slot");
        let tail = &slots.indices().tail.0;
        let ticket = loop {
            let ticket = tail.load(Ordering::Relaxed);
            let turn = slots.slot(ticket).0.load(Ordering::Acquire);
            if turn == ticket {
                let next = ticket.wrapping_add(1);
                let won = tail.compare_exchange(ticket, next, Ordering::Relaxed, Ordering::Relaxed);
                if won.is_ok() {
                    break ticket;
                }
            } else if turn.wrapping_sub(ticket).cast_signed() < 0 {
                slots.wait_until(SENDER, || {
                    let ticket = tail.load(Ordering::Relaxed);
                    let turn = slots.slot(ticket).0.load(Ordering::Acquire);
                    turn.wrapping_sub(ticket).cast_signed() >= 0
                });
            }
        };
        let (turn, length, bytes) = slots.slot(ticket);
        length.store(message.len() as u64, Ordering::Relaxed);
        // SAFETY: the slot was free, and this sender alone has its ticket.
        unsafe { slots.copy_in(bytes, message) };
        turn.store(ticket.wrapping_add(1), Ordering::Release);
        slots.wake(RECEIVER);
    }
}

/// The end of a [`ManyRing`] that takes messages out.
pub struct ManyReceiver {
    slots: SlotArray,
    head: u64,
}

impl ManyReceiver {
    /// Waits for a message, and returns its length. Panics if the buffer is too short for it.
    #[inline]
    pub fn get(&mut self, buffer: &mut [u8]) -> usize {
        let next = self.head.wrapping_add(1);
        let (turn, length, bytes) = self.slots.slot(self.head);
        self.slots.wait_until(RECEIVER, || turn.load(Ordering::Acquire) == next);
        // SAFETY: the turn says that the message is there, and that nobody writes here before it is released; there is
        // one receiver.
        let length = unsafe { self.slots.copy_out(bytes, length.load(Ordering::Relaxed), buffer) };
        turn.store(self.head.wrapping_add(self.slots.mask + 1), Ordering::Release);
        self.head = next;
        self.slots.wake(SENDER);
        length
    }
}
