//! Where a download ends up: a regular file that is replaced at the end, or a device, a FIFO and
//! the like that is written into.

use std::ffi::{OsStr, OsString};
use std::fs::{self, File, Metadata, OpenOptions, Permissions};
use std::io::{self, ErrorKind};
use std::os::fd::AsRawFd;
use std::os::unix::fs::{FileTypeExt, MetadataExt, OpenOptionsExt, PermissionsExt, fchown};
use std::path::{Path, PathBuf};

use nix::libc::{ELOOP, O_NOCTTY, O_TMPFILE};
use rustix::fs::{AtFlags, CWD, XattrFlags, fremovexattr, fsetxattr, getxattr, linkat};
use tempfile::TempPath;

use crate::failure::Failure;
use crate::interrupt;

/// As many symbolic links in a row as the kernel follows.
const MAX_LINKS: usize = 40;

/// The extended attribute that holds a file's access control list.
const ACL: &str = "system.posix_acl_access";

/// What a path stands for, its symbolic links followed.
pub(crate) enum Destination {
    /// A regular file, or none yet.
    File(Place),
    /// Anything else that bytes can be written into.
    Stream(Stream),
}

/// Where a regular file is, or will be.
pub(crate) struct Place {
    path: PathBuf,
    /// Whether nothing was there when this was found out.
    is_new: bool,
}

/// A device, a FIFO, or another process's open file by its name in `/proc`.
pub(crate) struct Stream {
    path: PathBuf,
    is_fifo: bool,
}

/// A file without a name, where the file system has such files; else one with a temporary name,
/// which goes away with this value.
pub(crate) struct Temporary {
    pub(crate) file: File,
    name: Option<TempPath>,
}

impl Destination {
    /// Finds out what `path` stands for.
    ///
    /// A symbolic link stands for what it points to, whether that exists or not, so that the link stays.
    /// A link of `/proc`, where `/dev/stdout` leads, stands for a file that is open already.
    pub(crate) fn of(path: &Path) -> Result<Destination, Failure> {
        let failed = |error: io::Error| Failure::of_file("write", path, &error);
        let mut path = path.to_path_buf();
        for _ in 0..MAX_LINKS {
            let found = match fs::symlink_metadata(&path) {
                Ok(found) => found,
                Err(error) if error.kind() == ErrorKind::NotFound => {
                    return Ok(Destination::File(Place { path, is_new: true }));
                }
                Err(error) => return Err(failed(error)),
            };
            let kind = found.file_type();
            if kind.is_symlink() && !is_of_proc(&found) {
                let target = fs::read_link(&path).map_err(failed)?;
                path = parent(&path).join(target);
            } else if kind.is_file() {
                return Ok(Destination::File(Place { path, is_new: false }));
            } else if kind.is_dir() {
                return Err(failed(ErrorKind::IsADirectory.into()));
            } else {
                let is_fifo = fs::metadata(&path).is_ok_and(|found| found.file_type().is_fifo());
                return Ok(Destination::Stream(Stream { path, is_fifo }));
            }
        }
        Err(failed(io::Error::from_raw_os_error(ELOOP)))
    }
}

impl Place {
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// The last component of the path.
    pub(crate) fn name(&self) -> &OsStr {
        self.path.file_name().unwrap_or_default()
    }

    pub(crate) fn directory(&self) -> &Path {
        parent(&self.path)
    }

    /// The same for two paths of one file, as far as can be told.
    pub(crate) fn identity(&self) -> PathBuf {
        let directory = fs::canonicalize(self.directory());
        directory.map_or_else(|_| self.path.clone(), |directory| directory.join(self.name()))
    }

    /// The mode for a file that is to land here: the usual one for a new file, else private until the access of
    /// the old file is known to hold for it.
    pub(crate) fn mode(&self) -> u32 {
        if self.is_new { 0o666 } else { 0o600 }
    }

    /// A temporary file in this place's directory, since only there a rename is sure to work.
    pub(crate) fn temporary(&self) -> Result<Temporary, Failure> {
        self.anonymous()
            .or_else(|_| self.named())
            .map_err(|error| Failure::of_file("write into", self.directory(), &error))
    }

