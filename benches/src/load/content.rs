//! Files that describe themselves, so that every reply can be verified, whoever wrote the file and
//! whichever version of it is read.
//!
//! A file begins with a line that says its name, version and length, and a sum of these three. The sum says
//! where in one fixed pattern of bytes the rest of the file begins. So the whole content follows from its
//! first line, and to verify is to compare with bytes that are in memory: that costs no more than a
//! checksum would, finds every flipped byte, and needs no reply to be held. A reply that mixes two
//! versions is found too, since they begin at different places of the pattern.
//!
//! A file shorter than its line holds only the beginning of it, and has version 0 for ever.

use super::workload::{MOST_NAMES, Workload};
use crate::text;
use fastrand::Rng;
use sha2::{Digest, Sha256};
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::Path;

/// The length of the line at the beginning.
pub(crate) const LINE: usize = 74;

/// After so many bytes the pattern begins again: a prime, so that it falls in step with nothing.
const PERIOD: usize = 131_071;

/// The content of all files of a workload.
#[derive(Debug)]
pub struct Content {
    /// The pattern twice, so that a whole period of it can be had from anywhere in one piece.
    pattern: Vec<u8>,
    /// By name.
    sizes: Vec<u64>,
    /// The line of version 0 and the place where the rest begins, by name.
    firsts: Vec<([u8; LINE], usize)>,
}

impl Content {
    /// That of the files of `workload`.
    pub fn new(workload: &Workload) -> Content {
        let mut rng = Rng::with_seed(0x5eed);
        let mut pattern: Vec<u8> = (0..PERIOD).map(|_| rng.u8(..)).collect();
        pattern.extend_from_within(..);
        let mut sizes = workload.file_sizes();
        sizes.resize(workload.names.clamp(1, MOST_NAMES), 0);
        let mut content = Content { pattern, sizes, firsts: Vec::new() };
        content.firsts =
            (0..content.sizes.len()).map(|name| content.line_and_start(name, 0)).collect();
        content
    }

    /// How many names there are.
    pub fn names(&self) -> usize {
        self.firsts.len()
    }

    /// How long the file of this name is, in every version.
    pub fn length(&self, name: usize) -> u64 {
        self.sizes[name]
    }

    /// The version that an upload has which was to be number `version`.
    pub fn version(&self, name: usize, version: u64) -> u64 {
        if self.length(name) < LINE as u64 { 0 } else { version }
    }

    /// The first line of a version, and where the rest of it begins in the pattern.
    pub fn line_and_start(&self, name: usize, version: u64) -> ([u8; LINE], usize) {
        let length = self.length(name);
        let sum = sum(name as u64, version, length);
        let mut line = [0; LINE];
        // It fits exactly: every field has a fixed width.
        let _ =
            writeln!(&mut line[..], "{} v{version:020} n{length:020} s{sum:016x}", file_name(name));
        (line, (sum % PERIOD as u64) as usize)
    }

    /// What comes after the line at `at` bytes from the beginning of a file whose pattern begins at
    /// `start`: as much of it as there is in one piece, which is a period at the least.
    pub fn rest(&self, start: usize, at: u64) -> &[u8] {
        let from = (start as u64 + at - LINE as u64) % PERIOD as u64;
        &self.pattern[from as usize..]
    }

    /// Writes version 0 of a file.
    fn write(&self, name: usize, out: &mut impl Write) -> io::Result<()> {
        let (line, start) = &self.firsts[name];
        let length = self.length(name);
        let head = LINE.min(usize::try_from(length).unwrap_or(LINE));
        out.write_all(&line[..head])?;
        let mut at = head as u64;
        while at < length {
            let rest = self.rest(*start, at);
            let piece = rest.len().min(usize::try_from(length - at).unwrap_or(usize::MAX));
            out.write_all(&rest[..piece])?;
            at += piece as u64;
        }
        Ok(())
    }

    /// The SHA-256 of version 0, in the words of the file protocol.
    pub fn hash(&self, name: usize) -> String {
        let mut hasher = Hasher(Sha256::new());
        // A hasher takes everything.
        let _ = self.write(name, &mut hasher);
        hasher.0.finalize().iter().map(|byte| format!("{byte:02x}")).collect::<String>() + "\n"
    }
}

