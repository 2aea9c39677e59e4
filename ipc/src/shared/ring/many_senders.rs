//! The ring of many senders in shared memory: the algorithm is in `many`.

use std::sync::atomic::AtomicU64;

use super::algorithm::{Algorithm, Many, Parts, Shape};
use super::base::Got;
use super::buffer::{RingBuffer, check_size};
use super::many::{self, Reader, SENDERS, Slots, Writer};
use super::sender::Sender;
use super::waiting::WaitStrategy;
use crate::error::Result;
use crate::shared::location::Location;
use crate::shared::memory::Memory;

/// Least and greatest number of slots.
const SLOTS: [u64; 2] = [2, 1 << 24];
/// Least and greatest message.
const MESSAGE: [u64; 2] = [1, 1 << 24];

impl Algorithm for Many {
    const HOLDS: &'static str = "ring of many senders";
    type Senders = [AtomicU64; SENDERS];
    type Writer = Writer;
    type Reader = Reader;

    fn facts(shape: Shape, wait: WaitStrategy) -> [u64; 3] {
        [shape.count, shape.longest, wait.to_fact()]
    }

    fn from_facts(
        memory: &Memory,
        [slots, longest, wait]: [u64; 3],
    ) -> Result<(Shape, WaitStrategy)> {
        let fits = (SLOTS[0]..=SLOTS[1]).contains(&slots) && slots.is_power_of_two();
        if !fits || !(MESSAGE[0]..=MESSAGE[1]).contains(&longest) {
            let reason = format!("a ring cannot have {slots} slots of {longest} bytes");
            return Err(memory.unusable(reason));
        }
        Ok((shape(slots, longest), WaitStrategy::from_fact(wait)))
    }

    fn writer(shape: Shape, _parts: &Parts<Self>, number: usize) -> Writer {
        Writer::new(Slots::new(shape.count, shape.longest), number)
    }

    fn reader(shape: Shape, parts: &Parts<Self>) -> Reader {
        Reader::new(
            Slots::new(shape.count, shape.longest),
            parts.longest,
            &parts.indices,
            &parts.bytes,
        )
    }

    #[inline]
    fn put(writer: &mut Writer, parts: &Parts<Self>, message: &[u8]) -> Result<bool> {
        let Some(claim) = writer.claim(&parts.indices, &parts.bytes) else { return Ok(false) };
        writer.fill(&parts.bytes, &claim, message);
        match writer.publish(&parts.bytes, claim) {
            true => Ok(true),
            false => Err(parts.memory().unusable("the receiver took this process for dead")),
        }
    }

    #[inline]
    fn get(reader: &mut Reader, parts: &Parts<Self>, into: &mut Vec<u8>) -> Got {
        reader.get(&parts.indices, &parts.bytes, into)
    }

    fn has_unfinished(shape: Shape, parts: &Parts<Self>, number: usize) -> bool {
        many::has_claims(Slots::new(shape.count, shape.longest), &parts.bytes, number)
    }

    fn skip_unfinished(reader: &mut Reader, parts: &Parts<Self>) -> bool {
        let Some(owner) = reader.unfinished(&parts.bytes) else { return false };
        !parts.ends.is_sender_alive(owner) && reader.skip(&parts.indices, &parts.bytes, owner)
    }
}

fn shape(slots: u64, longest: u64) -> Shape {
    Shape { count: slots, stride: many::stride(longest), longest }
}

impl RingBuffer<Many> {
    /// Makes a ring of `slots` slots, rounded up to a power of two, for messages of up to `longest` bytes. A
    /// slot takes that and 24 bytes, rounded up to a multiple of 64.
    ///
    /// # Errors
    ///
    /// [`Error::OutOfRange`](crate::Error::OutOfRange) unless there are 2 to 2^24 slots and the message has 1 byte
    /// to 16 MiB; else as for [`Value::create`](crate::shared::Value::create).
    pub fn create(
        location: impl Into<Location>,
        slots: usize,
        longest: usize,
        wait: WaitStrategy,
    ) -> Result<Self> {
        let slots = check_size("number of slots", slots, SLOTS)?.next_power_of_two();
        let longest = check_size("longest message in bytes", longest, MESSAGE)?;
        Self::create_with(location.into(), shape(slots, longest), wait)
    }

    /// The number of messages that it can hold, a power of two.
    #[must_use]
    pub fn slots(&self) -> usize {
        self.shape.count as usize
    }
}

impl Sender<Many> {
    /// For tests: stops a put where `between` is called, when half of the message is written.
    #[doc(hidden)]
    pub fn put_stopping(&mut self, message: &[u8], between: impl FnOnce()) {
        let Parts { indices, bytes, .. } = &self.parts;
        let claim = self.writer.claim(indices, bytes).expect("the test leaves room");
        self.writer.fill(bytes, &claim, &message[..message.len() / 2]);
        between();
        self.writer.fill(bytes, &claim, message);
        self.writer.publish(bytes, claim);
        self.notify();
    }
}
