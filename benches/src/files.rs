//! The directory that the measured servers serve.

use std::fs::File;
use std::io;
use std::path::Path;

/// Makes a file of `length` bytes that are not all alike.
///
/// # Errors
///
/// The file system refuses, for want of space for one.
pub fn make_file(path: &Path, length: u64) -> io::Result<()> {
    const CHUNK: usize = 1 << 20;
    let chunk: Vec<u8> = (0..CHUNK).map(|at| (at % 251) as u8).collect();
    let file = File::create(path)?;
    let mut left = length;
    while left > 0 {
        let piece = &chunk[..usize::try_from(left).map_or(CHUNK, |left| left.min(CHUNK))];
        io::Write::write_all(&mut &file, piece)?;
        left -= piece.len() as u64;
    }
    Ok(())
}
