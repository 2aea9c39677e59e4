//! Buffers for uploads, which the sessions of a process share.
//!
//! A session has a buffer while it moves bytes and not while it waits for them, so a client that stops in the middle of
//! an upload holds none. The pool keeps a few buffers for the next upload: their pages are there already, which is a
//! third of the cost of a large read, and likely still in the cache of a core.

use std::sync::Mutex;

/// The length of a large buffer, in bytes: half of a large transfer's cost is system calls.
const LARGE: usize = 1 << 20;

/// Up to this size, in bytes, a new buffer is as long as is wanted of it, and is not kept.
const SMALL: usize = 64 * 1024;

/// How many buffers are kept.
const KEPT: usize = 4;

/// The buffers that no session holds at the moment. No thread waits for the lock: one that does not get it at once uses a
/// buffer of its own.
#[derive(Debug, Default)]
pub(crate) struct Buffers(Mutex<Vec<Vec<u8>>>);

impl Buffers {
    /// Returns a buffer for at most `wanted` bytes, which may be longer or shorter. What is in it is of no use.
    pub(crate) fn take(&self, wanted: u64) -> Vec<u8> {
        let kept = self.0.try_lock().ok().and_then(|mut buffers| buffers.pop());
        kept.unwrap_or_else(|| {
            let length = if wanted <= SMALL as u64 { wanted as usize } else { LARGE };
            vec![0; length]
        })
    }

    /// Frees the buffers that are kept.
    pub(crate) fn clear(&self) {
        let kept = self.0.try_lock().map(|mut buffers| std::mem::take(&mut *buffers));
        drop(kept); // after the lock
    }

    /// Keeps a buffer for the next, or frees it.
    pub(crate) fn put(&self, buffer: Vec<u8>) {
        if buffer.len() == LARGE
            && let Ok(mut buffers) = self.0.try_lock()
            && buffers.len() < KEPT
        {
            buffers.push(buffer);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn few_large_buffers_are_kept() {
        let buffers = Buffers::default();
        assert_eq!(buffers.take(5).len(), 5);
        let taken: Vec<_> = (0..KEPT + 1).map(|_| buffers.take(u64::MAX)).collect();
        assert!(taken.iter().all(|buffer| buffer.len() == LARGE));
        taken.into_iter().for_each(|buffer| buffers.put(buffer));
        buffers.put(vec![0; 5]);
        assert_eq!(buffers.0.lock().unwrap().len(), KEPT);
        assert_eq!(buffers.take(5).len(), LARGE);
        // Nobody waits for the lock.
        let _lock = buffers.0.lock().unwrap();
        assert_eq!(buffers.take(5).len(), 5);
        buffers.put(vec![0; LARGE]);
    }
}
