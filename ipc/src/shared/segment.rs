//! The segments of this user that exist: in use, or left behind.

use std::ffi::CStr;
use std::fs::File;
use std::io::ErrorKind;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::unistd::Uid;

use super::header::{CONTENT, Found, Header};
use super::identity::Creator;
use crate::error::{Error, Result};
use crate::file::FileIdentity;
use crate::shm;
use crate::sysv::{proc_table, remove_segment};
use crate::usage::{OpenFiles, Usage, open_to_look, remove_unused};

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
    /// The process that made it, and whether it still runs.
    pub creator: Creator,
    /// It was left behind: its creator has ended, and no process has it open, mapped or attached.
    pub stale: bool,
    /// How many have a System V segment attached; of POSIX objects the kernel does not tell.
    pub attached: Option<u64>,
    /// Whether a process uses it: its creator, which may be about to, or any process that has it open, mapped or attached.
    pub usage: Usage,
    /// A process has the lock of users of a POSIX object, or has a System V segment attached.
    in_use: bool,
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
                let path = self.path();
                let refused = |errno| Error::system(&self.name, "unlink", errno);
                let file = shm::open_found(&path, true)
                    .map_err(|error| Error::io(&self.name, "open", &error))?;
                let same = FileIdentity::of_descriptor(&file).map_err(refused)? == identity;
                match same && shm::remove_if(&file, &path, || true).map_err(refused)?.is_some() {
                    true => Ok(()),
                    false => Err(Error::unusable(&self.name, "it is not what was found any more")),
                }
            }
            Identity::SystemV(id) => remove_segment(id)
                .map_err(|errno| Error::system(&self.name, "shmctl(IPC_RMID)", errno)),
        }
    }
}

impl Segment {
    /// Looks again which processes use the segment, and removes it if it is [`Usage::Unused`]. Any other result says why
    /// it stays. One that is gone already counts as removed, and one that took over its name meanwhile stays.
    ///
    /// # Errors
    ///
    /// As [`remove`](Self::remove).
    pub fn remove_unused(&self) -> Result<Usage> {
        // One that has ended does not come back, and an id is not used again.
        let creator_is_gone = matches!(self.creator, Creator::Gone(_));
        match self.identity {
            Identity::Posix(_) if !creator_is_gone => Ok(self.find_usage(&OpenFiles::look())),
            Identity::Posix(identity) => {
                let path = self.path();
                let unlink = || match nix::unistd::unlink(&path) {
                    Ok(()) | Err(Errno::ENOENT) => Ok(()),
                    Err(errno) => Err(Error::system(&self.name, "unlink", errno)),
                };
                remove_unused(identity, || open_to_look(&path), unlink)
            }
            Identity::SystemV(id) => {
                let mut rows = proc_table("shm")?.into_iter();
                match rows.find(|row| row.int("shmid") == id).map(|row| row.get("nattch")) {
                    None => Ok(Usage::Unused),
                    Some(0) if !creator_is_gone => Ok(self.usage.clone()),
                    Some(0) => self.remove().map(|()| Usage::Unused),
                    Some(attached) => Ok(attached_usage(attached.unsigned_abs())),
                }
            }
        }
    }

    fn path(&self) -> PathBuf {
        Path::new(shm::DIRECTORY).join(self.name.trim_start_matches('/'))
    }

    fn find_usage(&self, files: &OpenFiles) -> Usage {
        let used = match self.identity {
            Identity::Posix(identity) => match files.usage(identity, || open_to_look(&self.path()))
            {
                Usage::Unused if self.in_use => {
                    Usage::Used("open in a process that cannot be seen from here".to_owned())
                }
                usage => usage,
            },
            Identity::SystemV(_) => match self.attached.unwrap_or(0) {
                0 => Usage::Unused,
                attached => attached_usage(attached),
            },
        };
        match (used, self.creator) {
            (used @ Usage::Used(_), _) => used,
            (_, Creator::Alive(pid)) => Usage::Used(format!("its creator, {pid}, is alive")),
            (_, Creator::OtherNamespace) => {
                Usage::Unknown("its creator is in another pid namespace".to_owned())
            }
            (_, Creator::Unknown) => Usage::Unknown("its creator is not known".to_owned()),
            (used, Creator::Gone(_)) => used,
        }
    }
}

fn attached_usage(attached: u64) -> Usage {
    Usage::Used(format!("attached {attached} time{}", if attached == 1 { "" } else { "s" }))
}

