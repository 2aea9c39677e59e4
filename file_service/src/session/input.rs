//! The bytes that have arrived and are not parsed yet.

/// How much an idle session keeps allocated for the next request, in bytes.
pub(super) const IDLE_CAPACITY: usize = 1024;

/// A buffer between the transport and the parsers. The parsers bound how much it can hold.
#[derive(Debug, Default)]
pub(super) struct InputBuffer {
    /// All of it is initialised; `start..end` is what has arrived.
    bytes: Vec<u8>,
    start: usize,
    end: usize,
}

impl InputBuffer {
    pub(super) fn data(&self) -> &[u8] {
        &self.bytes[self.start..self.end]
    }

    pub(super) fn data_mut(&mut self) -> &mut [u8] {
        &mut self.bytes[self.start..self.end]
    }

    pub(super) fn is_empty(&self) -> bool {
        self.start == self.end
    }

    /// Removes the first `n` bytes.
    pub(super) fn consume(&mut self, n: usize) {
        self.start += n;
        if self.is_empty() {
            self.clear();
        }
    }

    pub(super) fn clear(&mut self) {
        (self.start, self.end) = (0, 0);
    }

    /// Returns the free space behind the data, which is never empty: at least `least` bytes in an empty buffer, and a
    /// buffer that is full is doubled.
    pub(super) fn free_space(&mut self, least: usize) -> &mut [u8] {
        if self.end == self.bytes.len() && self.start > 0 {
            self.bytes.copy_within(self.start..self.end, 0);
            (self.start, self.end) = (0, self.end - self.start);
        }
        if self.bytes.len() < least {
            self.bytes.resize(least, 0);
        } else if self.end == self.bytes.len() {
            self.bytes.resize(2 * self.bytes.len(), 0);
        }
        &mut self.bytes[self.end..]
    }

    /// Adds the first `n` bytes of the free space to the data.
    pub(super) fn fill(&mut self, n: usize) {
        self.end += n;
    }

    /// Adds bytes that were read with something else.
    pub(super) fn push(&mut self, bytes: &[u8]) {
        self.bytes.truncate(self.end);
        self.bytes.extend_from_slice(bytes);
        self.end = self.bytes.len();
    }

    /// Frees what an idle session does not need.
    pub(super) fn shrink(&mut self) {
        if self.is_empty() && self.bytes.len() > IDLE_CAPACITY {
            *self = InputBuffer::default();
        }
    }
}
