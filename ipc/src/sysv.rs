//! What System V queues and semaphores have in common: keys, tables, and being found half made.

use std::ffi::CString;
use std::fmt;
use std::fs;
use std::io::ErrorKind;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::time::Duration;

use nix::errno::Errno;

use crate::error::{Error, Result};
use crate::sys::{Deadline, backoff, pause, posix_name};

/// How a System V object is called: a number that unrelated processes agree on.
///
/// System V objects have no names. `msgget` and `semget` turn a key into an identifier that is valid in
/// the whole machine; queues, semaphores and segments are counted apart, so one key may stand for one of
/// each. There are three ways to a key, and none is perfect:
///
/// - [`Key::PRIVATE`] makes a new object each time. It cannot collide. Its identifier is handed to the
///   peers by other means: an argument, a pipe, a file.
/// - [`Key::of_name`] hashes a name to 31 bits. Two names meet with a chance of one in 2^31.
/// - [`Key::of_path`] is `ftok`, the tradition (TLPI section 45.2): the low 16 bits of the file's inode, 8
///   bits of its device and 8 bits of a number of your choice. Files of one file system whose inodes
///   differ in higher bits have the same key; a file that was deleted and made again has another one.
///   Keep such a file for as long as the object.
///
/// Nothing protects a key against a program that chose the same one. The constructors of this library
/// refuse an object of another shape with [`Error::Unusable`]; one of the same shape they cannot tell.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Key(pub(crate) libc::key_t);

impl Key {
    /// A new object each time, which only its identifier leads to.
    pub const PRIVATE: Self = Self(libc::IPC_PRIVATE);

    /// The key with this number, for objects that are shared with other programs. Zero is
    /// [`Key::PRIVATE`].
    #[must_use]
    pub const fn raw(number: i32) -> Self {
        Self(number)
    }

    /// A key made from a name (FNV-1a, 31 bits): the same in every process that uses this function.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidName`] by the rules for POSIX names: no slash but one at the beginning, not empty, at
    /// most 251 bytes.
    pub fn of_name(name: &str) -> Result<Self> {
        let checked = posix_name("System V key", name)?;
        let hash = checked.as_bytes().iter().fold(0x811c_9dc5_u32, |hash, byte| {
            (hash ^ u32::from(*byte)).wrapping_mul(0x0100_0193)
        });
        // Zero would mean "private".
        Ok(Self(((hash >> 1) as libc::key_t).max(1)))
    }

    /// A key made from an existing file and a number of your choice, as `ftok` makes it.
    ///
    /// # Errors
    ///
    /// [`Error::OutOfRange`] for the project 0, whose result POSIX leaves open; [`Error::System`] when
    /// there is no such file; [`Error::InvalidName`] when the path contains a NUL.
    pub fn of_path(path: impl AsRef<Path>, project: u8) -> Result<Self> {
        let path = path.as_ref();
        let object = path.display().to_string();
        Error::check_range(&object, "project number", project.into(), 1..=255)?;
        let c_path = CString::new(path.as_os_str().as_bytes()).map_err(|_| Error::InvalidName {
            name: object.clone(),
            kind: "System V key",
            reason: "it contains a NUL byte",
        })?;
        // SAFETY: `c_path` ends with a NUL and lives through the call.
        match unsafe { libc::ftok(c_path.as_ptr(), i32::from(project)) } {
            -1 => Err(Error::last(object, "ftok")),
            key => Ok(Self(key)),
        }
    }

    /// The number itself.
    #[must_use]
    pub const fn number(self) -> i32 {
        self.0
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::PRIVATE => f.write_str("private"),
            Self(number) => write!(f, "key {number:#010x}"),
        }
    }
}

/// For how long an opener waits for the creator to complete an object. Creators need microseconds;
/// after a second the creator is taken for dead.
const COMPLETION_TIMEOUT: Duration = Duration::from_secs(1);

