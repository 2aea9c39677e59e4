//! The ring of one sender in shared memory: the algorithm is in `single`.

use std::sync::atomic::AtomicU64;

use super::algorithm::{Algorithm, Parts, Shape, Single};
use super::base::Got;
use super::buffer::{RingBuffer, check_size};
use super::sender::Sender;
use super::single::{self, Reader, Writer};
use super::waiting::WaitStrategy;
use crate::error::Result;
use crate::shared::location::Location;
use crate::shared::memory::Memory;

/// Least and greatest size in bytes.
const CAPACITY: [u64; 2] = [64, 1 << 30];

impl Algorithm for Single {
    const HOLDS: &'static str = "ring";
    type Senders = [AtomicU64; 1];
    type Writer = Writer;
    type Reader = Reader;

    fn facts(shape: Shape, wait: WaitStrategy) -> [u64; 3] {
        [shape.count, wait.to_fact(), 0]
    }

    fn from_facts(memory: &Memory, [capacity, wait, _]: [u64; 3]) -> Result<(Shape, WaitStrategy)> {
        if !capacity.is_power_of_two() || capacity < CAPACITY[0] || capacity > CAPACITY[1] {
            return Err(memory.unusable(format!("a ring cannot have {capacity} bytes")));
        }
        Ok((shape(capacity), WaitStrategy::from_fact(wait)))
    }

    fn writer(shape: Shape, parts: &Parts<Self>, _number: usize) -> Writer {
        Writer::new(shape.count, &parts.indices, &parts.bytes)
    }

    fn reader(shape: Shape, parts: &Parts<Self>) -> Reader {
        Reader::new(shape.count, &parts.indices)
    }

    #[inline]
    fn put(writer: &mut Writer, parts: &Parts<Self>, message: &[u8]) -> Result<bool> {
        let staged = writer.stage(&parts.indices, &parts.bytes, message);
        if staged {
            writer.publish(&parts.indices, &parts.bytes);
        }
        Ok(staged)
    }

    #[inline]
    fn get(reader: &mut Reader, parts: &Parts<Self>, into: &mut Vec<u8>) -> Got {
        reader.get(&parts.indices, &parts.bytes, into)
    }
}

fn shape(capacity: u64) -> Shape {
    Shape { count: capacity, stride: 1, longest: single::longest(capacity) }
}

impl RingBuffer<Single> {
    /// Makes a ring of `capacity` bytes, rounded up to a power of two. A message takes its length and eight
    /// bytes, rounded up to a multiple of eight.
    ///
    /// # Errors
    ///
    /// [`Error::OutOfRange`](crate::Error::OutOfRange) unless the capacity is from 64 bytes to 1 GiB; else as for
    /// [`Value::create`](crate::shared::Value::create).
    pub fn create(
        location: impl Into<Location>,
        capacity: usize,
        wait: WaitStrategy,
    ) -> Result<Self> {
        let capacity = check_size("size in bytes", capacity, CAPACITY)?;
        Self::create_with(location.into(), shape(capacity.next_power_of_two()), wait)
    }

    /// The bytes in it, a power of two.
    #[must_use]
    pub fn capacity(&self) -> usize {
        self.shape.count as usize
    }
}

impl Sender<Single> {
    /// Puts in as many of the messages as there is room for now, and makes them visible together, which
    /// is cheaper than one by one. Returns how many.
    ///
    /// # Errors
    ///
    /// Those of [`put`](Self::put); a message that is too long is found before any is put.
    pub fn put_batch<M: AsRef<[u8]>>(&mut self, messages: &[M]) -> Result<usize> {
        let Parts { indices, bytes, ends, longest, .. } = &self.parts;
        if ends.receiver_left() {
            return Err(self.parts.closed());
        }
        if let Some(long) = messages.iter().find(|message| message.as_ref().len() > *longest) {
            return Err(self.too_long(long.as_ref()));
        }
        let staged = messages
            .iter()
            .take_while(|message| self.writer.stage(indices, bytes, message.as_ref()))
            .count();
        self.writer.publish(indices, bytes);
        self.notify();
        Ok(staged)
    }

    /// For tests: stops a put where `between` is called, when the message is written and not yet published.
    #[doc(hidden)]
    pub fn put_stopping(&mut self, message: &[u8], between: impl FnOnce()) {
        self.writer.stage(&self.parts.indices, &self.parts.bytes, message);
        between();
        self.writer.publish(&self.parts.indices, &self.parts.bytes);
        self.notify();
    }
}
