//! The ring of one sender, as a type: the algorithm is in `single`.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use super::single;
use super::{Bytes, Ends, LOOKS, Wait, absent, check_length, closed, how, leave, take, wait};
use crate::error::{Error, Result};
use crate::shared::identity;
use crate::shared::memory::{Location, Memory, Part, Shared};

// SAFETY: atomics only, any bits.
unsafe impl Shared for single::Control {}

impl single::Store for Bytes {
    #[inline]
    unsafe fn word(&self, offset: u64) -> &AtomicU64 {
        // SAFETY: as the caller says; offsets of records are multiples of eight.
        unsafe { self.word_at(offset) }
    }

    #[inline]
    unsafe fn copy_in(&self, offset: u64, message: &[u8]) {
        // SAFETY: as the caller says.
        unsafe { self.write(offset, message) }
    }

    #[inline]
    unsafe fn copy_out(&self, offset: u64, length: usize, into: &mut Vec<u8>) {
        // SAFETY: as the caller says.
        unsafe { self.read(offset, length, into) }
    }
}

/// A ring of one sender and one receiver.
///
/// Messages have any length up to [`longest`](Self::longest). There is no lock; either side costs about one
/// copy and one write that the other sees, see the [module](super).
///
/// ```
/// use ipc::shared::{Location, Ring, Wait};
///
/// let ring = Ring::create(Location::Memfd("ring".into()), 4096, Wait::Sleep)?;
/// let mut sender = ring.sender()?;
/// // In another process, which opens the ring by its address:
/// let same = Ring::open(ring.memory().address().parse::<Location>()?)?;
/// let mut receiver = same.receiver()?;
///
/// sender.put(b"hello")?;
/// let mut message = Vec::new();
/// receiver.get(&mut message)?;
/// assert_eq!(message, b"hello");
///
/// drop(sender);
/// assert!(matches!(receiver.get(&mut message), Err(ipc::Error::Closed { .. })));
/// # Ok::<(), ipc::Error>(())
/// ```
pub struct Ring {
    memory: Arc<Memory>,
    capacity: u64,
    wait: Wait,
}

const RING: &str = "ring";
type SingleEnds = Ends<1>;
/// Least and greatest size of a [`Ring`].
const CAPACITY: [u64; 2] = [64, 1 << 30];

impl Ring {
    /// Where the bytes begin.
    const BYTES: usize = size_of::<single::Control>() + size_of::<SingleEnds>();

    /// Makes a ring of `capacity` bytes, rounded up to a power of two. A message takes its length and eight
    /// bytes, rounded up to a multiple of eight.
    ///
    /// # Errors
    ///
    /// [`Error::OutOfRange`] unless the capacity is from 64 bytes to 1 GiB; else as for
    /// [`Value::create`](crate::shared::Value::create).
    pub fn create(place: impl Into<Location>, capacity: usize, wait: Wait) -> Result<Self> {
        let given = capacity as u64;
        let [least, most] = CAPACITY;
        if !(least..=most).contains(&given) {
            let object = "ring in shared memory".to_owned();
            return Err(Error::OutOfRange { object, what: "size in bytes", given, least, most });
        }
        let capacity = given.next_power_of_two();
        let size = Self::BYTES as u64 + capacity;
        let facts = [capacity, u64::from(wait == Wait::Spin), 0];
        let memory = Memory::create(place.into(), RING, size, facts, |_| Ok(()))?;
        Ok(Self { memory, capacity, wait })
    }

    /// Opens a ring that another process made.
    ///
    /// # Errors
    ///
    /// As for [`Value::open`](crate::shared::Value::open).
    pub fn open(place: impl Into<Location>) -> Result<Self> {
        let (memory, [capacity, wait, _]) = Memory::open(place.into(), RING)?;
        if !capacity.is_power_of_two() || capacity < CAPACITY[0] || capacity > CAPACITY[1] {
            return Err(memory.foreign(format!("a ring cannot have {capacity} bytes")));
        }
        memory.content(Self::BYTES, capacity)?;
        Ok(Self { memory, capacity, wait: how(wait) })
    }

    /// Becomes the sender.
    ///
    /// # Errors
    ///
    /// [`Error::Foreign`] if there is one already, and it lives.
    pub fn sender(&self) -> Result<Sender> {
        let (control, ends, bytes) = self.parts()?;
        take(&ends.senders[0], &self.memory, "sender")?;
        let writer = single::Writer::new(self.capacity, &control, &bytes);
        let longest = self.longest();
        Ok(Sender { writer, control, ends, bytes, longest, wait: self.wait })
    }

    /// Becomes the receiver.
    ///
    /// # Errors
    ///
    /// [`Error::Foreign`] if there is one already, and it lives.
    pub fn receiver(&self) -> Result<Receiver> {
        let (control, ends, bytes) = self.parts()?;
        take(&ends.receiver.0, &self.memory, "receiver")?;
        let reader = single::Reader::new(self.capacity, &control);
        Ok(Receiver { reader, control, ends, bytes, wait: self.wait })
    }

    fn parts(&self) -> Result<(Part<single::Control>, Part<SingleEnds>, Bytes)> {
        let control = self.memory.part(Memory::CONTENT)?;
        let ends = self.memory.part(Memory::CONTENT + size_of::<single::Control>())?;
        let base = self.memory.content(Self::BYTES, self.capacity)?;
        Ok((control, ends, Bytes { base, size: self.capacity, stride: 0 }))
    }

    /// The bytes in it, a power of two.
    #[must_use]
    pub fn capacity(&self) -> usize {
        self.capacity as usize
    }