struct Hasher(Sha256);

impl Write for Hasher {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.update(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The name of file number `name`.
pub fn file_name(name: usize) -> String {
    format!("load-{name:06}")
}

/// Mixes three numbers into one, as splitmix64 does.
fn sum(name: u64, version: u64, length: u64) -> u64 {
    [name, version, length].iter().fold(0x9e37_79b9_7f4a_7c15, |sum: u64, value| {
        let mut z = (sum ^ value).wrapping_add(0x9e37_79b9_7f4a_7c15);
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    })
}

/// A body that is being verified while it arrives.
#[derive(Debug)]
pub(crate) struct Verifier {
    name: usize,
    at: u64,
    start: usize,
    line: [u8; LINE],
}

impl Verifier {
    /// Of the file of this name, in whichever version.
    pub(crate) fn new(name: usize) -> Verifier {
        Verifier { name, at: 0, start: 0, line: [0; LINE] }
    }

    /// Whether `bytes` are what comes next.
    pub(crate) fn feed(&mut self, content: &Content, mut bytes: &[u8]) -> bool {
        if self.at < LINE as u64 {
            let at = self.at as usize;
            let piece = bytes.len().min(LINE - at);
            self.line[at..at + piece].copy_from_slice(&bytes[..piece]);
            self.at += piece as u64;
            bytes = &bytes[piece..];
            let Some(start) = self.start(content) else {
                return false;
            };
            self.start = start;
        }
        while !bytes.is_empty() {
            let rest = content.rest(self.start, self.at);
            let piece = bytes.len().min(rest.len());
            if bytes[..piece] != rest[..piece] {
                return false;
            }
            self.at += piece as u64;
            bytes = &bytes[piece..];
        }
        true
    }

    /// Whether so many bytes were the whole file.
    pub(crate) fn is_whole(&self, content: &Content) -> bool {
        self.at == content.length(self.name)
    }

    /// Where the rest begins, if what there is of the line is right.
    fn start(&self, content: &Content) -> Option<usize> {
        let (line, start) = content.firsts.get(self.name)?;
        let have = (self.at as usize).min(LINE);
        if self.line[..have] == line[..have] {
            return Some(*start);
        }
        if have < LINE {
            // Another version, and the line is not complete: what there is must be right so far.
            let right = self.line[..have.min(13)] == line[..have.min(13)];
            return (right && content.length(self.name) >= LINE as u64).then_some(0);
        }
        let version = std::str::from_utf8(&self.line[13..33]).ok()?.parse().ok()?;
        let (line, start) = content.line_and_start(self.name, version);
        (self.line == line).then_some(start)
    }
}

/// Bytes of an upload, piece by piece.
#[derive(Debug)]
pub struct Upload {
    line: [u8; LINE],
    start: usize,
    at: u64,
    length: u64,
}

impl Upload {
    /// Of a version of a file.
    pub fn new(content: &Content, name: usize, version: u64) -> Upload {
        let (line, start) = content.line_and_start(name, content.version(name, version));
        Upload { line, start, at: 0, length: content.length(name) }
    }

    /// What comes next; empty at the end.
    pub fn next<'a>(&'a self, content: &'a Content) -> &'a [u8] {
        let left = usize::try_from(self.length - self.at).unwrap_or(usize::MAX);
        let piece = match self.at {
            at if at < LINE as u64 => &self.line[at as usize..],
            at => content.rest(self.start, at),
        };
        &piece[..piece.len().min(left)]
    }

    /// So many bytes of it are sent.
    pub fn advance(&mut self, sent: usize) {
        self.at += sent as u64;
    }

    /// How many bytes are left.
    pub fn left(&self) -> u64 {
        self.length - self.at
    }
}

/// Makes the files of a workload in a directory; those that are there already are replaced.
///
/// # Errors
///
/// The file system refuses.
pub fn make_files(root: &Path, workload: &Workload) -> io::Result<()> {
    let content = Content::new(workload);
    check_room(root, &content)?;
    for name in 0..content.names() {
        let mut file = File::create(root.join(file_name(name)))?;
        content.write(name, &mut file)?;
    }
    Ok(())
}

/// Checks that the files find room, before half of them fill the disk.
fn check_room(root: &Path, content: &Content) -> io::Result<()> {
    let needed: u128 = (0..content.names())
        .map(|name| {
            let old = fs::metadata(root.join(file_name(name))).map_or(0, |file| file.len());
            u128::from(content.length(name).saturating_sub(old))
        })
        .sum();
    let disk = rustix::fs::statvfs(root)?;
    let free = u128::from(disk.f_bavail) * u128::from(disk.f_frsize);
    if needed <= free {
        return Ok(());
    }
    let (needed, free) = (text::bytes(needed as f64), text::bytes(free as f64));
    let why = format!("they need {needed}, and {free} are free: ask for smaller or fewer ones");
    Err(io::Error::new(io::ErrorKind::StorageFull, why))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn content(sizes: &[u64]) -> Content {
        Content::new(&Workload { sizes: sizes.to_vec().into(), names: 6, ..Workload::default() })
    }

    fn whole(content: &Content, name: usize, version: u64) -> Vec<u8> {
        let mut upload = Upload::new(content, name, version);
        let mut bytes = Vec::new();
        while upload.left() > 0 {
            let piece = upload.next(content);
            bytes.extend_from_slice(piece);
            let sent = piece.len();
            upload.advance(sent);
        }
        bytes
    }

    fn holds(content: &Content, name: usize, bytes: &[u8], step: usize) -> bool {
        let mut verifier = Verifier::new(name);
        bytes.chunks(step.max(1)).all(|piece| verifier.feed(content, piece))
            && verifier.is_whole(content)
    }

    #[test]
    fn content_verifies_in_any_pieces() {
        let content = content(&[0, 1, 73, 74, 4096, 400_000]);
        for name in 0..6 {
            for version in [0, 1, 987_654_321] {
                let bytes = whole(&content, name, version);
                assert_eq!(bytes.len() as u64, content.length(name));
                for step in [1, 7, 74, 75, 1000, 500_000] {
                    assert!(holds(&content, name, &bytes, step), "{name} {version} {step}");
                }
            }
        }
    }

    #[test]
    fn wrong_content_is_found() {
        let content = content(&[4096]);
        let bytes = whole(&content, 2, 7);
        assert!(!holds(&content, 3, &bytes, 4096), "another file");
        assert!(!holds(&content, 2, &bytes[..4095], 4096), "too short");
        assert!(!holds(&content, 2, &[&bytes[..], b"x"].concat(), 4096), "too long");
        for at in 0..4096 {
            let mut broken = bytes.clone();
            broken[at] ^= 1;
            assert!(!holds(&content, 2, &broken, 4096), "byte {at}");
        }
        let mut mixed = bytes;
        mixed[2048..].copy_from_slice(&whole(&content, 2, 8)[2048..]);
        assert!(!holds(&content, 2, &mixed, 512), "half of another version");
    }

    #[test]
    fn files_begin_with_their_description() {
        let root = tempfile::tempdir().unwrap();
        let workload = Workload { names: 3, sizes: vec![100, 10].into(), ..Workload::default() };
        make_files(root.path(), &workload).unwrap();
        let bytes = fs::read(root.path().join("load-000002")).unwrap();
        let line = "load-000002 v00000000000000000000 n00000000000000000100 s";
        assert!(bytes.starts_with(line.as_bytes()));
        assert_eq!(bytes[LINE - 1], b'\n');
        let content = Content::new(&workload);
        assert!(holds(&content, 2, &bytes, 100));
        let short = fs::read(root.path().join("load-000001")).unwrap();
        assert_eq!(short, b"load-00000");
        assert_eq!(content.hash(1).len(), 65);
    }

    #[test]
    fn too_large_files_are_not_begun() {
        let root = tempfile::tempdir().unwrap();
        let workload = Workload { sizes: vec![1 << 50].into(), names: 64, ..Workload::default() };
        let error = make_files(root.path(), &workload).unwrap_err().to_string();
        assert!(error.starts_with("they need "), "{error}");
        assert_eq!(fs::read_dir(root.path()).unwrap().count(), 0);
        // Nor held in memory.
        let ceiling = crate::load::engine::null_ceiling(&workload).map_err(|why| why.to_string());
        let error = ceiling.unwrap_err();
        assert!(error.contains("--no-null-run"), "{error}");
    }
}
