//! Markers: how a starting server finds the temporaries below the root's subdirectories.
//!
//! A marker is a symbolic link with the name of its temporary. It lies in the root, and its text is the path from there
//! to the temporary. The path has no links in it, so a link that is changed later does not lead astray. A path that is too
//! long for the text of one link is cut into pieces: each marker leads to the next one, in a directory further down.

use super::calls::uninterrupted;
use super::{join, resolve};
use rustix::fs::{
    AtFlags, OFlags, ResolveFlags, StatxFlags, readlinkat, statx, symlinkat, unlinkat,
};
use rustix::io::Errno;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

/// The longest text of a marker, in bytes. XFS takes no longer one.
const MAX_TEXT: usize = 1023;

/// The most links that a path may run through, as in the kernel.
const MAX_LINKS: usize = 40;

/// Creates the markers for the temporary `name` in the directory at `path` below `from`.
///
/// # Errors
///
/// The system's errors, except where a directory takes no new names or the file system has no symbolic links: there the
/// next listing of the temporary's directory cleans up instead.
pub(super) fn create(from: BorrowedFd<'_>, path: &[u8], name: &[u8]) -> Result<(), Errno> {
    let Some((piece, rest)) = cut(path, name) else {
        return Ok(());
    };
    let text = join(piece, name);
    match uninterrupted(|| symlinkat(&text[..], from, name)) {
        Ok(()) | Err(Errno::EXIST) => {}
        Err(errno) if takes_no_marker(errno) => return Ok(()),
        Err(errno) => return Err(errno),
    }
    if rest.is_empty() { Ok(()) } else { create(directory(from, piece)?.as_fd(), rest, name) }
}

/// Whether the error means that a directory takes no new names, or its file system no symbolic links (SMB, FUSE).
fn takes_no_marker(errno: Errno) -> bool {
    matches!(errno, Errno::ACCESS | Errno::PERM | Errno::ROFS | Errno::OPNOTSUPP | Errno::NOSYS)
}

/// Removes the markers that [`create`] has created with the same arguments, the last one first.
pub(super) fn remove(from: BorrowedFd<'_>, path: &[u8], name: &[u8]) {
    let Some((piece, rest)) = cut(path, name) else {
        return;
    };
    if !rest.is_empty()
        && let Ok(next) = directory(from, piece)
    {
        remove(next.as_fd(), rest, name);
    }
    let _ = uninterrupted(|| unlinkat(from, name, AtFlags::empty()));
}

/// Returns the path from a marker's directory to the directory of what it marks; `None` unless `text` is that of a marker
/// called `name`.
pub(super) fn parent<'a>(text: &'a [u8], name: &[u8]) -> Option<&'a [u8]> {
    text.strip_suffix(name)?.strip_suffix(b"/").filter(|parent| !parent.is_empty())
}

/// Returns the path without links of the directory `known`, which is at `path` below `root`.
///
/// # Errors
///
/// The system's errors; EAGAIN where a rename meanwhile has made `path` lead elsewhere.
pub(super) fn real_path(
    root: BorrowedFd<'_>,
    path: &[u8],
    known: BorrowedFd<'_>,
) -> Result<Vec<u8>, Errno> {
    let reversed =
        |path: &[u8]| -> Vec<Vec<u8>> { path.rsplit(|&b| b == b'/').map(<[u8]>::to_vec).collect() };
    let mut ahead = reversed(path);
    let (mut real, mut at, mut links) = (Vec::new(), directory(root, b"")?, 0);
    while let Some(component) = ahead.pop() {
        match &component[..] {
            b"" | b"." => {}
            b".." => {
                real.truncate(memchr::memrchr(b'/', &real).unwrap_or(0));
                at = descend(root, &real)?;
            }
            name => match uninterrupted(|| readlinkat(&at, name, Vec::new())) {
                Ok(_) if links == MAX_LINKS => return Err(Errno::LOOP),
                Ok(target) => {
                    links += 1;
                    ahead.extend(reversed(target.as_bytes()));
                }
                Err(Errno::INVAL) => {
                    at = directory(at.as_fd(), name)?;
                    real = join(&real, name);
                }
                Err(errno) => return Err(errno),
            },
        }
    }
    if identity(at.as_fd())? == identity(known)? { Ok(real) } else { Err(Errno::AGAIN) }
}

