//! What lies in shared memory: numbers, a semaphore, a mutex with its condition. Each is a memfd, and one call of the
//! C library or one atomic instruction a method.

use std::cell::UnsafeCell;
use std::io::{Error, Result};
use std::marker::PhantomData;
use std::mem::MaybeUninit;
use std::ops::Deref;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use super::calls::check;

/// A memfd, mapped: a header, then the content.
pub(super) struct Map {
    pub(super) base: NonNull<u8>,
    pub(super) length: usize,
    memory: OwnedFd,
}

/// Identifies the content, so that memory of another kind is refused.
#[repr(C)]
pub(super) struct Header {
    /// Kind of content, and two numbers that describe it.
    facts: [AtomicU64; 3],
    /// Which ends were taken.
    taken: [AtomicU32; 2],
    /// Whether an end sleeps: the receiver, the sender.
    pub(super) asleep: [CachePadded<AtomicU32>; 2],
}

/// A cache line of its own, and its neighbour's too, since the processor fetches lines in pairs.
#[repr(C, align(128))]
pub(super) struct CachePadded<T>(pub(super) T);

/// Where the content begins.
pub(super) const CONTENT: usize = size_of::<Header>().next_multiple_of(128);

// SAFETY: the mapping belongs to the value; the header is atomic, and each type below says of its content why it may be
// used from several threads.
unsafe impl Send for Map {}
// SAFETY: as above.
unsafe impl Sync for Map {}

impl Map {
    pub(super) fn create(facts: [u64; 3], content: usize) -> Result<Self> {
        let flags = libc::MFD_CLOEXEC | libc::MFD_ALLOW_SEALING;
        // SAFETY: the name is a string with a NUL at its end.
        let number = unsafe { libc::memfd_create(c"ipc baseline".as_ptr(), flags) };
        check(number.min(0))?;
        // SAFETY: the call has just made this descriptor, and nobody else knows it.
        let memory = unsafe { OwnedFd::from_raw_fd(number) };
        // Allocated now, so that a full memory is met here and not by SIGBUS.
        let length = (CONTENT + content) as libc::off_t;
        // SAFETY: `posix_fallocate` takes numbers and answers with an error number.
        match unsafe { libc::posix_fallocate(memory.as_raw_fd(), 0, length) } {
            0 => {}
            errno => return Err(Error::from_raw_os_error(errno)),
        }
        // So that nobody makes an access fail later.
        let seals = libc::F_SEAL_SHRINK | libc::F_SEAL_GROW | libc::F_SEAL_SEAL;
        // SAFETY: this command takes a number.
        check(unsafe { libc::fcntl(memory.as_raw_fd(), libc::F_ADD_SEALS, seals) })?;
        let map = Self::mapped(memory, length as usize)?;
        for (word, fact) in map.header().facts.iter().zip(facts) {
            word.store(fact, Ordering::Release);
        }
        Ok(map)
    }

    /// Maps what [`create`](Self::create) made for this kind of content; returns its two other numbers.
    pub(super) fn open(memory: OwnedFd, kind: u64) -> Result<(Self, u64, u64)> {
        let unusable = || Error::other("this descriptor is no memory for that");
        // SAFETY: this command takes no argument.
        let seals = unsafe { libc::fcntl(memory.as_raw_fd(), libc::F_GET_SEALS) };
        if seals == -1 || seals & libc::F_SEAL_SHRINK == 0 {
            return Err(unusable());
        }
        let mut stat = MaybeUninit::<libc::stat>::zeroed();
        // SAFETY: `stat` has room for what the call writes.
        check(unsafe { libc::fstat(memory.as_raw_fd(), stat.as_mut_ptr()) })?;
        // SAFETY: the call succeeded, so it has written it.
        let length = usize::try_from(unsafe { stat.assume_init_ref() }.st_size).unwrap_or(0);
        if length < CONTENT {
            return Err(unusable());
        }
        let map = Self::mapped(memory, length)?;
        let [found, one, other] = map.header().facts.each_ref().map(|f| f.load(Ordering::Acquire));
        if found == kind { Ok((map, one, other)) } else { Err(unusable()) }
    }

    fn mapped(memory: OwnedFd, length: usize) -> Result<Self> {
        let access = libc::PROT_READ | libc::PROT_WRITE;
        let how = libc::MAP_SHARED | libc::MAP_POPULATE;
        // SAFETY: a new mapping at a place that the kernel chooses, which disturbs no memory of ours.
        let base =
            unsafe { libc::mmap(std::ptr::null_mut(), length, access, how, memory.as_raw_fd(), 0) };
        match NonNull::new(base.cast::<u8>()) {
            Some(at) if base != libc::MAP_FAILED => Ok(Self { base: at, length, memory }),
            _ => Err(Error::last_os_error()),
        }
    }

