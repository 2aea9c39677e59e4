//! The ring of many senders, as a type: the algorithm is in `many`.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use super::many;
use super::{Bytes, Ends, LOOKS, Wait, absent, check_length, closed, how, leave, take, wait};
use crate::error::{Error, Result};
use crate::shared::identity;
use crate::shared::memory::{Location, Memory, Part, Shared};

// SAFETY: atomics only, any bits.
unsafe impl Shared for many::Control {}

/// In a slot: state, length, checksum, message.
const SLOT_HEADER: u64 = 24;

impl many::Store for Bytes {
    #[inline]
    fn state(&self, index: u64) -> &AtomicU64 {
        // SAFETY: `index` is less than the number of slots, for which the mapping has room; strides are
        // multiples of 64.
        unsafe { self.word_at(index * self.stride) }
    }

    #[inline]
    fn length(&self, index: u64) -> &AtomicU64 {
        // SAFETY: as above; a slot begins with these three words.
        unsafe { self.word_at(index * self.stride + 8) }
    }

    #[inline]
    fn checksum(&self, index: u64) -> &AtomicU64 {
        // SAFETY: as above.
        unsafe { self.word_at(index * self.stride + 16) }
    }

    #[inline]
    unsafe fn copy_in(&self, index: u64, message: &[u8]) {
        // SAFETY: as the caller says.
        unsafe { self.write(index * self.stride + SLOT_HEADER, message) }
    }

    #[inline]
    unsafe fn copy_out(&self, index: u64, length: usize, into: &mut Vec<u8>) {
        // SAFETY: as the caller says.
        unsafe { self.read(index * self.stride + SLOT_HEADER, length, into) }
    }
}

/// A ring of up to 64 senders and one receiver.
///
/// It has slots of one size, and messages of any length up to that. What one sender puts comes out in the order in
/// which it was put; between senders there is no order. Every message carries a checksum. See the
/// [module](super) for what happens when a sender dies.
///
/// ```
/// use ipc::shared::{Location, RingMany, Wait};
///
/// let ring = RingMany::create(Location::Memfd("reports".into()), 16, 100, Wait::Sleep)?;
/// let mut receiver = ring.receiver()?;
/// // In as many other processes as report:
/// let mut one = ring.sender()?;
/// let mut other = ring.sender()?;
/// one.put(b"from one")?;
/// other.put(b"from the other")?;
///
/// let mut message = Vec::new();
/// receiver.get(&mut message)?;
/// assert_eq!(message, b"from one");
/// # Ok::<(), ipc::Error>(())
/// ```
pub struct RingMany {
    memory: Arc<Memory>,
    slots: u64,
    longest: u64,
    wait: Wait,
}

const RING_MANY: &str = "ring of many senders";
type ManyEnds = Ends<{ many::SENDERS }>;
/// Least and greatest number of slots.
const SLOTS: [u64; 2] = [2, 1 << 24];
/// Least and greatest message.
const MESSAGE: [u64; 2] = [1, 1 << 24];

impl RingMany {
    /// Where the slots begin.
    const BYTES: usize = size_of::<many::Control>() + size_of::<ManyEnds>();

    /// Makes a ring of `slots` slots, rounded up to a power of two, for messages of up to `longest` bytes. A
    /// slot takes that and 24 bytes, rounded up to a multiple of 64.
    ///
    /// # Errors
    ///
    /// [`Error::OutOfRange`] unless there are 2 to 2^24 slots and the message has 1 byte to 16 MiB; else
    /// as for [`Value::create`](crate::shared::Value::create).
    pub fn create(
        place: impl Into<Location>,
        slots: usize,
        longest: usize,
        wait: Wait,
    ) -> Result<Self> {
        for (what, given, [least, most]) in
            [("number of slots", slots, SLOTS), ("longest message in bytes", longest, MESSAGE)]
        {
            let given = given as u64;
            if !(least..=most).contains(&given) {
                let object = "ring in shared memory".to_owned();
                return Err(Error::OutOfRange { object, what, given, least, most });
            }
        }
        let (slots, longest) = ((slots as u64).next_power_of_two(), longest as u64);
        let size = Self::BYTES as u64 + slots * stride(longest);
        let facts = [slots, longest, u64::from(wait == Wait::Spin)];
        let memory = Memory::create(place.into(), RING_MANY, size, facts, |_| Ok(()))?;
        Ok(Self { memory, slots, longest, wait })
    }

