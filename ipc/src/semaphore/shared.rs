//! Semaphores without a name, in memory that processes share.

use std::cell::UnsafeCell;
use std::fs::OpenOptions;
use std::num::NonZeroUsize;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::os::unix::fs::OpenOptionsExt;
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, SealFlag, fcntl};
use nix::sys::memfd::{MFdFlags, memfd_create};
use nix::sys::mman::{MapFlags, ProtFlags, mmap, munmap};
use nix::unistd::ftruncate;

use super::posix::{MAX_VALUE, RawSemaphore};
use super::{Semaphore, check_value};
use crate::error::{Error, Result};
use crate::sys::retry;

/// A POSIX semaphore without a name, in a small memory of its own (a memfd).
///
/// There is nothing to clean up: it goes away with its last user. Others get at it through its descriptor
/// ([`AsFd`]), which they turn into a semaphore with [`from_fd`](Self::from_fd): a descriptor sent over
/// a [`socket`](crate::socket), or inherited by a child. A child made by `fork` alone has the mapping
/// anyway. [`of_process`](Self::of_process) opens it by the numbers of the process and the descriptor.
///
/// The memory cannot be shortened (it is sealed, see memfd_create(2)), so no peer can make an access
/// fail. Timeouts are measured on the wall clock, as POSIX prescribes.
#[derive(Debug)]
pub struct SharedSemaphore {
    layout: NonNull<Layout>,
    memory: OwnedFd,
    /// How errors call it.
    object: String,
}

/// What the memory holds.
#[repr(C)]
struct Layout {
    /// [`MAGIC`], written last.
    magic: AtomicU64,
    semaphore: UnsafeCell<libc::sem_t>,
}

/// "ipc sem" and the version of the layout.
const MAGIC: u64 = u64::from_be_bytes(*b"ipc sem\x01");

const SIZE: NonZeroUsize = NonZeroUsize::new(size_of::<Layout>()).unwrap();

// SAFETY: the mapping belongs to the value, and what is in it is atomic or a semaphore, which any thread
// may use at any time.
unsafe impl Send for SharedSemaphore {}
// SAFETY: as above.
unsafe impl Sync for SharedSemaphore {}

impl SharedSemaphore {
    /// Makes a new semaphore.
    ///
    /// # Errors
    ///
    /// [`Error::OutOfRange`] for a value above 2,147,483,647; [`Error::System`].
    pub fn create(value: u32) -> Result<Self> {
        let object = "new shared semaphore";
        check_value(object, value.into(), MAX_VALUE)?;
        Error::check_file_size(object, "ftruncate", SIZE.get() as u64)?;
        let refused = |call| move |errno| Error::system(object, call, errno);
        let flags = MFdFlags::MFD_CLOEXEC | MFdFlags::MFD_ALLOW_SEALING;
        let memory = memfd_create(c"ipc semaphore", flags).map_err(refused("memfd_create"))?;
        retry(|| ftruncate(&memory, SIZE.get() as libc::off_t)).map_err(refused("ftruncate"))?;
        let seals = SealFlag::F_SEAL_SHRINK | SealFlag::F_SEAL_GROW | SealFlag::F_SEAL_SEAL;
        fcntl(&memory, FcntlArg::F_ADD_SEALS(seals)).map_err(refused("fcntl"))?;
        let shared = Self::map(memory)?;
        // SAFETY: nobody else has this memory yet, which is zeroed, large enough and aligned.
        let layout = unsafe { shared.layout.as_ref() };
        // SAFETY: as above; sem_init wants no more.
        if unsafe { libc::sem_init(layout.semaphore.get(), 1, value) } == -1 {
            return Err(Error::last(&shared.object, "sem_init"));
        }
        // Release: whoever sees the mark sees the semaphore complete.
        layout.magic.store(MAGIC, Ordering::Release);
        Ok(shared)
    }

