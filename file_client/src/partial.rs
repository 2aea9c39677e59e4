//! What `--resume` keeps of a download that was cut short.

use std::ffi::{OsStr, OsString};
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use nix::libc::O_NOFOLLOW;
use rustix::process::geteuid;
use sha2::{Digest, Sha256};

use crate::destination::Place;
use crate::failure::Failure;
use crate::names::show;

/// How many bytes of the target's name a partial file's name has at most. With the rest it is
/// short enough for any file system.
const NAME_LENGTH: usize = 100;

/// A partial file, opened for this process alone. It stays until [`remove`](Partial::remove) or
/// [`land`](Partial::land).
pub(crate) struct Partial {
    path: PathBuf,
    pub(crate) file: File,
}

impl Partial {
    /// Opens or creates the partial file, next to `place`, of the file `remote_name` of the server `addr`.
    ///
    /// # Errors
    ///
    /// The file cannot be opened, is not one that this client began, or is in use by another client.
    pub(crate) fn open(addr: &str, remote_name: &OsStr, place: &Place) -> Result<Partial, Failure> {
        let path = place.path().with_file_name(name(addr, remote_name, place.name()));
        let failed = |error: &io::Error| Failure::of_file("write", &path, error);
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(place.mode())
            .custom_flags(O_NOFOLLOW)
            .open(&path)
            .map_err(|error| failed(&error))?;
        let opened = file.metadata().map_err(|error| failed(&error))?;
        // Where every file has one owner, such as on a USB stick, the directory has the same.
        let owners = [
            geteuid().as_raw(),
            fs::metadata(place.directory()).map_err(|error| failed(&error))?.uid(),
        ];
        if !opened.is_file() || opened.nlink() > 1 || !owners.contains(&opened.uid()) {
            return Err(Failure::Refused(format!(
                "{} was not begun by this client: move it away, or leave --resume out",
                show(&path)
            )));
        }
        let mine = match file.try_lock() {
            // Another client may have landed it between the opening and the lock.
            Ok(()) => fs::symlink_metadata(&path)
                .is_ok_and(|now| (now.dev(), now.ino()) == (opened.dev(), opened.ino())),
            Err(TryLockError::WouldBlock) => false,
            // A file system without locks: then there is none to respect.
            Err(TryLockError::Error(_)) => true,
        };
        if !mine {
            return Err(Failure::Refused(format!(
                "{} is in use by another file_client",
                show(&path)
            )));
        }
        Ok(Partial { path, file })
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Its length in bytes, 0 where that cannot be found out.
    pub(crate) fn length(&self) -> u64 {
        self.file.metadata().map_or(0, |meta| meta.len())
    }

    /// Removes it, since nothing in it is of use.
    pub(crate) fn remove(&self) {
        let _ = fs::remove_file(&self.path);
    }

    /// Puts it in its place, complete and verified.
    pub(crate) fn land(&self, place: &Place) -> Result<(), Failure> {
        place
            .keep_access(&self.file)
            .and_then(|()| fs::rename(&self.path, place.path()))
            .map_err(|error| Failure::of_file("save", place.path(), &error))
    }
}

/// `NAME.HASH.part`, where the hash is over the server's address, the file's name there and its name here.
/// No file of the user's own has such a name by chance, so whatever has it was begun by this client, for this download.
fn name(addr: &str, remote_name: &OsStr, local_name: &OsStr) -> OsString {
    let mut hash = Sha256::new();
    hash.update(addr);
    // A leading slash makes no difference to the server.
    let remote_name = remote_name.as_bytes();
    for part in [remote_name.strip_prefix(b"/").unwrap_or(remote_name), local_name.as_bytes()] {
        hash.update(b"\0");
        hash.update(part);
    }
    let hash: String = hash.finalize()[..8].iter().map(|byte| format!("{byte:02x}")).collect();
    let mut name = match local_name.to_str() {
        Some(name) => name.as_bytes()[..name.floor_char_boundary(NAME_LENGTH)].to_vec(),
        None => local_name.as_bytes().iter().copied().take(NAME_LENGTH).collect(),
    };
    name.extend_from_slice(format!(".{hash}.part").as_bytes());
    OsString::from_vec(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(addr: &str, remote: &str, local: &str) -> String {
        name(addr, remote.as_ref(), local.as_ref()).into_string().unwrap()
    }

    #[test]
    fn partial_name_depends_on_download() {
        let usual = of("h:1", "d/a", "a");
        assert_eq!(usual, of("h:1", "/d/a", "a"));
        assert!(usual.starts_with("a.") && usual.ends_with(".part"), "{usual}");
        for other in [of("h:2", "d/a", "a"), of("h:1", "e/a", "a"), of("h:1", "d/a", "b")] {
            assert_ne!(usual[2..], other[2..]);
        }
    }

    #[test]
    fn partial_name_fits_any_system() {
        for long in ["x".repeat(255), "é".repeat(127), format!("x{}", "é".repeat(127))] {
            let name = of("h:1", "a", &long);
            assert!(name.len() <= NAME_LENGTH + 22, "{name}");
            assert_ne!(name, of("h:1", "a", &format!("{long}y")));
        }
        let no_text = OsString::from_vec(vec![0xff; 255]);
        assert!(name("h:1", &no_text, &no_text).len() <= NAME_LENGTH + 22);
    }
}