    /// Opens a ring that another process made.
    ///
    /// # Errors
    ///
    /// As for [`Value::open`](crate::shared::Value::open).
    pub fn open(place: impl Into<Location>) -> Result<Self> {
        let (memory, [slots, longest, wait]) = Memory::open(place.into(), RING_MANY)?;
        let fits = (SLOTS[0]..=SLOTS[1]).contains(&slots) && slots.is_power_of_two();
        if !fits || !(MESSAGE[0]..=MESSAGE[1]).contains(&longest) {
            let reason = format!("a ring cannot have {slots} slots of {longest} bytes");
            return Err(memory.foreign(reason));
        }
        memory.content(Self::BYTES, slots * stride(longest))?;
        Ok(Self { memory, slots, longest, wait: how(wait) })
    }

    /// Becomes one of the senders.
    ///
    /// # Errors
    ///
    /// [`Error::WouldBlock`] if there are 64 already, and they live.
    pub fn sender(&self) -> Result<ManySender> {
        let (control, ends, bytes) = self.parts()?;
        let slots = many::Slots::new(self.slots);
        let own = identity::own();
        let owner = (0..many::SENDERS).find(|&number| {
            let place = &ends.senders[number];
            let before = place.load(Ordering::Acquire);
            // The place of a dead one stays its own until the receiver has passed over what it left unfinished.
            let free = before == 0
                || !identity::is_alive(before) && !many::has_claims(slots, &bytes, number);
            free && place.compare_exchange(before, own, Ordering::AcqRel, Ordering::Relaxed).is_ok()
        });
        let Some(owner) = owner else {
            return Err(Error::WouldBlock { object: self.memory.name().to_owned() });
        };
        ends.joined.fetch_add(1, Ordering::AcqRel);
        let longest = self.longest as usize;
        Ok(ManySender { slots, owner, control, ends, bytes, longest, wait: self.wait })
    }

    /// Becomes the receiver.
    ///
    /// # Errors
    ///
    /// [`Error::Foreign`] if there is one already, and it lives.
    pub fn receiver(&self) -> Result<ManyReceiver> {
        let (control, ends, bytes) = self.parts()?;
        take(&ends.receiver.0, &self.memory, "receiver")?;
        let reader = many::Reader::new(many::Slots::new(self.slots), &control, &bytes);
        let longest = self.longest as usize;
        Ok(ManyReceiver { reader, control, ends, bytes, longest, wait: self.wait, torn: 0 })
    }

    fn parts(&self) -> Result<(Part<many::Control>, Part<ManyEnds>, Bytes)> {
        let control = self.memory.part(Memory::CONTENT)?;
        let ends = self.memory.part(Memory::CONTENT + size_of::<many::Control>())?;
        let stride = stride(self.longest);
        let size = self.slots * stride;
        let base = self.memory.content(Self::BYTES, size)?;
        Ok((control, ends, Bytes { base, size, stride }))
    }

    /// The number of messages that it can hold, a power of two.
    #[must_use]
    pub fn slots(&self) -> usize {
        self.slots as usize
    }

    /// The longest message in bytes.
    #[must_use]
    pub fn longest(&self) -> usize {
        self.longest as usize
    }

    /// How its ends wait.
    #[must_use]
    pub fn wait(&self) -> Wait {
        self.wait
    }

    /// The segment that it lies in.
    #[must_use]
    pub fn memory(&self) -> &Memory {
        &self.memory
    }
}

fn stride(longest: u64) -> u64 {
    (longest + SLOT_HEADER).next_multiple_of(64)
}

/// An end of a [`RingMany`] that puts messages in.
pub struct ManySender {
    slots: many::Slots,
    owner: usize,
    control: Part<many::Control>,
    ends: Part<ManyEnds>,
    bytes: Bytes,
    longest: usize,
    wait: Wait,
}

