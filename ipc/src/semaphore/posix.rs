//! Named semaphores of the kind that sem_overview(7) describes.

use std::ffi::{CStr, CString};
use std::fs;
use std::io::ErrorKind;
use std::num::NonZeroUsize;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::ptr::NonNull;
use std::time::Duration;

use nix::errno::Errno;
use nix::fcntl::posix_fallocate;
use nix::sys::mman::{MapFlags, ProtFlags, mmap, munmap};
use nix::unistd::geteuid;

use super::{Semaphore, check_value, overflow};
use crate::error::{Error, Result};
use crate::file::FileIdentity;
use crate::object::{Object, Remover};
use crate::shm::{self, Unnamed};
use crate::sys::{self, Deadline, Owner, posix_name, retry, retry_libc};
use crate::usage::{OpenFiles, open_to_look, remove_unused};

/// `SEM_VALUE_MAX` on Linux.
pub(super) const MAX_VALUE: u32 = i32::MAX as u32;

/// What the C library puts before the name of a semaphore's file in `/dev/shm` (sem_overview(7)).
const PREFIX: &str = "sem.";

/// The size of a semaphore's file.
const SIZE: NonZeroUsize = NonZeroUsize::new(size_of::<libc::sem_t>()).unwrap();

/// The operations on a POSIX semaphore, wherever it lies.
#[derive(Clone, Copy, Debug)]
pub(super) struct RawSemaphore(NonNull<libc::sem_t>);

// SAFETY: the functions of sem_overview(7) may be called on one semaphore by any thread at any time.
unsafe impl Send for RawSemaphore {}
// SAFETY: as above.
unsafe impl Sync for RawSemaphore {}

impl RawSemaphore {
    /// # Safety
    ///
    /// `semaphore` is initialised, and stays mapped for as long as the result is used.
    pub(super) unsafe fn new(semaphore: NonNull<libc::sem_t>) -> Self {
        Self(semaphore)
    }

    pub(super) fn acquire(self, object: &str) -> Result<()> {
        // SAFETY: by the contract of `new`.
        retry_libc(|| unsafe { libc::sem_wait(self.0.as_ptr()) })
            .map(drop)
            .map_err(|errno| Error::system(object, "sem_wait", errno))
    }

    pub(super) fn try_acquire(self, object: &str) -> Result<()> {
        // SAFETY: by the contract of `new`.
        match retry_libc(|| unsafe { libc::sem_trywait(self.0.as_ptr()) }) {
            Ok(_) => Ok(()),
            Err(Errno::EAGAIN) => Err(Error::WouldBlock { object: object.to_owned() }),
            Err(errno) => Err(Error::system(object, "sem_trywait", errno)),
        }
    }

    pub(super) fn acquire_timeout(self, object: &str, timeout: Duration) -> Result<()> {
        let deadline = Deadline::wall(timeout);
        let at = deadline.at().as_ref();
        // SAFETY: by the contract of `new`; the time lives through the call.
        match retry_libc(|| unsafe { libc::sem_timedwait(self.0.as_ptr(), at) }) {
            Ok(_) => Ok(()),
            // A process that was killed in `sem_post` may have left a unit and woken no waiter.
            Err(Errno::ETIMEDOUT) => match self.try_acquire(object) {
                Err(Error::WouldBlock { .. }) => Err(deadline.passed(object)),
                result => result,
            },
            Err(errno) => Err(Error::system(object, "sem_timedwait", errno)),
        }
    }

    pub(super) fn release(self, object: &str) -> Result<()> {
        // SAFETY: by the contract of `new`.
        match retry_libc(|| unsafe { libc::sem_post(self.0.as_ptr()) }) {
            Ok(_) => Ok(()),
            Err(Errno::EOVERFLOW) => Err(overflow(object, MAX_VALUE)),
            Err(errno) => Err(Error::system(object, "sem_post", errno)),
        }
    }

    pub(super) fn get_value(self, object: &str) -> Result<u32> {
        let mut value = 0;
        // SAFETY: by the contract of `new`; `value` lives through the call.
        match retry_libc(|| unsafe { libc::sem_getvalue(self.0.as_ptr(), &raw mut value) }) {
            // POSIX allows a negative count of those who wait; Linux gives zero.
            Ok(_) => Ok(u32::try_from(value).unwrap_or(0)),
            Err(errno) => Err(Error::system(object, "sem_getvalue", errno)),
        }
    }
}