/// Opens the directory at `path`, which may be longer than the kernel takes in one call.
fn descend(root: BorrowedFd<'_>, path: &[u8]) -> Result<OwnedFd, Errno> {
    let mut at = directory(root, b"")?;
    let mut rest = path;
    while let Some((piece, further)) = cut(rest, b"") {
        at = directory(at.as_fd(), piece)?;
        rest = further;
    }
    Ok(at)
}

/// Opens the directory at `path` below `from`, without following links.
fn directory(from: BorrowedFd<'_>, path: &[u8]) -> Result<OwnedFd, Errno> {
    resolve(from, path, OFlags::PATH | OFlags::DIRECTORY, ResolveFlags::NO_SYMLINKS)
}

/// Cuts off as many components of `path` as fit into the text of a marker called `name`. Returns them and the rest;
/// `None` for the empty path.
fn cut<'a>(path: &'a [u8], name: &[u8]) -> Option<(&'a [u8], &'a [u8])> {
    let room = MAX_TEXT - 1 - name.len();
    if path.is_empty() {
        None
    } else if path.len() <= room {
        Some((path, b""))
    } else {
        // A component is much shorter than the room.
        let end = memchr::memrchr(b'/', &path[..=room])?;
        Some((&path[..end], &path[end + 1..]))
    }
}

/// Which directory it is, whatever its path.
fn identity(directory: BorrowedFd<'_>) -> Result<(u32, u32, u64), Errno> {
    let stat = uninterrupted(|| statx(directory, c"", AtFlags::EMPTY_PATH, StatxFlags::INO))?;
    Ok((stat.stx_dev_major, stat.stx_dev_minor, stat.stx_ino))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::{self, File};
    use std::os::unix::fs::symlink;

    #[test]
    fn marker_errors_keep_their_meaning() {
        for errno in [Errno::ACCESS, Errno::PERM, Errno::ROFS, Errno::OPNOTSUPP, Errno::NOSYS] {
            assert!(takes_no_marker(errno), "{errno}");
        }
        for errno in [Errno::NOSPC, Errno::IO, Errno::NAMETOOLONG] {
            assert!(!takes_no_marker(errno), "{errno}");
        }
    }

    #[test]
    fn long_path_is_cut_between_components() {
        let name = b".~upload-0123456789abcdef";
        for component in [1, 2, 100, 254, 255] {
            for count in [1, 3, 4, 30, 500] {
                let path = vec![vec![b'x'; component]; count].join(&b'/');
                let (mut pieces, mut rest) = (Vec::new(), &path[..]);
                while let Some((piece, further)) = cut(rest, name) {
                    assert!(!piece.is_empty() && piece.len() + 1 + name.len() <= MAX_TEXT);
                    pieces.push(piece);
                    rest = further;
                }
                assert_eq!(pieces.join(&b'/'), path);
            }
        }
    }

    #[test]
    fn real_path_has_no_links() {
        let home = tempfile::tempdir().unwrap();
        let at = |name: &str| home.path().join(name);
        fs::create_dir_all(at("a/b/c")).unwrap();
        symlink("a/b", at("down")).unwrap();
        symlink("../../down/./c/", at("a/b/round")).unwrap();
        symlink("..", at("a/up")).unwrap();
        symlink("circle", at("circle")).unwrap();
        let root = File::open(home.path()).unwrap();
        let real = |path: &str, known: &str| {
            let known = File::open(at(known)).unwrap();
            real_path(root.as_fd(), path.as_bytes(), known.as_fd())
        };
        for (path, expected) in
            [("a/b", "a/b"), ("down", "a/b"), ("down/round", "a/b/c"), ("a/up/a/up/down", "a/b")]
        {
            assert_eq!(real(path, expected), Ok(expected.as_bytes().to_vec()), "{path}");
        }
        assert_eq!(real("a/up", ""), Ok(Vec::new()));
        assert_eq!(real("circle", ""), Err(Errno::LOOP));
        assert_eq!(real("down", "a"), Err(Errno::AGAIN), "it leads elsewhere now");
    }
}
