//! What the ends of a ring need from its algorithm.

use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use super::base::{Got, Indices};
use super::bytes::Bytes;
use super::ends::Ends;
use super::waiting::WaitStrategy;
use crate::error::{Error, Result};
use crate::shared::memory::{Memory, Part, Shared};

/// The algorithm of a [`Ring`](super::Ring): one sender, and records of any length.
pub enum Single {}

/// The algorithm of a [`RingMany`](super::RingMany): many senders, and slots of one size.
pub enum Many {}

/// One of the two. Each ring is compiled for one of them: no call is dispatched at run time.
pub trait Algorithm: Sized {
    /// The content, as the header of the segment has it.
    const HOLDS: &'static str;
    /// A word for each sender.
    type Senders: Shared + AsRef<[AtomicU64]>;
    /// The state of a sender.
    type Writer;
    /// The state of the receiver.
    type Reader;

    /// The facts in the header of the segment.
    fn facts(shape: Shape, wait: WaitStrategy) -> [u64; 3];
    /// The same, read; [`Error::Unusable`] if they cannot be those of a ring.
    fn from_facts(memory: &Memory, facts: [u64; 3]) -> Result<(Shape, WaitStrategy)>;

    /// Goes on where the last sender of this number stopped.
    fn writer(shape: Shape, parts: &Parts<Self>, number: usize) -> Self::Writer;
    /// Goes on where the last receiver stopped.
    fn reader(shape: Shape, parts: &Parts<Self>) -> Self::Reader;
    /// Puts a message in, if there is room.
    fn put(writer: &mut Self::Writer, parts: &Parts<Self>, message: &[u8]) -> Result<bool>;
    /// Takes a message out, if there is one.
    fn get(reader: &mut Self::Reader, parts: &Parts<Self>, into: &mut Vec<u8>) -> Got;

    /// Whether sender `number`, which is dead, has left a message unfinished that the receiver has to pass over.
    fn has_unfinished(_shape: Shape, _parts: &Parts<Self>, _number: usize) -> bool {
        false
    }
    /// Passes over the next message if its sender has died over it.
    fn skip_unfinished(_reader: &mut Self::Reader, _parts: &Parts<Self>) -> bool {
        false
    }
}

/// The sizes of a ring.
#[derive(Clone, Copy)]
pub struct Shape {
    /// Bytes, or slots: a power of two.
    pub count: u64,
    /// The bytes of each.
    pub stride: u64,
    /// The longest message.
    pub longest: u64,
}

/// A ring in shared memory, as an end uses it.
pub struct Parts<A: Algorithm> {
    pub(super) indices: Part<Indices>,
    pub(super) ends: Part<Ends<A::Senders>>,
    pub(super) bytes: Bytes,
    pub(super) longest: usize,
    pub(super) wait: WaitStrategy,
}

// SAFETY: atomics only, any bits.
unsafe impl Shared for Indices {}

impl<A: Algorithm> Parts<A> {
    /// Where the bytes begin, behind the words of both sides.
    pub const BYTES: usize = size_of::<Indices>() + size_of::<Ends<A::Senders>>();

    pub fn new(memory: &Arc<Memory>, shape: Shape, wait: WaitStrategy) -> Result<Self> {
        let size = shape.count * shape.stride;
        let base = memory.content(Self::BYTES, size)?;
        Ok(Self {
            indices: memory.part(Memory::CONTENT)?,
            ends: memory.part(Memory::CONTENT + size_of::<Indices>())?,
            bytes: Bytes { base, size },
            longest: shape.longest as usize,
            wait,
        })
    }

    pub fn memory(&self) -> &Arc<Memory> {
        self.indices.memory()
    }

    #[cold]
    pub fn closed(&self) -> Error {
        Error::Closed { object: self.memory().name().to_owned() }
    }

    #[cold]
    pub fn would_block(&self) -> Error {
        Error::WouldBlock { object: self.memory().name().to_owned() }
    }
}