impl ManySender {
    /// Puts a message in, and waits for a free slot.
    ///
    /// # Errors
    ///
    /// [`Error::OutOfRange`] for a message that is too long; [`Error::Closed`] if the receiver has gone, or
    /// has died and there is no room. A receiver that is yet to come is waited for.
    #[inline]
    pub fn put(&mut self, message: &[u8]) -> Result<()> {
        for _ in 0..LOOKS {
            if self.offer(message)? {
                return Ok(());
            }
            self.wait.between_looks();
        }
        self.wait_and_put(message, None)
    }

    /// As [`put`](Self::put), but not longer than `timeout`.
    ///
    /// # Errors
    ///
    /// [`Error::TimedOut`], and those of [`put`](Self::put).
    #[inline]
    pub fn put_timeout(&mut self, message: &[u8], timeout: Duration) -> Result<()> {
        for _ in 0..LOOKS {
            if self.offer(message)? {
                return Ok(());
            }
            self.wait.between_looks();
        }
        self.wait_and_put(message, Some(timeout))
    }

    /// Puts a message in, if a slot is free now.
    ///
    /// # Errors
    ///
    /// [`Error::WouldBlock`], and those of [`put`](Self::put).
    #[inline]
    pub fn try_put(&mut self, message: &[u8]) -> Result<()> {
        match self.offer(message)? {
            true => Ok(()),
            false => Err(Error::WouldBlock { object: self.control.memory().name().to_owned() }),
        }
    }

    #[inline]
    fn offer(&mut self, message: &[u8]) -> Result<bool> {
        if message.len() > self.longest {
            check_length(self.control.memory(), message, self.longest)?;
        }
        if self.ends.receiver.0.load(Ordering::Relaxed) == identity::GONE {
            return Err(closed(self.control.memory()));
        }
        let Some(claim) = many::claim(self.slots, &self.control, &self.bytes, self.owner) else {
            return Ok(false);
        };
        many::fill(self.slots, &self.bytes, &claim, message);
        self.publish(claim)?;
        Ok(true)
    }

    #[inline]
    fn publish(&self, claim: many::Claim) -> Result<()> {
        if !many::publish(self.slots, &self.bytes, claim) {
            return Err(self.control.memory().foreign("the receiver took this process for dead"));
        }
        if self.wait == Wait::Sleep {
            self.ends.not_empty.0.ring();
        }
        Ok(())
    }

    #[cold]
    fn wait_and_put(&mut self, message: &[u8], timeout: Option<Duration>) -> Result<()> {
        let memory = Arc::clone(self.control.memory());
        let (ends, how) = (self.ends.again(), self.wait);
        let step = || Ok(self.offer(message)?.then_some(()));
        let absent = || absent(&ends.receiver.0);
        wait(&memory, how, &ends.not_full.0, false, timeout, step, absent)
    }

    /// For tests: stops a put where `between` is called, when half of the message is written.
    #[doc(hidden)]
    pub fn put_stopping(&mut self, message: &[u8], between: impl FnOnce()) {
        let claim = many::claim(self.slots, &self.control, &self.bytes, self.owner);
        let claim = claim.expect("the test leaves room");
        many::fill(self.slots, &self.bytes, &claim, &message[..message.len() / 2]);
        between();
        many::fill(self.slots, &self.bytes, &claim, message);
        let _ = self.publish(claim);
    }
}

impl Drop for ManySender {
    fn drop(&mut self) {
        if leave(&self.ends.senders[self.owner], 0) {
            self.ends.left.fetch_add(1, Ordering::AcqRel);
            self.ends.not_empty.0.ring();
        }
    }
}

/// The end of a [`RingMany`] that takes messages out. Dropping it tells the senders that nobody wants more.
pub struct ManyReceiver {
    reader: many::Reader,
    control: Part<many::Control>,
    ends: Part<ManyEnds>,
    bytes: Bytes,
    longest: usize,
    wait: Wait,
    torn: u64,
}

impl ManyReceiver {
    /// Takes the next message out, in the place of what `into` held, and waits for one. Torn messages are
    /// passed over.
    ///
    /// # Errors
    ///
    /// [`Error::Closed`] if there is none, there have been senders, and all have gone or died. Where senders
    /// come one after the other, this can be before the last has come: then call again, or keep a
    /// sender until all are there.
    #[inline]
    pub fn get(&mut self, into: &mut Vec<u8>) -> Result<()> {
        for _ in 0..LOOKS {
            if self.take(into) {
                return Ok(());
            }
            self.wait.between_looks();
        }
        self.wait_and_get(into, None)
    }