    fn anonymous(&self) -> io::Result<Temporary> {
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .mode(self.mode())
            .custom_flags(O_TMPFILE)
            .open(self.directory())?;
        // Through this link it will get its name.
        fs::symlink_metadata(proc_name(&file))?;
        Ok(Temporary { file, name: None })
    }

    fn named(&self) -> io::Result<Temporary> {
        let (file, name) = temporary_names()
            .permissions(Permissions::from_mode(self.mode()))
            .tempfile_in(self.directory())?
            .into_parts();
        Ok(Temporary { file, name: Some(name) })
    }

    /// Puts `temporary` here, in one step that replaces what is here.
    pub(crate) fn land(&self, temporary: Temporary) -> Result<(), Failure> {
        let land = || {
            self.keep_access(&temporary.file)?;
            let name = match temporary.name {
                Some(name) => name,
                // A link never replaces a file, so it goes by way of a temporary name.
                None => temporary_names()
                    .make_in(self.directory(), |name| {
                        let source = proc_name(&temporary.file);
                        Ok(linkat(CWD, source, CWD, name, AtFlags::SYMLINK_FOLLOW)?)
                    })?
                    .into_temp_path(),
            };
            name.persist(&self.path).map_err(|error| error.error)
        };
        land().map_err(|error| Failure::of_file("save", &self.path, &error))
    }

    /// Sets the mode and the access control list of `new` to those of the file that it replaces and, where
    /// that is permitted, its owner and group. Where the group or the list cannot be kept, the group may only do
    /// what all others may. Like a write into the old file, this does not keep set-user-ID and set-group-ID.
    ///
    /// # Errors
    ///
    /// The mode cannot be set, or what is to be replaced is no longer a regular file.
    pub(crate) fn keep_access(&self, new: &File) -> io::Result<()> {
        let old = match fs::symlink_metadata(&self.path) {
            Ok(old) if old.is_file() => old,
            Ok(_) => return Err(io::Error::other("it is no longer a regular file")),
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
            Err(error) => return Err(error),
        };
        let owned = new.metadata()?;
        if owned.uid() != old.uid() {
            let _ = fchown(new, Some(old.uid()), None);
        }
        let kept_group = owned.gid() == old.gid() || fchown(new, None, Some(old.gid())).is_ok();
        let mut mode = old.mode() & 0o777;
        if !copy_acl(&self.path, new) || !kept_group {
            mode &= 0o707 | (mode & 0o007) << 3;
        }
        // Some file systems have no modes to set, and every file has the same.
        if new.metadata()?.mode() & 0o7777 == mode {
            return Ok(());
        }
        new.set_permissions(Permissions::from_mode(mode))
    }
}

impl Stream {
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Opens it for writing. The opening of a FIFO waits for a reader; a signal ends the wait, and the
    /// caller then finds it in [`interrupt::signal`].
    pub(crate) fn open(&self) -> Result<File, Failure> {
        let mut options = OpenOptions::new();
        options.write(true).truncate(true).custom_flags(O_NOCTTY);
        let opened = match self.is_fifo {
            true => interrupt::open_fifo(&self.path, &options),
            false => options.open(&self.path),
        };
        opened.map_err(|error| Failure::of_file("write", &self.path, &error))
    }
}

/// The directory of a file. An empty one is spelled out, for system calls do not take it.
fn parent(path: &Path) -> &Path {
    match path.parent() {
        Some(directory) if directory != Path::new("") => directory,
        _ => Path::new("."),
    }
}

fn is_of_proc(link: &Metadata) -> bool {
    fs::symlink_metadata("/proc/self").is_ok_and(|proc| proc.dev() == link.dev())
}

fn proc_name(file: &File) -> OsString {
    format!("/proc/self/fd/{}", file.as_raw_fd()).into()
}

fn temporary_names() -> tempfile::Builder<'static, 'static> {
    let mut builder = tempfile::Builder::new();
    builder.prefix(".file_client-");
    builder
}

