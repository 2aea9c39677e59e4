//! Binding to a name, and removing it again.

use std::fs::{self, File};
use std::os::fd::AsFd;
use std::os::unix::fs::FileTypeExt;
use std::path::Path;

use nix::errno::Errno;
use nix::fcntl::{Flock, FlockArg};
use nix::sys::socket::{AddressFamily, SockFlag, SockType};
use nix::unistd::unlink;

use super::{Address, Socket};
use crate::error::{Error, Result};
use crate::file::OwnedPath;

/// Binds `socket`; returns the path, if it is one. A path that a dead process left behind is replaced.
pub(super) fn bind(socket: &Socket, address: &Address) -> Result<Option<OwnedPath>> {
    let absolute = address.as_path().map(std::path::absolute).transpose();
    let absolute = absolute.map_err(|error| io(address, "getcwd", &error))?;
    let mut result = address.bind(socket.as_fd());
    if let (Err(Errno::EADDRINUSE), Some(path)) = (result, address.as_path()) {
        remove_stale(address, path)?;
        result = address.bind(socket.as_fd());
    }
    result.map_err(|errno| Error::system(address.to_string(), "bind", errno))?;
    let Some(path) = absolute else { return Ok(None) };
    let metadata = fs::symlink_metadata(&path).map_err(|error| io(address, "lstat", &error))?;
    Ok(Some(OwnedPath::new(path, &metadata)))
}

/// Removes a socket that no process has bound any more, and nothing else.
fn remove_stale(address: &Address, path: &Path) -> Result<()> {
    let directory = match path.parent() {
        Some(directory) if directory != Path::new("") => directory,
        _ => Path::new("."),
    };
    let directory = File::open(directory).map_err(|error| io(address, "open", &error))?;
    // Of two that find the same stale name, the second would remove the fresh name of the first.
    let _lock =
        Flock::lock(directory, FlockArg::LockExclusiveNonblock).map_err(
            |(_, errno)| match errno {
                Errno::EAGAIN => Error::WouldBlock { object: address.to_string() },
                errno => Error::system(address.to_string(), "flock", errno),
            },
        )?;
    match fs::symlink_metadata(path) {
        Ok(metadata) if metadata.file_type().is_socket() => {}
        Ok(_) => {
            let reason = "the name belongs to something that is no socket";
            return Err(Error::unusable(address.to_string(), reason));
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
    Error::io(address.to_string(), call, error)
}
