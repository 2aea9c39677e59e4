//! The segments of this user that exist: in use, or left behind.

use std::fs::{File, OpenOptions};
use std::io::Read;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::Path;

use nix::errno::Errno;
use nix::libc;
use nix::sys::mman::shm_unlink;
use nix::unistd::{Pid, Uid};

use super::header::{CONTENT, Header};
use super::identity;
use super::memory::remove_system_v;
use crate::error::{Error, Result};

/// Where Linux keeps POSIX shared memory (shm_overview(7)).
const POSIX: &str = "/dev/shm";
/// Where Linux lists System V segments (sysvipc(7)).
const SYSTEM_V: &str = "/proc/sysvipc/shm";

/// A segment that exists, as [`list`] found it.
#[derive(Debug)]
#[non_exhaustive]
pub struct Found {
    /// `/name`, or `sysv:NUMBER`.
    pub name: String,
    /// What it holds, such as `array of f64`; empty if it is not known.
    pub holds: String,
    /// Its size in bytes.
    pub size: u64,
    /// The process that made it; 0 if it is not known.
    pub creator: i32,
    /// It was left behind: its creator is dead, and in a System V segment nobody is attached. Peers may still
    /// have a POSIX object mapped, and go on when its name is removed.
    pub stale: bool,
    /// How many have a System V segment attached; of POSIX objects the kernel does not tell.
    pub attached: Option<u64>,
    identity: Identity,
}

#[derive(Debug)]
enum Identity {
    Posix { device: u64, inode: u64 },
    SystemV(i32),
}

impl Found {
    /// Removes its name. Whoever has it mapped keeps it.
    ///
    /// # Errors
    ///
    /// [`Error::Foreign`] if there is another object by now; the kernel's reasons, such as `ENOENT`.
    pub fn remove(&self) -> Result<()> {
        match self.identity {
            Identity::Posix { device, inode } => {
                let path = Path::new(POSIX).join(self.name.trim_start_matches('/'));
                let there = std::fs::symlink_metadata(path)
                    .map_err(|error| io(&self.name, "stat", &error))?;
                if (there.dev(), there.ino()) != (device, inode) {
                    let reason = "it is not what was found any more".to_owned();
                    return Err(Error::Foreign { object: self.name.clone(), reason });
                }
                shm_unlink(self.name.as_str())
                    .map_err(|errno| Error::system(&self.name, "shm_unlink", errno))
            }
            Identity::SystemV(id) => remove_system_v(id)
                .map_err(|errno| Error::system(&self.name, "shmctl(IPC_RMID)", errno)),
        }
    }
}

/// Lists the POSIX objects of this user that this library made, and all System V segments of this user.
///
/// A program that may have been killed before removes what it left when it starts:
///
/// ```
/// for found in ipc::shared::list()? {
///     if found.stale && found.name.starts_with("/my-program-") {
///         found.remove()?;
///     }
/// }
/// # Ok::<(), ipc::Error>(())
/// ```
///
/// # Errors
///
/// Those of reading `/dev/shm` and `/proc/sysvipc/shm`; where one does not exist, there is nothing.
pub fn list() -> Result<Vec<Found>> {
    let mut found = Vec::new();
    posix(&mut found)?;
    system_v(&mut found)?;
    Ok(found)
}

fn posix(found: &mut Vec<Found>) -> Result<()> {
    let own = Uid::effective().as_raw();
    let directory = match std::fs::read_dir(POSIX) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
        directory => directory.map_err(|error| io(POSIX, "opendir", &error))?,
    };
    for entry in directory {
        let entry = entry.map_err(|error| io(POSIX, "readdir", &error))?;
        // Not UTF-8 is not ours; gone in the meantime is not there.
        let (Ok(name), Ok(facts)) = (entry.file_name().into_string(), entry.metadata()) else {
            continue;
        };
        if !facts.is_file() || facts.uid() != own {
            continue;
        }
        let file = OpenOptions::new()
            .read(true)
            .custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK)
            .open(entry.path());
        let Some((creator, holds)) = file.ok().and_then(read_header) else { continue };
        found.push(Found {
            name: format!("/{name}"),
            holds,
            size: facts.len(),
            creator: identity::pid(creator),
            stale: !identity::is_alive(creator),
            attached: None,
            identity: Identity::Posix { device: facts.dev(), inode: facts.ino() },
        });
    }
    Ok(())
}

/// The creator and the content, if this library made it. Reads instead of mapping, so that a file that shrinks
/// meanwhile is no danger.
fn read_header(mut file: File) -> Option<(u64, String)> {
    let mut bytes = [0; CONTENT];
    file.read_exact(&mut bytes).ok()?;
    let (creator, holds) = Header::read(&bytes)?;
    let holds = if holds.is_empty() { "something half-made".to_owned() } else { holds };
    Some((creator, holds))
}

fn system_v(found: &mut Vec<Found>) -> Result<()> {
    let own = Uid::effective().as_raw();
    let table = match std::fs::read_to_string(SYSTEM_V) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
        table => table.map_err(|error| io(SYSTEM_V, "read", &error))?,
    };
    for line in table.lines().skip(1) {
        // key shmid perms size cpid lpid nattch uid ...
        let field: Vec<i64> = line.split_whitespace().map_while(|it| it.parse().ok()).collect();
        let &[_, id, _, size, creator, _, attached, uid, ..] = &field[..] else { continue };
        if uid != i64::from(own) {
            continue;
        }
        let (id, creator) = (id as i32, creator as i32);
        let alive = creator > 0
            && nix::sys::signal::kill(Pid::from_raw(creator), None) != Err(Errno::ESRCH);
        found.push(Found {
            name: format!("sysv:{id}"),
            holds: String::new(),
            size: size.unsigned_abs(),
            creator,
            stale: attached == 0 && !alive,
            attached: Some(attached.unsigned_abs()),
            identity: Identity::SystemV(id),
        });
    }
    Ok(())
}

fn io(object: &str, call: &'static str, error: &std::io::Error) -> Error {
    Error::system(object, call, Errno::from_raw(error.raw_os_error().unwrap_or(libc::EIO)))
}
