//! The header of a segment: what it holds, who made it, and whether it is complete.

use std::mem::offset_of;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use super::identity;

/// "ipc", version of the layout, as the first eight bytes.
const MAGIC: u64 = u64::from_le_bytes(*b"ipc\0shm\x01");
const VERSION: u32 = 1;
/// Longest description of what a segment holds.
const HOLDS: usize = 24;

/// Where the content of a segment begins: behind the header, on a line of its own.
pub(super) const CONTENT: usize = 128;

/// What stands at the beginning of every segment. The content begins at [`CONTENT`].
#[repr(C)]
pub(super) struct Header {
    magic: AtomicU64,
    version: AtomicU32,
    /// Set last, so that nobody works with a half-made segment.
    ready: AtomicU32,
    size: AtomicU64,
    /// See [`identity`].
    creator: AtomicU64,
    /// Text, padded with zeros.
    holds: [AtomicU64; HOLDS / 8],
    /// What the type in it needs to know: a length, a size of slots.
    facts: [AtomicU64; 3],
}

impl Header {
    /// Writes it into memory that is all zero; [`complete`](Self::complete) follows.
    pub(super) fn begin(&self, size: usize, holds: &str, facts: [u64; 3]) {
        self.creator.store(identity::own(), Ordering::Relaxed);
        self.magic.store(MAGIC, Ordering::Relaxed);
        self.version.store(VERSION, Ordering::Relaxed);
        self.size.store(size as u64, Ordering::Relaxed);
        for (word, value) in self.holds.iter().zip(words(holds)) {
            word.store(value, Ordering::Relaxed);
        }
        for (word, value) in self.facts.iter().zip(facts) {
            word.store(value, Ordering::Relaxed);
        }
    }

    /// From now on others accept the segment.
    pub(super) fn complete(&self) {
        self.ready.store(1, Ordering::Release);
    }

    /// Returns the facts of a complete segment of `size` bytes with a living creator that holds `holds`.
    ///
    /// # Errors
    ///
    /// Why it is not one.
    pub(super) fn check(&self, size: usize, holds: &str) -> Result<[u64; 3], String> {
        if self.magic.load(Ordering::Relaxed) != MAGIC {
            return Err("it was not made by this library".to_owned());
        }
        let version = self.version.load(Ordering::Relaxed);
        if version != VERSION {
            return Err(format!("its layout is version {version}, not {VERSION}"));
        }
        let creator = self.creator.load(Ordering::Relaxed);
        let abandoned = !identity::is_alive(creator);
        if self.ready.load(Ordering::Acquire) != 1 {
            let why = if abandoned { "its creator died over it" } else { "try again" };
            return Err(format!("it is not complete: {why}"));
        }
        if abandoned {
            let creator = identity::pid(creator);
            return Err(format!("it is stale: process {creator}, its creator, is gone"));
        }
        let made = self.size.load(Ordering::Relaxed);
        if made != size as u64 {
            return Err(format!("it has {size} bytes, and was made with {made}"));
        }
        let found = self.holds();
        if found != holds {
            return Err(format!("it holds {found:?}, not {holds:?}"));
        }
        Ok(std::array::from_fn(|at| self.facts[at].load(Ordering::Relaxed)))
    }

    /// Creator and content of a header that was read instead of mapped, if this library wrote it.
    pub(super) fn read(bytes: &[u8; CONTENT]) -> Option<(u64, String)> {
        let word = |at: usize| Some(u64::from_ne_bytes(bytes.get(at..at + 8)?.try_into().ok()?));
        let holds = bytes.get(offset_of!(Self, holds)..)?.get(..HOLDS)?;
        let holds = holds.split(|&byte| byte == 0).next()?;
        let creator = word(offset_of!(Self, creator))?;
        (word(offset_of!(Self, magic))? == MAGIC)
            .then(|| (creator, String::from_utf8_lossy(holds).into_owned()))
    }

    fn holds(&self) -> String {
        let words = self.holds.iter().map(|word| word.load(Ordering::Relaxed).to_le_bytes());
        let bytes: Vec<u8> = words.flatten().take_while(|&byte| byte != 0).collect();
        String::from_utf8_lossy(&bytes).into_owned()
    }
}

/// The text in words, padded with zeros.
fn words(text: &str) -> [u64; HOLDS / 8] {
    debug_assert!(text.len() <= HOLDS);
    let mut bytes = [0; HOLDS];
    bytes[..text.len()].copy_from_slice(text.as_bytes());
    std::array::from_fn(|at| {
        u64::from_le_bytes(bytes[at * 8..][..8].try_into().expect("eight bytes"))
    })
}