    #[inline]
    pub(super) fn header(&self) -> &Header {
        // SAFETY: the mapping is longer than a header, begins at a page, and lives as long as `self`. Atomics only.
        unsafe { self.base.cast().as_ref() }
    }

    /// What lies at `offset` behind the header.
    ///
    /// # Safety
    ///
    /// Any bits are a `T`, or it was written there when the mapping was made.
    #[inline]
    pub(super) unsafe fn content<T: Sync>(&self, offset: usize) -> &T {
        let at = CONTENT + offset;
        assert!(at + size_of::<T>() <= self.length && at.is_multiple_of(align_of::<T>()));
        // SAFETY: within the mapping and aligned, as was just checked; its bits as the caller says.
        unsafe { self.base.add(at).cast().as_ref() }
    }

    pub(super) fn take(&self, end: usize) -> Result<()> {
        match self.header().taken[end].swap(1, Ordering::AcqRel) {
            0 => Ok(()),
            _ => Err(Error::other("this end was taken before")),
        }
    }
}

impl Drop for Map {
    fn drop(&mut self) {
        // SAFETY: the mapping is ours, and whatever refers to it borrows `self` or owns it.
        unsafe { libc::munmap(self.base.as_ptr().cast(), self.length) };
    }
}

impl AsFd for Map {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.memory.as_fd()
    }
}

macro_rules! descriptor {
    ($($type:ident),*) => {$(
        impl AsFd for $type {
            /// The memory, to be passed on.
            fn as_fd(&self) -> BorrowedFd<'_> {
                self.0.as_fd()
            }
        }
    )*};
}
descriptor!(Words, Semaphore, Monitor);

/// 64 numbers in shared memory, each with a cache line and its neighbour of its own: for what another mechanism
/// announces, as futexes, or alone. Nothing between two processors is quicker than such a line.
pub struct Words(Map);

const WORDS: u64 = 1;

impl Words {
    /// All zero.
    pub fn create() -> Result<Self> {
        Map::create([WORDS, 0, 0], 64 * 128).map(Self)
    }

    /// Those of another process.
    pub fn from_fd(memory: OwnedFd) -> Result<Self> {
        Map::open(memory, WORDS).map(|(map, ..)| Self(map))
    }

    /// One of them.
    ///
    /// # Panics
    ///
    /// There are fewer.
    #[inline]
    #[must_use]
    pub fn word(&self, at: usize) -> &AtomicU64 {
        // SAFETY: an atomic, for which any bits are valid.
        unsafe { self.0.content(at * 128) }
    }

    /// The number of the other kind next to it, for a futex.
    ///
    /// # Panics
    ///
    /// There are fewer.
    #[inline]
    #[must_use]
    pub fn futex(&self, at: usize) -> &AtomicU32 {
        // SAFETY: an atomic, for which any bits are valid; never the same bytes as `word`.
        unsafe { self.0.content(at * 128 + 64) }
    }
}

/// A POSIX semaphore, `sem_init(3)`.
pub struct Semaphore(Map);

const SEMAPHORE: u64 = 2;

#[repr(C)]
struct RawSemaphore(UnsafeCell<MaybeUninit<libc::sem_t>>);

// SAFETY: a semaphore is made to be used from several threads, and only its functions are called on it.
unsafe impl Sync for RawSemaphore {}

impl Semaphore {
    /// With an initial value.
    pub fn create(value: u32) -> Result<Self> {
        let this = Map::create([SEMAPHORE, 0, 0], size_of::<RawSemaphore>()).map(Self)?;
        // SAFETY: memory of its size, and in nobody else's hands yet.
        check(unsafe { libc::sem_init(this.raw(), 1, value) })?;
        Ok(this)
    }

    /// That of another process.
    pub fn from_fd(memory: OwnedFd) -> Result<Self> {
        Map::open(memory, SEMAPHORE).map(|(map, ..)| Self(map))
    }

    /// `sem_post(3)`.
    #[inline]
    pub fn post(&self) -> Result<()> {
        // SAFETY: an initialised semaphore, mapped for as long as `self` lives.
        check(unsafe { libc::sem_post(self.raw()) })
    }

    /// `sem_wait(3)`.
    #[inline]
    pub fn wait(&self) -> Result<()> {
        // SAFETY: as in `post`.
        check(unsafe { libc::sem_wait(self.raw()) })
    }

