//! Binding to a name, and removing it again.

use std::fs::{self, File};
use std::os::fd::AsFd;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::fcntl::{Flock, FlockArg};
use nix::sys::socket::{AddressFamily, SockFlag, SockType};
use nix::unistd::unlink;

use super::{Address, Socket};
use crate::error::{Error, Result};

/// A path that this process has bound; removed when this is dropped.
#[derive(Debug)]
pub(super) struct Bound {
    /// Absolute, so that the right name is removed even after a change of the working directory.
    path: PathBuf,
    /// Device and inode: a name that by now means something else is left alone.
    identity: (u64, u64),
}

/// Binds `socket`. A path that a dead process left behind is replaced.
pub(super) fn bind(socket: &Socket, address: &Address) -> Result<Option<Bound>> {
    let absolute = address.as_path().map(std::path::absolute).transpose();
    let absolute = absolute.map_err(|error| io(address, "getcwd", &error))?;
    let mut result = address.bind(socket.as_fd());
    if let (Err(Errno::EADDRINUSE), Some(path)) = (result, address.as_path()) {
        remove_stale(address, path)?;
        result = address.bind(socket.as_fd());
    }
    result.map_err(|errno| Error::system(address.to_string(), "bind", errno))?;
    let Some(path) = absolute else { return Ok(None) };
    let found = fs::symlink_metadata(&path).map_err(|error| io(address, "lstat", &error))?;
    Ok(Some(Bound { path, identity: (found.dev(), found.ino()) }))
}

impl Bound {
    pub(super) fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for Bound {
    fn drop(&mut self) {
        let found = fs::symlink_metadata(&self.path).map(|found| (found.dev(), found.ino()));
        if found.is_ok_and(|found| found == self.identity) {
            // Somebody else may have removed it just now; there is nobody to tell about the rest.
            let _ = unlink(&self.path);
        }
    }
}

/// Removes a socket that no process has bound any more, and nothing else.
fn remove_stale(address: &Address, path: &Path) -> Result<()> {
    let folder = match path.parent() {
        Some(folder) if folder != Path::new("") => folder,
        _ => Path::new("."),
    };
    let folder = File::open(folder).map_err(|error| io(address, "open", &error))?;
    // Of two that find the same stale name, the second would remove the fresh name of the first.
    let _alone =
        Flock::lock(folder, FlockArg::LockExclusiveNonblock).map_err(|(_, errno)| match errno {
            Errno::EAGAIN => Error::WouldBlock { object: address.to_string() },
            errno => Error::system(address.to_string(), "flock", errno),
        })?;
    match fs::symlink_metadata(path) {
        Ok(found) if found.file_type().is_socket() => {}
        Ok(_) => {
            let reason = "the name belongs to something that is no socket".to_owned();
            return Err(Error::Foreign { object: address.to_string(), reason });
        }
        // Removed by its owner in the meantime.
        Err(error) if error.raw_os_error() == Some(libc::ENOENT) => return Ok(()),
        Err(error) => return Err(io(address, "lstat", &error)),
    }
    if is_bound(address)? {
        return Err(Error::system(address.to_string(), "bind", Errno::EADDRINUSE));
    }
    unlink(path).map_err(|errno| Error::system(address.to_string(), "unlink", errno))
}

/// Whether a process has a socket with this name, listening or about to.
///
/// Asked by `connect` of a datagram socket, which nobody notices: it is refused with ECONNREFUSED if nobody
/// has bound the name, with EPROTOTYPE if a socket with connections has, and succeeds if one without has. A
/// stream would be accepted by the server as a client, and refused by one between its `bind` and its
/// `listen`, whose name would then be taken away.
fn is_bound(address: &Address) -> Result<bool> {
    let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
    let probe = nix::sys::socket::socket(AddressFamily::Unix, SockType::Datagram, flags, None)
        .map_err(|errno| Error::system(address.to_string(), "socket", errno))?;
    match address.connect(probe.as_fd()) {
        Err(Errno::ECONNREFUSED) => Ok(false),
        Err(errno @ (Errno::EACCES | Errno::EINTR)) => {
            Err(Error::system(address.to_string(), "connect", errno))
        }
        _ => Ok(true),
    }
}

fn io(address: &Address, call: &'static str, error: &std::io::Error) -> Error {
    let errno = Errno::from_raw(error.raw_os_error().unwrap_or(libc::EIO));
    Error::system(address.to_string(), call, errno)
}
