//! Where shared memory is found: a name, a descriptor, a key or a number.

use std::os::fd::OwnedFd;
use std::str::FromStr;

use crate::error::{Error, Result};

/// What names are of, in errors.
pub(super) const KIND: &str = "shared memory object";

/// Where shared memory is, or is to be.
///
/// A plain string is a POSIX name, a descriptor is a memfd that somebody passed on. As text
/// ([`Memory::address`](super::Memory::address) writes it, [`FromStr`] reads it) it is an argument for a child.
#[derive(Debug)]
#[non_exhaustive]
pub enum Location {
    /// POSIX shared memory, `/name`: lives until its name is removed and the last mapping is gone.
    Posix(String),
    /// Memory without a name, sealed against shrinking; the text is a label. Only to create: others get
    /// at it by its descriptor.
    Memfd(String),
    /// Memory behind a descriptor: passed over a socket, inherited, or found as `/proc/PID/fd/N`. Only
    /// to open.
    Descriptor(OwnedFd),
    /// A System V segment by its key. Key 0 (`IPC_PRIVATE`) makes one that is found by its number only.
    SystemV(i32),
    /// A System V segment by the number that the kernel gave it. Only to open.
    SystemVId(i32),
}

impl From<&str> for Location {
    fn from(name: &str) -> Self {
        Self::Posix(name.to_owned())
    }
}

impl From<&String> for Location {
    fn from(name: &String) -> Self {
        Self::Posix(name.clone())
    }
}

impl From<String> for Location {
    fn from(name: String) -> Self {
        Self::Posix(name)
    }
}

impl From<OwnedFd> for Location {
    fn from(descriptor: OwnedFd) -> Self {
        Self::Descriptor(descriptor)
    }
}

impl FromStr for Location {
    type Err = Error;

    /// Reads what [`Memory::address`](super::Memory::address) wrote: `/name`, `/proc/PID/fd/N`, `sysv:NUMBER`.
    fn from_str(address: &str) -> Result<Self> {
        if let Some(number) = address.strip_prefix("sysv:") {
            return number.parse().map(Self::SystemVId).map_err(|_| Error::InvalidName {
                name: address.to_owned(),
                kind: KIND,
                reason: "a number must follow sysv:",
            });
        }
        if address.starts_with("/proc/") {
            let file = std::fs::OpenOptions::new().read(true).write(true).open(address);
            return file
                .map(|file| Self::Descriptor(file.into()))
                .map_err(|error| Error::io(address, "open", &error));
        }
        Ok(Self::from(address))
    }
}