    #[inline]
    fn raw(&self) -> *mut libc::sem_t {
        // SAFETY: `MaybeUninit`, so any bits are valid.
        unsafe { self.0.content::<RawSemaphore>(0) }.0.get().cast()
    }
}

/// A mutex and a condition of the C library, shared between processes, and numbers that they protect.
pub struct Monitor(Map);

const MONITOR: u64 = 3;

#[repr(C)]
struct RawMonitor {
    mutex: CachePadded<UnsafeCell<MaybeUninit<libc::pthread_mutex_t>>>,
    condition: CachePadded<UnsafeCell<MaybeUninit<libc::pthread_cond_t>>>,
    cells: [AtomicU64; CELLS],
}

/// How many numbers a [`Monitor`] protects.
const CELLS: usize = 32;

// SAFETY: both are made to be used from several threads, and only their functions are called on them.
unsafe impl Sync for RawMonitor {}

/// The monitor is locked, by this thread; dropping this unlocks it.
pub struct Locked<'a>(&'a RawMonitor, PhantomData<*const ()>);

impl Monitor {
    /// Unlocked, and all numbers zero.
    pub fn create() -> Result<Self> {
        let this = Map::create([MONITOR, 0, 0], size_of::<RawMonitor>()).map(Self)?;
        let mut mutex = MaybeUninit::<libc::pthread_mutexattr_t>::uninit();
        let mut condition = MaybeUninit::<libc::pthread_condattr_t>::uninit();
        let shared = libc::PTHREAD_PROCESS_SHARED;
        let raw = this.raw();
        // SAFETY: the attributes are initialised before they are used; mutex and condition lie in memory of their
        // size that nobody else has yet.
        let results = unsafe {
            [
                libc::pthread_mutexattr_init(mutex.as_mut_ptr()),
                libc::pthread_mutexattr_setpshared(mutex.as_mut_ptr(), shared),
                libc::pthread_mutexattr_setrobust(mutex.as_mut_ptr(), libc::PTHREAD_MUTEX_ROBUST),
                libc::pthread_mutex_init(raw.mutex.0.get().cast(), mutex.as_ptr()),
                libc::pthread_condattr_init(condition.as_mut_ptr()),
                libc::pthread_condattr_setpshared(condition.as_mut_ptr(), shared),
                libc::pthread_cond_init(raw.condition.0.get().cast(), condition.as_ptr()),
            ]
        };
        match results.into_iter().find(|&code| code != 0) {
            None => Ok(this),
            Some(code) => Err(Error::from_raw_os_error(code)),
        }
    }

    /// That of another process.
    pub fn from_fd(memory: OwnedFd) -> Result<Self> {
        Map::open(memory, MONITOR).map(|(map, ..)| Self(map))
    }

    /// `pthread_mutex_lock(3)`.
    #[inline]
    #[must_use]
    pub fn lock(&self) -> Locked<'_> {
        let raw = self.raw();
        // SAFETY: an initialised mutex; the call fails only after a holder has died, and then the bench ends.
        unsafe { libc::pthread_mutex_lock(raw.mutex.0.get().cast()) };
        Locked(raw, PhantomData)
    }

    /// `pthread_cond_signal(3)`.
    #[inline]
    pub fn notify(&self) {
        // SAFETY: an initialised condition.
        unsafe { libc::pthread_cond_signal(self.raw().condition.0.get().cast()) };
    }

    #[inline]
    fn raw(&self) -> &RawMonitor {
        // SAFETY: `MaybeUninit` and atomics, so any bits are valid.
        unsafe { self.0.content(0) }
    }
}

impl Locked<'_> {
    /// `pthread_cond_wait(3)`; may return for no reason.
    #[inline]
    pub fn wait(&mut self) {
        // SAFETY: both are initialised, and this thread holds the mutex: a `Locked` does not leave its thread.
        unsafe {
            libc::pthread_cond_wait(self.0.condition.0.get().cast(), self.0.mutex.0.get().cast());
        }
    }
}

impl Deref for Locked<'_> {
    type Target = [AtomicU64; CELLS];

    #[inline]
    fn deref(&self) -> &Self::Target {
        &self.0.cells
    }
}

impl Drop for Locked<'_> {
    fn drop(&mut self) {
        // SAFETY: this thread holds it: a `Locked` does not leave its thread.
        unsafe { libc::pthread_mutex_unlock(self.0.mutex.0.get().cast()) };
    }
}
