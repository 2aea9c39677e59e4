//! The header of a segment: what it holds, who made it, and whether it is complete.

use std::mem::offset_of;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use super::identity::{self, Creator};

/// The first eight bytes of every version.
const MAGIC: u64 = u64::from_le_bytes(*b"ipc\0shm\x01");
/// Version 1 had no pid namespace.
const VERSION: u32 = 2;
/// Longest description of what a segment holds.
const HOLDS: usize = 24;

/// Where the content of a segment begins: behind the header, on a line of its own.
pub(super) const CONTENT: usize = 128;

/// What stands at the beginning of every segment. The content begins at [`CONTENT`].
#[repr(C)]
pub(super) struct Header {
    magic: AtomicU64,
    version: AtomicU32,
    /// Set last, so that no process works with a half-made segment. A POSIX object has no name before.
    ready: AtomicU32,
    size: AtomicU64,
    /// See [`identity`].
    creator: AtomicU64,
    /// Text, padded with zeros.
    holds: [AtomicU64; HOLDS / 8],
    /// What the type in it needs to know: a length, a size of slots.
    facts: [AtomicU64; 3],
    /// The pid namespace of the creator, see [`identity`].
    namespace: AtomicU64,
}

/// The header of a segment that was read instead of mapped.
pub(super) struct Found {
    pub(super) creator: Creator,
    pub(super) holds: String,
    /// Its creator and users lock it for as long as they have it open: so does this version.
    pub(super) is_locked_by_users: bool,
}

impl Header {
    /// Writes it into memory that is all zero; [`complete`](Self::complete) follows.
    pub(super) fn begin(&self, size: usize, holds: &str, facts: [u64; 3]) {
        self.namespace.store(identity::namespace(), Ordering::Relaxed);
        // Release: a process that sees a creator sees its namespace.
        self.creator.store(identity::own(), Ordering::Release);
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

    /// Returns the facts of a complete segment of `size` bytes that holds `holds`, unless its creator is known to be gone.
    ///
    /// # Errors
    ///
    /// Why it is not one.
    pub(super) fn check(&self, size: usize, holds: &str) -> Result<[u64; 3], String> {
        if self.magic.load(Ordering::Relaxed) != MAGIC {
            return Err("it was not made by this library".to_owned());
        }
        let version = self.version.load(Ordering::Relaxed);
        // In this order: see `claim_left_behind`.
        let creator = self.creator();
        let complete = self.ready.load(Ordering::Acquire) == 1;
        if version != VERSION {
            let whole = if complete { "" } else { ", and it is not complete" };
            return Err(format!("its layout is version {version}, not {VERSION}{whole}"));
        }
        if !complete {
            let why = match creator {
                Creator::Gone(creator) => format!("process {creator}, its creator, died over it"),
                _ => "its creator is still at it; try again".to_owned(),
            };
            return Err(format!("it is not complete: {why}"));
        }
        if let Creator::Gone(creator) = creator {
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

    /// Takes over a System V segment that was left behind, to remove it: of several processes that try, one succeeds. If it
    /// dies over that, the next one may. `creator` is what the kernel remembers of it.
    pub(super) fn claim_left_behind(&self, creator: Creator) -> bool {
        let word = self.creator.load(Ordering::Acquire);
        let creator = match word {
            0 if self.is_blank() => creator,
            _ => self.creator(),
        };
        let magic = self.magic.load(Ordering::Relaxed);
        if !matches!(creator, Creator::Gone(_)) || !matches!(magic, 0 | MAGIC) {
            return false;
        }
        self.namespace.store(identity::namespace(), Ordering::Relaxed);
        // An opener that finds the new creator alive must not take the segment for complete.
        self.ready.store(0, Ordering::Relaxed);
        let claim =
            |own| self.creator.compare_exchange(word, own, Ordering::AcqRel, Ordering::Relaxed);
        claim(identity::own()).is_ok()
    }

    /// Whether nothing has been written into it: a segment that was just made, or whose creator died at once.
    pub(super) fn is_blank(&self) -> bool {
        let words = [&self.magic, &self.size, &self.creator, &self.facts[0]];
        words.iter().all(|word| word.load(Ordering::Relaxed) == 0)
            && self.version.load(Ordering::Relaxed) == 0
    }

    /// What the header says of the creator.
    pub(super) fn creator(&self) -> Creator {
        let creator = self.creator.load(Ordering::Acquire);
        Creator::judge(creator, self.namespace.load(Ordering::Relaxed))
    }

    /// The pid namespace of the creator; zero if it is not known.
    pub(super) fn namespace(&self) -> u64 {
        self.namespace.load(Ordering::Relaxed)
    }

    /// Reads a header of any version, if this library wrote it.
    pub(super) fn read(bytes: &[u8; CONTENT]) -> Option<Found> {
        let word = |at: usize| Some(u64::from_ne_bytes(bytes.get(at..at + 8)?.try_into().ok()?));
        if word(offset_of!(Self, magic))? != MAGIC {
            return None;
        }
        let holds = bytes.get(offset_of!(Self, holds)..)?.get(..HOLDS)?;
        let holds = holds.split(|&byte| byte == 0).next()?;
        let version = bytes.get(offset_of!(Self, version)..)?.get(..4)?;
        let creator = word(offset_of!(Self, creator))?;
        Some(Found {
            creator: Creator::judge(creator, word(offset_of!(Self, namespace))?),
            holds: String::from_utf8_lossy(holds).into_owned(),
            is_locked_by_users: version == VERSION.to_ne_bytes(),
        })
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