/// Copies the access control list of the file `old` to `new`, or removes that of `new` if `old` has none.
/// Returns whether the two then agree.
fn copy_acl(old: &Path, new: &File) -> bool {
    // The kernel's limit on the value of an extended attribute.
    let mut list = vec![0; 65_536];
    match getxattr(old, ACL, &mut list[..]) {
        Ok(length) => fsetxattr(new, ACL, &list[..length], XattrFlags::empty()).is_ok(),
        // None here, or a file system without them. A new file may have inherited one.
        Err(_) => {
            let _ = fremovexattr(new, ACL);
            true
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::fs::setxattr;
    use std::io::Write;
    use std::os::unix::fs::symlink;

    fn place(path: &Path) -> Place {
        match Destination::of(path) {
            Ok(Destination::File(place)) => place,
            Ok(Destination::Stream(_)) => panic!("{} is a stream", path.display()),
            Err(failure) => panic!("{failure:?}"),
        }
    }

    /// Lands "new" at `path`.
    fn land(path: &Path) {
        let place = place(path);
        let mut temporary = place.temporary().unwrap();
        temporary.file.write_all(b"new").unwrap();
        place.land(temporary).unwrap();
        assert_eq!(fs::read(path).unwrap(), b"new");
    }

    #[test]
    fn links_lead_to_their_file() {
        let outer = tempfile::tempdir().unwrap();
        let directory = outer.path().join("d");
        fs::create_dir(&directory).unwrap();
        symlink("d/../second", outer.path().join("first")).unwrap();
        symlink(directory.join("file"), outer.path().join("second")).unwrap();
        let found = place(&outer.path().join("first"));
        assert_eq!(found.path(), directory.join("file"));
        assert!(found.is_new);
        assert_eq!(found.identity(), place(&outer.path().join("d/../d/file")).identity());

        symlink("loop", outer.path().join("loop")).unwrap();
        assert!(Destination::of(&outer.path().join("loop")).is_err());
        assert!(Destination::of(&directory).is_err());
        symlink("/proc/self/fd/0", outer.path().join("open")).unwrap();
        assert!(matches!(
            Destination::of(&outer.path().join("open")),
            Ok(Destination::Stream(Stream { path, .. })) if path == Path::new("/proc/self/fd/0")
        ));
    }

    #[test]
    fn named_temporary_lands_alike() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("a");
        for mode in [0o600, 0o751] {
            fs::write(&path, "old").unwrap();
            fs::set_permissions(&path, Permissions::from_mode(mode)).unwrap();
            let place = place(&path);
            for temporary in [place.named().unwrap(), place.temporary().unwrap()] {
                place.land(temporary).unwrap();
                assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o7777, mode);
            }
        }
        drop(place(&path).named().unwrap());
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1);
    }

    #[test]
    fn link_made_meanwhile_is_kept() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("a");
        let place = place(&path);
        let temporary = place.temporary().unwrap();
        symlink("elsewhere", &path).unwrap();
        assert!(place.land(temporary).is_err());
        assert!(path.is_symlink());
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1);
    }

    #[test]
    fn access_list_is_kept() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("a");
        fs::write(&path, "old").unwrap();
        // Version 2; then tag, permissions and number of each entry: the owner and user 12345 may
        // read and write, the group nothing, the mask is rw, others nothing.
        let mut list = vec![2, 0, 0, 0];
        for (tag, permissions, id) in [
            (1u16, 6u16, u32::MAX),
            (2, 6, 12345),
            (4, 0, u32::MAX),
            (16, 6, u32::MAX),
            (32, 0, u32::MAX),
        ] {
            list.extend(tag.to_le_bytes());
            list.extend(permissions.to_le_bytes());
            list.extend(id.to_le_bytes());
        }
        if let Err(error) = setxattr(&path, ACL, &list, XattrFlags::empty()) {
            eprintln!("SKIPPED access_list_is_kept: no access control lists here: {error}");
            return;
        }
        land(&path);
        let mut kept = [0; 256];
        let length = getxattr(&path, ACL, &mut kept[..]).unwrap();
        assert_eq!(kept[..length], list);
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o660);

        // A list that new files inherit is not one that the old file had.
        let inherited = "system.posix_acl_default";
        setxattr(directory.path(), inherited, &list, XattrFlags::empty()).unwrap();
        let plain = directory.path().join("b");
        fs::write(&plain, "old").unwrap();
        rustix::fs::removexattr(&plain, ACL).unwrap();
        fs::set_permissions(&plain, Permissions::from_mode(0o640)).unwrap();
        land(&plain);
        assert!(getxattr(&plain, ACL, &mut kept[..]).is_err());
        assert_eq!(fs::metadata(&plain).unwrap().permissions().mode() & 0o777, 0o640);
    }
}
