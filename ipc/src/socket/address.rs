//! Names of local sockets.

use std::ffi::OsStr;
use std::fmt;
use std::mem::{self, offset_of};
use std::os::fd::{AsRawFd, BorrowedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use nix::errno::Errno;

use crate::error::{Error, Result};
use crate::sys::retry_libc;

/// The room for a name in `sockaddr_un`, of which a path needs one byte for its end and an abstract name one
/// for its beginning.
const MAX_LENGTH: usize =
    size_of::<libc::sockaddr_un>() - offset_of!(libc::sockaddr_un, sun_path) - 1;

/// The name of a local socket.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Address(Name);

#[derive(Clone, PartialEq, Eq, Hash)]
enum Name {
    Path(PathBuf),
    Abstract(Box<[u8]>),
    Unnamed,
}

impl Address {
    /// A path in the file system, of at most 107 bytes.
    ///
    /// # Errors
    ///
    /// [`Error::OutOfRange`]: it is longer. [`Error::InvalidName`]: it is empty or contains a NUL.
    pub fn path(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref();
        let bytes = path.as_os_str().as_bytes();
        let refuse = |reason| Error::InvalidName {
            name: path.display().to_string(),
            kind: "socket",
            reason,
        };
        if bytes.is_empty() {
            return Err(refuse("it is empty"));
        }
        if bytes.contains(&0) {
            return Err(refuse("it contains a NUL byte"));
        }
        check_length(&path.display().to_string(), "path of a socket in bytes", bytes.len())?;
        Ok(Self(Name::Path(path.to_owned())))
    }

    /// A name outside of the file system, of 1 to 107 bytes of any value. Only Linux has them. They belong to
    /// the network namespace, have no permissions, and are gone with the last descriptor of the socket.
    ///
    /// # Errors
    ///
    /// [`Error::OutOfRange`]: it is longer. [`Error::InvalidName`]: it is empty.
    pub fn abstract_name(name: impl AsRef<[u8]>) -> Result<Self> {
        let name = name.as_ref();
        let text = name.escape_ascii().to_string();
        if name.is_empty() {
            return Err(Error::InvalidName {
                name: text,
                kind: "abstract socket",
                reason: "it is empty",
            });
        }
        check_length(&text, "abstract name in bytes", name.len())?;
        Ok(Self(Name::Abstract(name.into())))
    }

    /// The path, if it is one.
    #[must_use]
    pub fn as_path(&self) -> Option<&Path> {
        match &self.0 {
            Name::Path(path) => Some(path),
            _ => None,
        }
    }

    /// The abstract name, if it is one, without the NUL that the kernel has before it.
    #[must_use]
    pub fn as_abstract_name(&self) -> Option<&[u8]> {
        match &self.0 {
            Name::Abstract(name) => Some(name),
            _ => None,
        }
    }

    /// Whether the socket has no name, as the ends of a pair and most clients.
    #[must_use]
    pub fn is_unnamed(&self) -> bool {
        self.0 == Name::Unnamed
    }

    /// No name: to bind to it means to get one from the kernel.
    pub(super) fn unnamed() -> Self {
        Self(Name::Unnamed)
    }

    pub(super) fn bind(&self, fd: BorrowedFd<'_>) -> nix::Result<()> {
        let (address, length) = self.to_c();
        // SAFETY: `length` bytes of `address` are initialised, and the call only reads them.
        retry_libc(|| unsafe { libc::bind(fd.as_raw_fd(), (&raw const address).cast(), length) })?;
        Ok(())
    }

    /// Not repeated after a signal: the caller has a time to keep.
    pub(super) fn connect(&self, fd: BorrowedFd<'_>) -> nix::Result<()> {
        let (address, length) = self.to_c();
        // SAFETY: `length` bytes of `address` are initialised, and the call only reads them.
        match unsafe { libc::connect(fd.as_raw_fd(), (&raw const address).cast(), length) } {
            0 => Ok(()),
            _ => Err(Errno::last()),
        }
    }

    /// As the system calls want it, with its length.
    pub(super) fn to_c(&self) -> (libc::sockaddr_un, libc::socklen_t) {
        // SAFETY: the structure consists of numbers, for which all zeroes are valid.
        let mut address: libc::sockaddr_un = unsafe { mem::zeroed() };
        address.sun_family = libc::AF_UNIX as libc::sa_family_t;
        let (start, bytes, end) = match &self.0 {
            Name::Path(path) => (0, path.as_os_str().as_bytes(), 1),
            Name::Abstract(name) => (1, &**name, 0),
            Name::Unnamed => (0, &[][..], 0),
        };
        for (to, from) in address.sun_path[start..].iter_mut().zip(bytes) {
            *to = from.cast_signed();
        }
        let length = offset_of!(libc::sockaddr_un, sun_path) + start + bytes.len() + end;
        (address, length as libc::socklen_t)
    }

    /// From what a system call has written.
    pub(super) fn from_c(
        address: &libc::sockaddr_un,
        length: libc::socklen_t,
    ) -> nix::Result<Self> {
        let head = offset_of!(libc::sockaddr_un, sun_path);
        let length = length as usize;
        if length < size_of::<libc::sa_family_t>() {
            return Ok(Self(Name::Unnamed));
        }
        if i32::from(address.sun_family) != libc::AF_UNIX {
            return Err(Errno::EAFNOSUPPORT);
        }
        // The kernel tells the length with the final NUL even if there was no room for that.
        let room = length.saturating_sub(head).min(address.sun_path.len());
        let name: Vec<u8> = address.sun_path[..room].iter().map(|c| c.cast_unsigned()).collect();
        Ok(Self(match name.split_first() {
            None => Name::Unnamed,
            Some((0, rest)) => Name::Abstract(rest.into()),
            Some(_) => {
                let end = name.iter().position(|byte| *byte == 0).unwrap_or(name.len());
                Name::Path(OsStr::from_bytes(&name[..end]).into())
            }
        }))
    }
}

impl fmt::Display for Address {
    /// A path as it is, an abstract name after an `@`, as `ss` and `/proc/net/unix` show it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Name::Path(path) => write!(f, "{}", path.display()),
            Name::Abstract(name) => write!(f, "@{}", name.escape_ascii()),
            Name::Unnamed => f.write_str("(unnamed)"),
        }
    }
}

impl fmt::Debug for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// The name that a socket is bound to; `EAFNOSUPPORT` if it is not a local one.
pub(super) fn local(fd: BorrowedFd<'_>) -> nix::Result<Address> {
    // SAFETY: the structure consists of numbers, for which all zeroes are valid.
    let mut address: libc::sockaddr_un = unsafe { mem::zeroed() };
    let mut length = size_of_val(&address) as libc::socklen_t;
    retry_libc(|| {
        // SAFETY: `length` says how much room there is in `address`.
        unsafe { libc::getsockname(fd.as_raw_fd(), (&raw mut address).cast(), &raw mut length) }
    })?;
    Address::from_c(&address, length)
}

fn check_length(object: &str, quantity: &'static str, given: usize) -> Result<()> {
    Error::check_range(object, quantity, given as u64, 1..=MAX_LENGTH as u64)
}
