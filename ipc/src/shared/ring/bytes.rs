//! The bytes of a ring in a mapping.

use std::ptr::NonNull;
use std::sync::atomic::AtomicU64;

use super::base::Store;

/// `size` bytes behind the words of both sides.
pub(crate) struct Bytes {
    pub base: NonNull<u8>,
    pub size: u64,
}

// SAFETY: the ends that own it keep the mapping, which belongs to the process; what is reached through it
// is synchronised by the words of the ring.
unsafe impl Send for Bytes {}

impl Bytes {
    /// The address of the bytes at `offset`.
    ///
    /// # Safety
    ///
    /// `offset` is not beyond `size`.
    #[inline]
    unsafe fn at(&self, offset: u64) -> *mut u8 {
        debug_assert!(offset <= self.size);
        // SAFETY: within the mapping, as the caller says; `Memory::content` has checked it.
        unsafe { self.base.as_ptr().add(offset as usize) }
    }
}

impl Store for Bytes {
    #[inline]
    unsafe fn word(&self, offset: u64) -> &AtomicU64 {
        debug_assert!(offset.is_multiple_of(8) && offset + 8 <= self.size);
        // SAFETY: within the mapping and aligned, as the caller says; an atomic, valid for any bits.
        unsafe { AtomicU64::from_ptr(self.at(offset).cast()) }
    }

    #[inline]
    unsafe fn copy_in(&self, offset: u64, message: &[u8]) {
        debug_assert!(offset + message.len() as u64 <= self.size);
        // SAFETY: the target as the caller says; a slice of this process does not overlap it.
        unsafe {
            std::ptr::copy_nonoverlapping(message.as_ptr(), self.at(offset), message.len());
        }
    }

    #[inline]
    unsafe fn copy_out(&self, offset: u64, length: usize, into: &mut Vec<u8>) {
        debug_assert!(offset + length as u64 <= self.size);
        into.clear();
        into.reserve(length);
        // SAFETY: the source as the caller says; the target has been reserved, does not overlap a mapping, and
        // is initialised up to `length` after the copy.
        unsafe {
            std::ptr::copy_nonoverlapping(self.at(offset), into.as_mut_ptr(), length);
            into.set_len(length);
        }
    }
}