/// A POSIX semaphore with a name: a small file in `/dev/shm` that all its users map.
///
/// Its value survives its users. When a holder is killed, the unit is lost: see the
/// [module](super#when-a-peer-dies). Timeouts are measured on the wall clock, as POSIX prescribes.
#[derive(Debug)]
pub struct NamedSemaphore {
    raw: RawSemaphore,
    name: CString,
    /// How errors call it.
    object: String,
    /// The process that removes the name, and the file that it must still mean.
    creator: Option<(Owner, FileIdentity)>,
    /// This value mapped it itself, without the C library.
    mapped_here: bool,
}

impl NamedSemaphore {
    /// Makes a new semaphore, which only this user may open (mode 0600, whatever the umask). Dropping the value removes
    /// the name.
    ///
    /// The file gets its name when the semaphore in it is complete, so that a process that is killed over this leaves
    /// nothing, or a whole semaphore. That one carries no mark of its creator: `EEXIST` is all that the next creator
    /// learns. A name that no process uses is listed and removed by the command `ipc`, and by [`remove`](Self::remove).
    ///
    /// # Errors
    ///
    /// [`Error::System`] with `EEXIST` when there is one with this name: of several processes that try at
    /// the same time exactly one succeeds. [`Error::OutOfRange`] for a value above 2,147,483,647;
    /// [`Error::InvalidName`].
    pub fn create(name: &str, value: u32) -> Result<Self> {
        let name = posix_name("semaphore", name)?;
        let object = describe(&name);
        check_value(&object, value.into(), MAX_VALUE)?;
        Error::check_file_size(&object, "posix_fallocate", SIZE.get() as u64)?;
        // Not `sem_open`: until its file is complete, that has a temporary name (`sem.` and six characters), which
        // stays if the process is killed.
        let object_name = &object;
        let refused = |call| move |errno| Error::system(object_name, call, errno);
        let (file, unnamed) = Unnamed::create(&object)?;
        retry(|| posix_fallocate(&file, 0, SIZE.get() as libc::off_t))
            .map_err(refused("posix_fallocate"))?;
        let identity = FileIdentity::of_descriptor(&file).map_err(refused("fstat"))?;
        let protection = ProtFlags::PROT_READ | ProtFlags::PROT_WRITE;
        // SAFETY: the kernel chooses the address, so no other memory is touched.
        let mapped = unsafe { mmap(None, SIZE, protection, MapFlags::MAP_SHARED, &file, 0) };
        let semaphore = mapped.map_err(refused("mmap"))?.cast();
        // SAFETY: a page of this process alone, large enough; `sem_init` makes of it what `raw` promises, or fails, and then
        // nothing calls `raw`. It is unmapped when this value is dropped.
        let raw = unsafe { RawSemaphore::new(semaphore) };
        let mut made = Self { raw, name, object, creator: None, mapped_here: true };
        // SAFETY: as above.
        if unsafe { libc::sem_init(semaphore.as_ptr(), 1, value) } == -1 {
            return Err(Error::last(&made.object, "sem_init"));
        }
        unnamed.publish(&made.object, &file, &shm::path(&made.name, PREFIX))?;
        made.creator = Some((Owner::here(), identity));
        Ok(made)
    }

    /// Opens an existing semaphore.
    ///
    /// # Errors
    ///
    /// [`Error::System`] with `ENOENT` when there is none, with `EACCES` when it belongs to another user;
    /// [`Error::Unusable`] when the file of that name is no semaphore, or another program has not finished or has died
    /// over it; [`Error::InvalidName`].
    pub fn open(name: &str) -> Result<Self> {
        let name = posix_name("semaphore", name)?;
        let object = describe(&name);
        // The C library maps whatever it finds, and a file that is too short would kill us on the first
        // touch.
        file_identity(&name)?;
        // SAFETY: the name ends with a NUL; nothing follows when O_CREAT is not given.
        let raw = open_raw(&object, || unsafe { libc::sem_open(name.as_ptr(), 0) })?;
        Ok(Self { raw, name, object, creator: None, mapped_here: false })
    }