    /// The longest message in bytes: half of the capacity less eight, which finds a place wherever
    /// the last one ended.
    #[must_use]
    pub fn longest(&self) -> usize {
        single::longest(self.capacity) as usize
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

/// The end of a [`Ring`] that puts messages in. Dropping it tells the receiver that no more come.
pub struct Sender {
    writer: single::Writer,
    control: Part<single::Control>,
    ends: Part<SingleEnds>,
    bytes: Bytes,
    longest: usize,
    wait: Wait,
}

impl Sender {
    /// Puts a message in, and waits for room.
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

    /// Puts a message in, if there is room now.
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

    /// Puts in as many of the messages as there is room for now, and makes them visible all at once, which
    /// is cheaper than one by one. Returns how many.
    ///
    /// # Errors
    ///
    /// Those of [`put`](Self::put); a message that is too long is found before any is put.
    pub fn put_batch<M: AsRef<[u8]>>(&mut self, messages: &[M]) -> Result<usize> {
        self.still_wanted()?;
        for message in messages {
            check_length(self.control.memory(), message.as_ref(), self.longest)?;
        }
        let count = messages
            .iter()
            .take_while(|message| self.writer.stage(&self.control, &self.bytes, message.as_ref()))
            .count();
        self.publish();
        Ok(count)
    }

    #[inline]
    fn offer(&mut self, message: &[u8]) -> Result<bool> {
        if message.len() > self.longest {
            check_length(self.control.memory(), message, self.longest)?;
        }
        self.still_wanted()?;
        if !self.writer.stage(&self.control, &self.bytes, message) {
            return Ok(false);
        }
        self.publish();
        Ok(true)
    }

    #[inline]
    fn publish(&mut self) {
        self.writer.publish(&self.control, &self.bytes);
        if self.wait == Wait::Sleep {
            self.ends.not_empty.0.ring();
        }
    }

    #[inline]
    fn still_wanted(&self) -> Result<()> {
        if self.ends.receiver.0.load(Ordering::Relaxed) == identity::GONE {
            return Err(closed(self.control.memory()));
        }
        Ok(())
    }

    #[cold]
    fn wait_and_put(&mut self, message: &[u8], timeout: Option<Duration>) -> Result<()> {
        let memory = Arc::clone(self.control.memory());
        let (ends, how) = (self.ends.again(), self.wait);
        let step = || Ok(self.offer(message)?.then_some(()));
        let absent = || absent(&ends.receiver.0);
        wait(&memory, how, &ends.not_full.0, true, timeout, step, absent)
    }

    /// For tests: stops a put where `between` is called, when the message is written and not yet published.
    #[doc(hidden)]
    pub fn put_stopping(&mut self, message: &[u8], between: impl FnOnce()) {
        self.writer.stage(&self.control, &self.bytes, message);
        between();
        self.publish();
    }
}

impl Drop for Sender {
    fn drop(&mut self) {
        if leave(&self.ends.senders[0], identity::GONE) {
            self.ends.not_empty.0.ring();
        }
    }
}

/// The end of a [`Ring`] that takes messages out. Dropping it tells the sender that nobody wants more.
pub struct Receiver {
    reader: single::Reader,
    control: Part<single::Control>,
    ends: Part<SingleEnds>,
    bytes: Bytes,
    wait: Wait,
}

impl Receiver {
    /// Takes the next message out, in the place of what `into` held, and waits for one.
    ///
    /// # Errors
    ///
    /// [`Error::Closed`] if there is none and the sender has gone or died; a sender that is yet to come is
    /// waited for. [`Error::Foreign`] if the ring has been spoilt.
    #[inline]
    pub fn get(&mut self, into: &mut Vec<u8>) -> Result<()> {
        for _ in 0..LOOKS {
            if self.take(into)? {
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
            if self.take(into)? {
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
        if self.take(into)? {
            return Ok(());
        }
        // What the sender put before it went is there by now.
        let gone = absent(&self.ends.senders[0]);
        match self.take(into)? {
            true => Ok(()),
            false if gone => Err(closed(self.control.memory())),
            false => Err(Error::WouldBlock { object: self.control.memory().name().to_owned() }),
        }
    }

    #[inline]
    fn take(&mut self, into: &mut Vec<u8>) -> Result<bool> {
        match self.reader.get(&self.control, &self.bytes, into) {
            single::Got::Message => {
                if self.wait == Wait::Sleep {
                    self.ends.not_full.0.ring();
                }
                Ok(true)
            }
            single::Got::Nothing => Ok(false),
            single::Got::Broken => Err(self.broken()),
        }
    }

    #[cold]
    fn broken(&self) -> Error {
        self.control.memory().foreign("what is in the ring was not put there by its sender")
    }

    #[cold]
    fn wait_and_get(&mut self, into: &mut Vec<u8>, timeout: Option<Duration>) -> Result<()> {
        let memory = Arc::clone(self.control.memory());
        let (ends, how) = (self.ends.again(), self.wait);
        let step = || {
            // Gone in good order is known at once, without asking the system.
            let gone = ends.senders[0].load(Ordering::Acquire) == identity::GONE;
            match self.take(into)? {
                true => Ok(Some(())),
                false if gone => Err(closed(&memory)),
                false => Ok(None),
            }
        };
        let absent = || absent(&ends.senders[0]);
        wait(&memory, how, &ends.not_empty.0, true, timeout, step, absent)
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        if leave(&self.ends.receiver.0, identity::GONE) {
            self.ends.not_full.0.ring();
        }
    }
}