    /// As [`get`](Self::get), but not longer than `timeout`.
    ///
    /// # Errors
    ///
    /// [`Error::TimedOut`], and those of [`get`](Self::get).
    #[inline]
    pub fn get_timeout(&mut self, into: &mut Vec<u8>, timeout: Duration) -> Result<()> {
        for _ in 0..LOOKS {
            if self.take(into) {
                return Ok(());
            }
            self.wait.between_looks();
        }
        self.wait_and_get(into, Some(timeout))
    }

    /// Takes the next message out, if there is one now.
    ///
    /// # Errors
    ///
    /// [`Error::WouldBlock`], and those of [`get`](Self::get).
    #[inline]
    pub fn try_get(&mut self, into: &mut Vec<u8>) -> Result<()> {
        if self.take(into) {
            return Ok(());
        }
        // What the senders put before they went is there by now.
        let gone = all_gone(&self.ends);
        while self.pass_over_the_dead() {}
        match self.take(into) {
            true => Ok(()),
            false if gone => Err(closed(self.control.memory())),
            false => Err(Error::WouldBlock { object: self.control.memory().name().to_owned() }),
        }
    }

    /// How many messages were not delivered, since their sender died over them or their bytes were not those
    /// that it had put.
    #[must_use]
    pub fn torn(&self) -> u64 {
        self.torn
    }

    /// Whether `into` has a message now.
    #[inline]
    fn take(&mut self, into: &mut Vec<u8>) -> bool {
        loop {
            let got = self.reader.get(&self.control, &self.bytes, self.longest, into);
            if matches!(got, many::Got::Message | many::Got::Torn) && self.wait == Wait::Sleep {
                self.ends.not_full.0.ring();
            }
            match got {
                many::Got::Message => return true,
                many::Got::Torn => self.torn += 1,
                many::Got::Unfinished | many::Got::Nothing => return false,
            }
        }
    }

    /// Gives the next slot free if its owner died over it.
    #[cold]
    fn pass_over_the_dead(&mut self) -> bool {
        let Some(owner) = self.reader.unfinished(&self.bytes) else { return false };
        let alive = self
            .ends
            .senders
            .get(owner)
            .is_some_and(|sender| identity::is_alive(sender.load(Ordering::Acquire)));
        if alive || !self.reader.skip(&self.control, &self.bytes, owner) {
            return false;
        }
        self.torn += 1;
        self.ends.not_full.0.ring();
        true
    }

    #[cold]
    fn wait_and_get(&mut self, into: &mut Vec<u8>, timeout: Option<Duration>) -> Result<()> {
        let memory = Arc::clone(self.control.memory());
        let ends = self.ends.again();
        let how = self.wait;
        let this = std::cell::RefCell::new(self);
        let step = || {
            // In this order: what was put before is there by now.
            let gone = all_left(&ends);
            match this.borrow_mut().take(into) {
                true => Ok(Some(())),
                false if gone => Err(closed(&memory)),
                false => Ok(None),
            }
        };
        let absent = || {
            let gone = all_gone(&ends);
            while this.borrow_mut().pass_over_the_dead() {}
            gone
        };
        wait(&memory, how, &ends.not_empty.0, true, timeout, step, absent)
    }
}

impl Drop for ManyReceiver {
    fn drop(&mut self) {
        if leave(&self.ends.receiver.0, identity::GONE) {
            self.ends.not_full.0.ring();
        }
    }
}

/// Whether there were senders, and all have left in good order: known without asking the system.
fn all_left(ends: &ManyEnds) -> bool {
    let left = ends.left.load(Ordering::Acquire);
    left != 0 && left == ends.joined.load(Ordering::Acquire)
}

/// Whether there were senders, and none is left alive.
fn all_gone(ends: &ManyEnds) -> bool {
    ends.joined.load(Ordering::Acquire) != 0
        && !ends.senders.iter().any(|sender| identity::is_alive(sender.load(Ordering::Acquire)))
}
