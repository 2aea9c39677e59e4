//! The segments of this user that exist: in use, or left behind.

use std::fs::{File, OpenOptions};
use std::io::Read;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use nix::libc;
use nix::sys::mman::shm_unlink;
use nix::unistd::Uid;

use super::header::{CONTENT, Header};
use super::identity;
use super::memory::remove_system_v;
use crate::error::{Error, Result};
use crate::file::FileIdentity;
use crate::object::process_exists;
use crate::sysv::proc_table;
use crate::usage::{OpenFiles, Usage, open_to_look, remove_unused};

/// Where Linux keeps POSIX shared memory (shm_overview(7)).
const POSIX: &str = "/dev/shm";

/// Until the list is complete and the processes have been looked at.
const NOT_YET: Usage = Usage::Unknown(String::new());

/// A segment that exists, as [`list`] found it.
#[derive(Debug)]
#[non_exhaustive]
pub struct Segment {
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
    /// Whether a process uses it: its creator is alive, or any process has it open, mapped or attached.
    pub usage: Usage,
    identity: Identity,
}

#[derive(Debug)]
enum Identity {
    Posix(FileIdentity),
    SystemV(i32),
}

impl Segment {
    /// Removes its name. Whoever has it mapped keeps it.
    ///
    /// # Errors
    ///
    /// [`Error::Unusable`] if there is another object by now; the kernel's reasons, such as `ENOENT`.
    pub fn remove(&self) -> Result<()> {
        match self.identity {
            Identity::Posix(identity) => {
                let current = std::fs::symlink_metadata(self.path())
                    .map_err(|error| Error::io(&self.name, "stat", &error))?;
                if FileIdentity::of(&current) != identity {
                    let reason = "it is not what was found any more".to_owned();
                    return Err(Error::Unusable { object: self.name.clone(), reason });
                }
                shm_unlink(self.name.as_str())
                    .map_err(|errno| Error::system(&self.name, "shm_unlink", errno))
            }
            Identity::SystemV(id) => remove_system_v(id)
                .map_err(|errno| Error::system(&self.name, "shmctl(IPC_RMID)", errno)),
        }
    }
}

impl Segment {
    /// Looks again which processes use the segment, and removes it if it is [`Usage::Unused`]. Any other result says why
    /// it stays. One that is gone already counts as removed.
    ///
    /// # Errors
    ///
    /// As [`remove`](Self::remove).
    pub fn remove_unused(&self) -> Result<Usage> {
        if !self.stale && self.attached != Some(0) {
            return Ok(self.usage.clone());
        }
        match self.identity {
            Identity::Posix(identity) => {
                let path = self.path();
                remove_unused(identity, || open_to_look(&path), || self.remove())
            }
            Identity::SystemV(id) => {
                let mut rows = proc_table("shm")?.into_iter();
                let Some(row) = rows.find(|row| row.int("shmid") == id) else {
                    return Ok(Usage::Unused);
                };
                match (row.get("nattch").unsigned_abs(), self.stale) {
                    (attached @ 1.., _) => Ok(attached_usage(attached)),
                    (0, false) => Ok(self.usage.clone()),
                    (0, true) => self.remove().map(|()| Usage::Unused),
                }
            }
        }
    }

    fn path(&self) -> PathBuf {
        Path::new(POSIX).join(self.name.trim_start_matches('/'))
    }

    fn find_usage(&self, files: &OpenFiles) -> Usage {
        match (&self.identity, self.attached) {
            (_, Some(attached @ 1..)) => attached_usage(attached),
            (Identity::Posix(identity), _) if !files.users(*identity).is_empty() => {
                files.usage(*identity, || open_to_look(&self.path()))
            }
            _ if !self.stale => {
                Usage::Used(format!("its creator, process {}, is alive", self.creator))
            }
            (Identity::Posix(identity), _) => files.usage(*identity, || open_to_look(&self.path())),
            (Identity::SystemV(_), _) => Usage::Unused,
        }
    }
}

fn attached_usage(attached: u64) -> Usage {
    Usage::Used(format!("attached {attached} time{}", if attached == 1 { "" } else { "s" }))
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
pub fn list() -> Result<Vec<Segment>> {
    let mut segments = Vec::new();
    posix(&mut segments)?;
    system_v(&mut segments)?;
    // After the names: a process that makes a segment from now on is not asked about.
    let files = OpenFiles::look();
    for segment in &mut segments {
        segment.usage = segment.find_usage(&files);
    }
    Ok(segments)
}

fn posix(segments: &mut Vec<Segment>) -> Result<()> {
    let own = Uid::effective().as_raw();
    let directory = match std::fs::read_dir(POSIX) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
        directory => directory.map_err(|error| Error::io(POSIX, "opendir", &error))?,
    };
    for entry in directory {
        let entry = entry.map_err(|error| Error::io(POSIX, "readdir", &error))?;
        // Not UTF-8 is not ours; gone in the meantime is not there.
        let (Ok(name), Ok(metadata)) = (entry.file_name().into_string(), entry.metadata()) else {
            continue;
        };
        if !metadata.is_file() || metadata.uid() != own {
            continue;
        }
        let file = OpenOptions::new()
            .read(true)
            .custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK)
            .open(entry.path());
        let Some((creator, holds)) = file.ok().and_then(read_header) else { continue };
        segments.push(Segment {
            name: format!("/{name}"),
            holds,
            size: metadata.len(),
            creator: identity::pid(creator),
            stale: !identity::is_alive(creator),
            attached: None,
            usage: NOT_YET,
            identity: Identity::Posix(FileIdentity::of(&metadata)),
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

fn system_v(segments: &mut Vec<Segment>) -> Result<()> {
    let own = i64::from(Uid::effective().as_raw());
    let rows = proc_table("shm")?;
    segments.extend(rows.iter().filter(|row| row.get("uid") == own).map(|row| {
        let (id, creator) = (row.int("shmid"), row.int("cpid"));
        let attached = row.get("nattch").unsigned_abs();
        Segment {
            name: format!("sysv:{id}"),
            holds: String::new(),
            size: row.get("size").unsigned_abs(),
            creator,
            stale: attached == 0 && !process_exists(creator),
            attached: Some(attached),
            usage: NOT_YET,
            identity: Identity::SystemV(id),
        }
    }));
    Ok(())
}