    /// The semaphore behind a descriptor that another process (or this one) made with
    /// [`create`](Self::create).
    ///
    /// # Errors
    ///
    /// [`Error::Unusable`] when it is something else; [`Error::System`] when it cannot be mapped for
    /// writing.
    pub fn from_fd(memory: OwnedFd) -> Result<Self> {
        let object = describe(&memory);
        let unusable = |reason: &str| Error::unusable(&object, reason);
        // Only a sealed memory cannot be shortened after the look at its size.
        match fcntl(&memory, FcntlArg::F_GET_SEALS).map(SealFlag::from_bits_truncate) {
            Ok(seals) if seals.contains(SealFlag::F_SEAL_SHRINK) => {}
            Ok(_) => return Err(unusable("its memory is not sealed against shortening")),
            Err(Errno::EINVAL) => return Err(unusable("it is not a memfd")),
            Err(errno) => return Err(Error::system(&object, "fcntl", errno)),
        }
        let stat = nix::sys::stat::fstat(&memory)
            .map_err(|errno| Error::system(&object, "fstat", errno))?;
        if usize::try_from(stat.st_size) != Ok(SIZE.get()) {
            return Err(unusable("its memory has another size"));
        }
        let shared = Self::map(memory)?;
        // SAFETY: the mapping is as large as `Layout`, and `magic` is valid with any bits.
        let magic = unsafe { &(*shared.layout.as_ptr()).magic }.load(Ordering::Acquire);
        if magic != MAGIC {
            return Err(unusable("its memory does not begin with the mark of a semaphore"));
        }
        Ok(shared)
    }

    /// The semaphore behind descriptor `fd` of the process `pid`, which belongs to the same user.
    ///
    /// The way for a peer that was told the two numbers and did not inherit the descriptor; it goes through
    /// `/proc/PID/fd`.
    ///
    /// # Errors
    ///
    /// As [`from_fd`](Self::from_fd), and [`Error::System`] with `ENOENT` when the process has no such
    /// descriptor.
    pub fn of_process(pid: i32, fd: RawFd) -> Result<Self> {
        let path = format!("/proc/{pid}/fd/{fd}");
        // Not to wait, should it be a FIFO.
        let flags = libc::O_NONBLOCK | libc::O_NOCTTY;
        match OpenOptions::new().read(true).write(true).custom_flags(flags).open(&path) {
            Ok(file) => Self::from_fd(file.into()),
            Err(error) => Err(Error::io(path, "open", &error)),
        }
    }

    fn map(memory: OwnedFd) -> Result<Self> {
        let object = describe(&memory);
        let protection = ProtFlags::PROT_READ | ProtFlags::PROT_WRITE;
        // SAFETY: the kernel chooses the address, so no other memory is touched.
        let mapped = unsafe { mmap(None, SIZE, protection, MapFlags::MAP_SHARED, &memory, 0) };
        match mapped {
            Ok(address) => Ok(Self { layout: address.cast(), memory, object }),
            Err(errno) => Err(Error::system(object, "mmap", errno)),
        }
    }

    fn raw(&self) -> RawSemaphore {
        // SAFETY: the mapping is as large as `Layout` and lives as long as `self`.
        let layout = unsafe { self.layout.as_ref() };
        // SAFETY: `create` has initialised the semaphore, or `from_fd` has seen the mark that it is. A
        // cell's address is not null.
        unsafe { RawSemaphore::new(NonNull::new_unchecked(layout.semaphore.get())) }
    }
}

impl Semaphore for SharedSemaphore {
    fn acquire(&self) -> Result<()> {
        self.raw().acquire(&self.object)
    }

    fn try_acquire(&self) -> Result<()> {
        self.raw().try_acquire(&self.object)
    }

    fn acquire_timeout(&self, timeout: Duration) -> Result<()> {
        self.raw().acquire_timeout(&self.object, timeout)
    }

    fn release(&self) -> Result<()> {
        self.raw().release(&self.object)
    }

    fn get_value(&self) -> Result<u32> {
        self.raw().get_value(&self.object)
    }
}

impl AsFd for SharedSemaphore {
    /// The descriptor of the memory, to be handed to a peer. It is close-on-exec.
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.memory.as_fd()
    }
}

impl Drop for SharedSemaphore {
    fn drop(&mut self) {
        // No sem_destroy: others may be waiting for it, and on Linux it does nothing.
        // SAFETY: `map` made the mapping with this size, and no reference into it outlives `self`.
        let _ = unsafe { munmap(self.layout.cast(), SIZE.get()) };
    }
}

fn describe(memory: &OwnedFd) -> String {
    format!("semaphore in descriptor {}", memory.as_raw_fd())
}