/// Polls until `ready` returns something; returns `None` after [`COMPLETION_TIMEOUT`].
///
/// System V objects come to life empty, and are filled in by a second call; the kernel has no event for
/// it. So this is polling, with pauses that double from 50 microseconds to 20 milliseconds.
pub(crate) fn wait_complete<T>(mut ready: impl FnMut() -> Result<Option<T>>) -> Result<Option<T>> {
    let deadline = Deadline::monotonic(COMPLETION_TIMEOUT);
    for length in backoff(Duration::from_micros(50), Duration::from_millis(20)) {
        if let Some(object) = ready()? {
            return Ok(Some(object));
        }
        if deadline.left().is_zero() {
            break;
        }
        pause(length);
    }
    Ok(None)
}

/// The result of a removal, with "it is gone already" taken for a success.
pub(crate) fn ignore_gone(result: nix::Result<i32>) -> nix::Result<()> {
    match result {
        Ok(_) | Err(Errno::EIDRM | Errno::EINVAL) => Ok(()),
        Err(errno) => Err(errno),
    }
}

/// Removes a segment; processes that have it attached keep it.
pub(crate) fn remove_segment(id: i32) -> nix::Result<()> {
    // SAFETY: IPC_RMID takes no buffer.
    Errno::result(unsafe { libc::shmctl(id, libc::IPC_RMID, std::ptr::null_mut()) }).map(drop)
}

/// The rows of `/proc/sysvipc/FILE`; each is asked by the title of its column. A kernel without System V
/// objects has none. A machine without the table has an error: there may be objects.
pub(crate) fn proc_table(file: &'static str) -> Result<Vec<Row>> {
    let path = format!("/proc/sysvipc/{file}");
    let text = match fs::read_to_string(&path) {
        Err(error) if error.kind() == ErrorKind::NotFound && !kernel_has_system_v() => {
            return Ok(Vec::new());
        }
        text => text.map_err(|error| Error::io(path, "read", &error))?,
    };
    let mut lines = text.lines().map(|line| line.split_whitespace().map(str::to_owned).collect());
    let titles: Vec<String> = lines.next().unwrap_or_default();
    Ok(lines.map(|fields: Vec<String>| Row { titles: titles.clone(), fields }).collect())
}

fn kernel_has_system_v() -> bool {
    // SAFETY: all bytes zero are a valid msginfo, which is integers.
    let mut info: libc::msginfo = unsafe { std::mem::zeroed() };
    // SAFETY: IPC_INFO ignores the identifier and writes a msginfo, for which `info` has room.
    let result = unsafe { libc::msgctl(0, libc::IPC_INFO, (&raw mut info).cast()) };
    result != -1 || Errno::last() != Errno::ENOSYS
}

/// One object in the kernel's table.
pub(crate) struct Row {
    titles: Vec<String>,
    fields: Vec<String>,
}

impl Row {
    /// The figure in the column with this title; zero when the kernel has no such column.
    pub(crate) fn get(&self, title: &str) -> i64 {
        let column = self.titles.iter().position(|own| own == title);
        column.and_then(|index| self.fields.get(index)?.parse().ok()).unwrap_or(0)
    }

    /// As [`get`](Self::get), for figures that fit by their nature: identifiers, pids, keys.
    pub(crate) fn int(&self, title: &str) -> i32 {
        i32::try_from(self.get(title)).unwrap_or(0)
    }

    /// Whether the object belongs to `user`, who may then remove it.
    pub(crate) fn belongs_to(&self, user: u32) -> bool {
        [self.get("uid"), self.get("cuid")].contains(&i64::from(user))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn key_of_name_is_never_private() {
        assert_eq!(Key::of_name("a").unwrap(), Key::of_name("/a").unwrap());
        assert_ne!(Key::of_name("a").unwrap(), Key::of_name("b").unwrap());
        for number in 0..10_000 {
            assert!(Key::of_name(&format!("name{number}")).unwrap().number() > 0);
        }
        assert!(matches!(Key::of_name("a/b"), Err(Error::InvalidName { .. })));
        assert!(matches!(Key::of_path("/", 0), Err(Error::OutOfRange { .. })));
        assert!(Key::of_path("/", 1).unwrap() != Key::of_path("/", 2).unwrap());
        let missing = Key::of_path("/no such file", 1).unwrap_err();
        assert_eq!(missing.errno(), Some(Errno::ENOENT));
        assert_eq!(missing.to_string().split(':').next(), Some("/no such file"));
    }
}