/// Lists the POSIX objects of this user that this library made, and all System V segments of this user.
///
/// A program whose names change from run to run, with its pid in them, say, removes what earlier runs left when it
/// starts. A name that is always the same needs no such care: `create` replaces what was left behind.
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
    let directory = match std::fs::read_dir(shm::DIRECTORY) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        directory => directory.map_err(|error| Error::io(shm::DIRECTORY, "opendir", &error))?,
    };
    for entry in directory {
        let entry = entry.map_err(|error| Error::io(shm::DIRECTORY, "readdir", &error))?;
        // Not UTF-8 is not ours; gone in the meantime is not there.
        let (Ok(name), Ok(metadata)) = (entry.file_name().into_string(), entry.metadata()) else {
            continue;
        };
        if !metadata.is_file() || metadata.uid() != own {
            continue;
        }
        let file = match shm::open_found(&entry.path(), false) {
            Ok(file) => file,
            // There may be more that this process cannot open.
            Err(error) if is_shortage(&error) => {
                return Err(Error::io(format!("/{name}"), "open", &error));
            }
            Err(_) => continue,
        };
        let half_made = || {
            let creator = shm::half_made_by(&name)?;
            Some(Found {
                creator: Creator::of_pid(creator),
                holds: "something half-made".to_owned(),
                is_locked_by_users: false,
            })
        };
        let Some(found) = half_made().or_else(|| read_header(&file)) else { continue };
        let in_use = found.is_locked_by_users && shm::is_used(&file);
        segments.push(Segment {
            name: format!("/{name}"),
            holds: found.holds,
            size: metadata.len(),
            creator: found.creator,
            in_use,
            stale: !in_use && matches!(found.creator, Creator::Gone(_)),
            attached: None,
            usage: NOT_YET,
            identity: Identity::Posix(FileIdentity::of(&metadata)),
        });
    }
    Ok(())
}

/// Removes what has the name if it was left behind: this version of the library made it for this user, its creator has
/// ended, and no process uses it.
///
/// # Errors
///
/// `EEXIST` if there is anything else; `EMFILE` and its like if that cannot be found out.
pub(super) fn make_way(name: &CStr) -> Result<()> {
    let path = shm::path(name, "");
    let taken = || Error::system(name.to_string_lossy(), "linkat", Errno::EEXIST);
    loop {
        let file = match shm::open_found(&path, true) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
            Err(error) if is_shortage(&error) => {
                return Err(Error::io(name.to_string_lossy(), "open", &error));
            }
            file => file.map_err(|_| taken())?,
        };
        let own = file.metadata().is_ok_and(|it| it.uid() == Uid::effective().as_raw());
        let left_behind = || {
            own && read_header(&file).is_some_and(|found| {
                let gone = matches!(found.creator, Creator::Gone(_));
                gone && found.is_locked_by_users && !shm::is_used(&file)
            })
        };
        // If it has changed in between, there is something else to look at.
        match shm::remove_if(&file, &path, left_behind) {
            Ok(Some(true)) => return Ok(()),
            Ok(None) => {}
            Ok(Some(false)) | Err(_) => return Err(taken()),
        }
    }
}

/// The refusal tells nothing about the file.
fn is_shortage(error: &std::io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::EMFILE | libc::ENFILE | libc::ENOMEM))
}

/// The header, if this library made it. Reads instead of mapping, so that a file that shrinks meanwhile is no danger.
fn read_header(file: &File) -> Option<Found> {
    let mut bytes = [0; CONTENT];
    file.read_exact_at(&mut bytes, 0).ok()?;
    Header::read(&bytes)
}

fn system_v(segments: &mut Vec<Segment>) -> Result<()> {
    let own = i64::from(Uid::effective().as_raw());
    let rows = proc_table("shm")?;
    segments.extend(rows.iter().filter(|row| row.get("uid") == own).map(|row| {
        let (id, creator) = (row.int("shmid"), Creator::of_pid(row.int("cpid")));
        let attached = row.get("nattch").unsigned_abs();
        Segment {
            name: format!("sysv:{id}"),
            holds: String::new(),
            size: row.get("size").unsigned_abs(),
            creator,
            in_use: attached != 0,
            stale: attached == 0 && matches!(creator, Creator::Gone(_)),
            attached: Some(attached),
            usage: NOT_YET,
            identity: Identity::SystemV(id),
        }
    }));
    Ok(())
}
