//! What both algorithms have in common.

use super::sync::AtomicU64;

/// A cache line of its own, and its neighbour's too, since the processor fetches lines in pairs.
#[repr(C, align(128))]
pub struct CachePadded<T>(pub T);

/// What both sides see of each other. All zero is its initial state.
#[repr(C)]
pub struct Indices {
    /// What has been put since the beginning; written by senders.
    pub tail: CachePadded<AtomicU64>,
    /// What has been taken since the beginning; written by the receiver.
    pub head: CachePadded<AtomicU64>,
}

/// The bytes of a ring, which both sides reach. All zero at first.
pub trait Store {
    /// The word at `offset`.
    ///
    /// # Safety
    ///
    /// It lies within the bytes, and `offset` is a multiple of eight.
    unsafe fn word(&self, offset: u64) -> &AtomicU64;

    /// Copies a message in.
    ///
    /// # Safety
    ///
    /// All of it lies within the bytes, and the other side does not touch it meanwhile.
    unsafe fn copy_in(&self, offset: u64, message: &[u8]);

    /// Copies a message out, replacing what `into` held.
    ///
    /// # Safety
    ///
    /// As for [`copy_in`](Self::copy_in).
    unsafe fn copy_out(&self, offset: u64, length: usize, into: &mut Vec<u8>);
}

/// What a look into the ring found.
#[derive(Debug, PartialEq, Eq)]
pub enum Got {
    /// A message.
    Message,
    /// No message that is complete.
    Nothing,
    /// A message, but not the one that was sent. It is out of the ring.
    Torn,
    /// Bytes that this algorithm did not write.
    Broken,
}