    /// Opens the semaphore with this name, or makes it with `value` if there is none.
    /// [`is_creator`](Self::is_creator) tells which; the process that made it removes the name.
    ///
    /// # Errors
    ///
    /// As [`create`](Self::create) and [`open`](Self::open).
    pub fn create_or_open(name: &str, value: u32) -> Result<Self> {
        sys::create_or_open(|| Self::create(name, value), || Self::open(name))
    }

    /// Removes the name, whoever made it. Those who have the semaphore open may use it on.
    ///
    /// # Errors
    ///
    /// [`Error::System`] with `ENOENT` when there is none, with `EACCES` when it belongs to another user;
    /// [`Error::InvalidName`].
    pub fn remove(name: &str) -> Result<()> {
        let name = posix_name("semaphore", name)?;
        // SAFETY: the name ends with a NUL.
        retry_libc(|| unsafe { libc::sem_unlink(name.as_ptr()) })
            .map(drop)
            .map_err(|errno| Error::system(describe(&name), "sem_unlink", errno))
    }

    /// The name, with its slash.
    #[must_use]
    pub fn name(&self) -> &str {
        // It was made from a `&str`.
        self.name.to_str().unwrap_or_default()
    }

    /// Whether this value made the semaphore, and will remove its name.
    #[must_use]
    pub fn is_creator(&self) -> bool {
        self.creator.is_some()
    }

    /// Lets the name outlive this value: somebody else must [`remove`](Self::remove) it.
    pub fn keep(&mut self) {
        self.creator = None;
    }

    /// All named semaphores of this user: the files in `/dev/shm` that look like one.
    ///
    /// # Errors
    ///
    /// [`Error::System`] when `/dev/shm` cannot be read.
    pub fn list() -> Result<Vec<Object>> {
        let entries = match fs::read_dir(shm::DIRECTORY) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
            entries => entries.map_err(|error| Error::io(shm::DIRECTORY, "opendir", &error))?,
        };
        let user = geteuid().as_raw();
        let found: Vec<_> = entries
            .flatten()
            .filter_map(|entry| {
                let file_name = entry.file_name();
                let bare = file_name.as_bytes().strip_prefix(b"sem.")?;
                let name = CString::new([b"/", bare].concat()).ok()?;
                // One that is removed meanwhile is not found.
                let metadata = entry.metadata().ok()?;
                let is_own = metadata.uid() == user && rejection_reason(&metadata).is_none();
                is_own.then_some((name, metadata))
            })
            .collect();
        // After the names: a process that makes a semaphore from now on is not asked about.
        let files = OpenFiles::look();
        let object = |(name, metadata)| describe_semaphore(name, &metadata, &files);
        Ok(found.into_iter().map(object).collect())
    }

    /// The named semaphore with this name, of whatever user, as [`list`](Self::list) would describe it; `None` if there
    /// is none. Works also where `/dev/shm` cannot be read as a directory.
    ///
    /// # Errors
    ///
    /// [`Error::Unusable`] when the file of that name is no semaphore; [`Error::System`] when it cannot be looked at;
    /// [`Error::InvalidName`].
    pub fn find(name: &str) -> Result<Option<Object>> {
        let name = posix_name("semaphore", name)?;
        let metadata = match fs::symlink_metadata(shm::path(&name, PREFIX)) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            metadata => metadata.map_err(|error| Error::io(describe(&name), "lstat", &error))?,
        };
        match rejection_reason(&metadata) {
            Some(reason) => Err(Error::unusable(describe(&name), reason)),
            None => Ok(Some(describe_semaphore(name, &metadata, &OpenFiles::look()))),
        }
    }
}

fn describe_semaphore(name: CString, metadata: &fs::Metadata, files: &OpenFiles) -> Object {
    let identity = FileIdentity::of(metadata);
    let path = shm::path(&name, PREFIX);
    Object {
        mechanism: "POSIX semaphore",
        name: name.to_string_lossy().into_owned(),
        id: None,
        owner: metadata.uid(),
        bytes: metadata.len(),
        last_users: Vec::new(),
        open_in: files.users(identity),
        waiting_in: Vec::new(),
        usage: files.usage(identity, || open_to_look(&path)),
        details: String::new(),
        remover: {
            let again = name.clone();
            Remover::new(
                move || unlink_if_same(&name, identity),
                move || remove_unused(identity, || open_to_look(&path), || unlink(&again)),
            )
        },
    }
}

impl Semaphore for NamedSemaphore {
    fn acquire(&self) -> Result<()> {
        self.raw.acquire(&self.object)
    }

    fn try_acquire(&self) -> Result<()> {
        self.raw.try_acquire(&self.object)
    }

    fn acquire_timeout(&self, timeout: Duration) -> Result<()> {
        self.raw.acquire_timeout(&self.object, timeout)
    }

    fn release(&self) -> Result<()> {
        self.raw.release(&self.object)
    }

    fn get_value(&self) -> Result<u32> {
        self.raw.get_value(&self.object)
    }
}

impl Drop for NamedSemaphore {
    fn drop(&mut self) {
        if let Some((owner, identity)) = self.creator
            && owner.is_here()
        {
            // A failure cannot be returned from here; `list` finds what stays.
            let _ = unlink_if_same(&self.name, identity);
        }
        match self.mapped_here {
            // SAFETY: `create` made the mapping with this size, and this value alone uses it.
            true => drop(unsafe { munmap(self.raw.0.cast(), SIZE.get()) }),
            // SAFETY: `sem_open` gave this address, and this value alone uses it: the C library counts the
            // times that a process opens one name.
            false => drop(unsafe { libc::sem_close(self.raw.0.as_ptr()) }),
        }
    }
}

/// Removes the name if it still means the semaphore with this identity: somebody may have removed it and
/// made another with the same name.
fn unlink_if_same(name: &CStr, identity: FileIdentity) -> Result<()> {
    match fs::symlink_metadata(shm::path(name, PREFIX)) {
        Ok(metadata) if FileIdentity::of(&metadata) != identity => return Ok(()),
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        _ => {}
    }
    unlink(name)
}

/// Removes the name; one that is gone is not an error.
fn unlink(name: &CStr) -> Result<()> {
    // SAFETY: the name ends with a NUL.
    match retry_libc(|| unsafe { libc::sem_unlink(name.as_ptr()) }) {
        Ok(_) | Err(Errno::ENOENT) => Ok(()),
        Err(errno) => Err(Error::system(describe(name), "sem_unlink", errno)),
    }
}

fn open_raw(object: &str, mut open: impl FnMut() -> *mut libc::sem_t) -> Result<RawSemaphore> {
    let opened = retry(|| match NonNull::new(open()) {
        Some(semaphore) => Ok(semaphore),
        None => Err(Errno::last()), // SEM_FAILED is the null pointer.
    });
    match opened {
        // SAFETY: the C library gives the address of an initialised semaphore, mapped until sem_close.
        Ok(semaphore) => Ok(unsafe { RawSemaphore::new(semaphore) }),
        Err(errno) => Err(Error::system(object, "sem_open", errno)),
    }
}

/// The file behind the name; `None` if there is none, an error if it is no semaphore.
fn file_identity(name: &CStr) -> Result<Option<FileIdentity>> {
    match fs::symlink_metadata(shm::path(name, PREFIX)) {
        Ok(metadata) => match rejection_reason(&metadata) {
            None => Ok(Some(FileIdentity::of(&metadata))),
            Some(reason) => Err(Error::unusable(describe(name), reason)),
        },
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(Error::io(describe(name), "lstat", &error)),
    }
}

/// Why a file cannot be a semaphore.
fn rejection_reason(metadata: &fs::Metadata) -> Option<String> {
    let expected = SIZE.get() as u64;
    match metadata.len() {
        _ if !metadata.is_file() => Some("it is not a regular file".to_owned()),
        length if length == expected => None,
        0 => Some(
            "its file is empty: the program that makes it has not finished, or has died over it; then \
             remove it"
                .to_owned(),
        ),
        length => Some(format!("its file has {length} bytes, and a semaphore has {expected}")),
    }
}

fn describe(name: &CStr) -> String {
    format!("semaphore {}", name.to_string_lossy())
}
