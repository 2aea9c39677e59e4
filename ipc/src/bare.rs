//! What the mechanisms cost without this library: the bare system calls, and rings of nothing but atomics.
//!
//! **What it is.** The floor under the figures of `cargo bench -p benches --bench ipc`. Each function is one system
//! call and the reading of its result; nothing is retried, checked beforehand or given a name. [`Words`],
//! [`Semaphore`], [`Monitor`], [`Line`], [`Ring`] and [`Slots`] are the least that does in shared memory what
//! [`shared`](crate::shared), [`semaphore`](crate::semaphore), [`lock`](crate::lock) and [`event`](crate::event)
//! do.
//!
//! **When to choose it.** To measure, or to read what a mechanism is at its core: each is a page. Otherwise never.
//! Interrupted calls fail with `EINTR`, the death of a peer is not noticed, what was meant by
//! a message of another length is for the caller to find out.
//!
//! **Lifetime of its name.** None has a name. What lies in shared memory is a memfd, passed on as a descriptor,
//! and gone with its last user.
//!
//! **When a peer dies**, the other one waits for ever.
//!
//! **Cost.** The least there is.
//!
//! ```
//! use ipc::bare;
//! use std::os::fd::AsFd;
//!
//! let ring = bare::Ring::create(64, 100, false)?;
//! let same = bare::Ring::from_fd(ring.as_fd().try_clone_to_owned()?)?;
//! let mut sender = ring.sender()?;
//! let mut receiver = same.receiver()?;
//! sender.put(b"hello");
//! let mut message = [0; 100];
//! assert_eq!(receiver.get(&mut message), 5);
//! # Ok::<(), std::io::Error>(())
//! ```

use std::cell::UnsafeCell;
use std::io::{Error, Result};
use std::marker::PhantomData;
use std::mem::MaybeUninit;
use std::ops::Deref;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering, fence};

// The system calls.

/// `read(2)`: how many bytes came, 0 at the end.
///
/// # Errors
///
/// The kernel's.
#[inline]
pub fn read(from: BorrowedFd<'_>, buffer: &mut [u8]) -> Result<usize> {
    // SAFETY: pointer and length are those of `buffer`, which is borrowed mutably.
    count(unsafe { libc::read(from.as_raw_fd(), buffer.as_mut_ptr().cast(), buffer.len()) })
}

/// `write(2)`: how many bytes were taken.
///
/// # Errors
///
/// The kernel's.
#[inline]
pub fn write(to: BorrowedFd<'_>, bytes: &[u8]) -> Result<usize> {
    // SAFETY: pointer and length are those of `bytes`, which the call only reads.
    count(unsafe { libc::write(to.as_raw_fd(), bytes.as_ptr().cast(), bytes.len()) })
}

/// `send(2)`, without the signal PIPE: how many bytes were taken.
///
/// # Errors
///
/// The kernel's.
#[inline]
pub fn send(to: BorrowedFd<'_>, bytes: &[u8]) -> Result<usize> {
    let (data, length) = (bytes.as_ptr().cast(), bytes.len());
    // SAFETY: pointer and length are those of `bytes`, which the call only reads.
    count(unsafe { libc::send(to.as_raw_fd(), data, length, libc::MSG_NOSIGNAL) })
}

/// `recv(2)`: how many bytes came, 0 at the end. What does not find room of a datagram is lost.
///
/// # Errors
///
/// The kernel's.
#[inline]
pub fn receive(from: BorrowedFd<'_>, buffer: &mut [u8]) -> Result<usize> {
    let (data, length) = (buffer.as_mut_ptr().cast(), buffer.len());
    // SAFETY: pointer and length are those of `buffer`, which is borrowed mutably.
    count(unsafe { libc::recv(from.as_raw_fd(), data, length, 0) })
}

/// `mq_send(3)`, with priority 0.
///
/// # Errors
///
/// The kernel's.
#[inline]
pub fn mq_send(queue: BorrowedFd<'_>, message: &[u8]) -> Result<()> {
    let (data, length) = (message.as_ptr().cast(), message.len());
    // SAFETY: pointer and length are those of `message`. On Linux a queue is a descriptor.
    nothing(unsafe { libc::mq_send(queue.as_raw_fd(), data, length, 0) })
}

/// `mq_receive(3)`: the length of the message and its priority. The buffer must have room for the longest of the queue.
///
/// The call may be made without asking for the priority, which is a tenth of a microsecond quicker.
///
/// # Errors
///
/// The kernel's.
#[inline]
pub fn mq_receive(queue: BorrowedFd<'_>, buffer: &mut [u8]) -> Result<(usize, u32)> {
    let (data, length, mut priority) = (buffer.as_mut_ptr().cast(), buffer.len(), 0);
    // SAFETY: pointer and length are those of `buffer`, which is borrowed mutably; `priority` outlives the call.
    let received = unsafe { libc::mq_receive(queue.as_raw_fd(), data, length, &raw mut priority) };
    Ok((count(received)?, priority))
}

/// The bytes before the text of a System V message: its type, a `long` in the order of the machine.
pub const TYPE: usize = size_of::<libc::c_long>();

/// `msgsnd(2)` of a message that begins with its [type](TYPE), which must not be zero.
///
/// # Errors
///
/// The kernel's; `EINVAL` for a message without a type.
#[inline]
pub fn msgsnd(queue: i32, typed: &[u8]) -> Result<()> {
    let Some(length) = typed.len().checked_sub(TYPE) else { return Err(too_short()) };
    // SAFETY: a type and `length` bytes are readable there. The kernel does not ask for alignment.
    nothing(unsafe { libc::msgsnd(queue, typed.as_ptr().cast(), length, 0) })
}

/// `msgrcv(2)`: how many bytes follow its [type](TYPE) in the buffer. `which` is the call's own argument: 0 is the
/// oldest message, a negative number the one of the least type up to its magnitude, for which the kernel looks
/// at every message that waits.
///
/// # Errors
///
/// The kernel's; `EINVAL` for a buffer without room for a type.
#[inline]
pub fn msgrcv(queue: i32, typed: &mut [u8], which: libc::c_long) -> Result<usize> {
    let Some(length) = typed.len().checked_sub(TYPE) else { return Err(too_short()) };
    // SAFETY: there is room for a type and `length` bytes, borrowed mutably.
    count(unsafe { libc::msgrcv(queue, typed.as_mut_ptr().cast(), length, which, 0) })
}

/// `semop(2)`: adds `by` to the first semaphore of a set, and waits where that would make it negative.
///
/// # Errors
///
/// The kernel's.
#[inline]
pub fn semop(set: i32, by: i16) -> Result<()> {
    let mut operation = libc::sembuf { sem_num: 0, sem_op: by, sem_flg: 0 };
    // SAFETY: one operation, which outlives the call.
    nothing(unsafe { libc::semop(set, &raw mut operation, 1) })
}

/// `sigqueue(3)`.
///
/// # Errors
///
/// The kernel's; `EINVAL` for a number that means several processes.
#[inline]
pub fn sigqueue(process: i32, signal: i32, value: i32) -> Result<()> {
    unsafe extern "C" {
        // Missing in the `libc` crate; POSIX, and in glibc and musl alike.
        fn sigqueue(pid: libc::pid_t, signal: libc::c_int, value: libc::sigval) -> libc::c_int;
    }
    if process <= 0 {
        return Err(too_short());
    }
    let value = libc::sigval { sival_ptr: std::ptr::without_provenance_mut(value as u32 as usize) };
    // SAFETY: the C library's declaration; it takes numbers and touches no memory.
    nothing(unsafe { sigqueue(process, signal, value) })
}

/// `sigwaitinfo(2)` for one signal, which the caller has blocked: the number that [`sigqueue`] sent.
///
/// # Errors
///
/// The kernel's.
#[inline]
pub fn sigwait(signal: i32) -> Result<i32> {
    let mut set = MaybeUninit::uninit();
    let mut info = MaybeUninit::<libc::siginfo_t>::zeroed();
    // SAFETY: `sigemptyset` initialises the set that the others use; `info` has room for what the last writes.
    let taken = unsafe {
        libc::sigemptyset(set.as_mut_ptr());
        libc::sigaddset(set.as_mut_ptr(), signal);
        libc::sigwaitinfo(set.as_ptr(), info.as_mut_ptr())
    };
    nothing(taken.min(0))?;
    // SAFETY: the call has filled `info` in, which was all zeroes before; of its union a number is read.
    let value = unsafe { info.assume_init_ref().si_value() };
    Ok(value.sival_ptr.addr() as i32)
}

/// `futex(2)`: sleeps for as long as `word` is `expected`, or shorter, between processes.
#[inline]
pub fn futex_wait(word: &AtomicU32, expected: u32) {
    let forever = std::ptr::null::<libc::timespec>();
    // SAFETY: `word` is a live, aligned 32-bit word, and no time is a null pointer. All reasons to return (woken,
    // changed already, a signal) are reasons to look again, which the caller does anyway.
    unsafe { libc::syscall(libc::SYS_futex, word.as_ptr(), libc::FUTEX_WAIT, expected, forever) };
}

/// `futex(2)`: wakes at most `most` of those who sleep on `word`.
#[inline]
pub fn futex_wake(word: &AtomicU32, most: i32) {
    // SAFETY: `word` is a live, aligned 32-bit word; the kernel uses its address only.
    unsafe { libc::syscall(libc::SYS_futex, word.as_ptr(), libc::FUTEX_WAKE, most) };
}

#[inline]
fn count(result: isize) -> Result<usize> {
    usize::try_from(result).map_err(|_| Error::last_os_error())
}

#[inline]
fn nothing(result: libc::c_int) -> Result<()> {
    if result == 0 { Ok(()) } else { Err(Error::last_os_error()) }
}

#[cold]
fn too_short() -> Error {
    Error::from_raw_os_error(libc::EINVAL)
}

// Shared memory.

/// A memfd, mapped: a header of a page's line, then what it is for.
struct Map {
    base: NonNull<u8>,
    length: usize,
    memory: OwnedFd,
}

/// What a mapping holds, so that no foreign one is taken for it.
#[repr(C)]
struct Header {
    /// Kind of content, and two numbers that describe it.
    facts: [AtomicU64; 3],
    /// Who took which end.
    taken: [AtomicU32; 2],
    /// Where a side that sleeps is announced: the receiver, the sender.
    sleeps: [Pair<AtomicU32>; 2],
}

/// A cache line of its own, and its neighbour's too, since the processor fetches lines in pairs.
#[repr(C, align(128))]
struct Pair<T>(T);

/// Where the content begins.
const CONTENT: usize = size_of::<Header>().next_multiple_of(128);

// SAFETY: the mapping belongs to the value; the header is atomic, and each type below says of its content why it may be
// used from several threads.
unsafe impl Send for Map {}
// SAFETY: as above.
unsafe impl Sync for Map {}

impl Map {
    fn create(facts: [u64; 3], content: usize) -> Result<Self> {
        let flags = libc::MFD_CLOEXEC | libc::MFD_ALLOW_SEALING;
        // SAFETY: the name is a string with a NUL at its end.
        let number = unsafe { libc::memfd_create(c"ipc bare".as_ptr(), flags) };
        nothing(number.min(0))?;
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
        nothing(unsafe { libc::fcntl(memory.as_raw_fd(), libc::F_ADD_SEALS, seals) })?;
        let map = Self::mapped(memory, length as usize)?;
        for (place, fact) in map.header().facts.iter().zip(facts) {
            place.store(fact, Ordering::Release);
        }
        Ok(map)
    }

    /// Maps what [`create`](Self::create) made for this kind of content; gives its two other numbers.
    fn open(memory: OwnedFd, kind: u64) -> Result<(Self, u64, u64)> {
        let foreign = || Error::other("this descriptor is no memory for that");
        // SAFETY: this command takes no argument.
        let seals = unsafe { libc::fcntl(memory.as_raw_fd(), libc::F_GET_SEALS) };
        if seals == -1 || seals & libc::F_SEAL_SHRINK == 0 {
            return Err(foreign());
        }
        let mut stat = MaybeUninit::<libc::stat>::zeroed();
        // SAFETY: `stat` has room for what the call writes.
        nothing(unsafe { libc::fstat(memory.as_raw_fd(), stat.as_mut_ptr()) })?;
        // SAFETY: the call succeeded, so it has written it.
        let length = usize::try_from(unsafe { stat.assume_init_ref() }.st_size).unwrap_or(0);
        if length < CONTENT {
            return Err(foreign());
        }
        let map = Self::mapped(memory, length)?;
        let [found, one, other] = map.header().facts.each_ref().map(|f| f.load(Ordering::Acquire));
        if found == kind { Ok((map, one, other)) } else { Err(foreign()) }
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
    fn header(&self) -> &Header {
        // SAFETY: the mapping is longer than a header, begins at a page, and lives as long as `self`. Atomics only.
        unsafe { self.base.cast().as_ref() }
    }

    /// What lies at `offset` behind the header.
    ///
    /// # Safety
    ///
    /// Any bits are a `T`, or it was written there when the mapping was made.
    #[inline]
    unsafe fn content<T: Sync>(&self, offset: usize) -> &T {
        let at = CONTENT + offset;
        assert!(at + size_of::<T>() <= self.length && at.is_multiple_of(align_of::<T>()));
        // SAFETY: within the mapping and aligned, as was just checked; its bits as the caller says.
        unsafe { self.base.add(at).cast().as_ref() }
    }

    fn take(&self, end: usize) -> Result<()> {
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

macro_rules! descriptor {
    ($($type:ident),*) => {$(
        impl AsFd for $type {
            /// The memory, to be passed on.
            fn as_fd(&self) -> BorrowedFd<'_> {
                self.0.memory.as_fd()
            }
        }
    )*};
}
descriptor!(Words, Semaphore, Monitor, Line);

impl AsFd for Ring {
    /// The memory, to be passed on.
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.map.memory.as_fd()
    }
}

impl AsFd for Slots {
    /// The memory, to be passed on.
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.map.memory.as_fd()
    }
}

/// Numbers in shared memory, two cache lines apart so that they do not disturb each other; for what another mechanism hands
/// over, or as futexes.
pub struct Words(Map);

const WORDS: u64 = 1;

impl Words {
    /// As many as there are.
    pub const COUNT: usize = 64;

    /// All zero.
    ///
    /// # Errors
    ///
    /// The kernel's.
    pub fn create() -> Result<Self> {
        Map::create([WORDS, 0, 0], Self::COUNT * 128).map(Self)
    }

    /// Those of another process.
    ///
    /// # Errors
    ///
    /// The kernel's; or the descriptor is something else.
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

    /// The other kind of number beside it, for a futex.
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

/// Two cache lines, each of which one side writes and the other waits for: nothing between two processors is quicker.
pub struct Line(Map);

const LINE: u64 = 2;

impl Line {
    /// Both zero.
    ///
    /// # Errors
    ///
    /// The kernel's.
    pub fn create() -> Result<Self> {
        Map::create([LINE, 0, 0], 256).map(Self)
    }

    /// That of another process.
    ///
    /// # Errors
    ///
    /// The kernel's; or the descriptor is something else.
    pub fn from_fd(memory: OwnedFd) -> Result<Self> {
        Map::open(memory, LINE).map(|(map, ..)| Self(map))
    }

    /// One of the two.
    ///
    /// # Panics
    ///
    /// There is no third.
    #[inline]
    #[must_use]
    pub fn side(&self, at: usize) -> &AtomicU64 {
        // SAFETY: an atomic, for which any bits are valid.
        unsafe { self.0.content(at * 128) }
    }
}

/// A POSIX semaphore, `sem_init(3)`.
pub struct Semaphore(Map);

const SEMAPHORE: u64 = 3;

#[repr(C)]
struct RawSemaphore(UnsafeCell<MaybeUninit<libc::sem_t>>);

// SAFETY: a semaphore is made to be used from several threads, and only its functions are called on it.
unsafe impl Sync for RawSemaphore {}

impl Semaphore {
    /// With an initial value.
    ///
    /// # Errors
    ///
    /// The kernel's; or the value is above `SEM_VALUE_MAX`.
    pub fn create(value: u32) -> Result<Self> {
        let this = Map::create([SEMAPHORE, 0, 0], size_of::<RawSemaphore>()).map(Self)?;
        // SAFETY: memory of its size, and in nobody else's hands yet.
        nothing(unsafe { libc::sem_init(this.raw(), 1, value) })?;
        Ok(this)
    }

    /// That of another process.
    ///
    /// # Errors
    ///
    /// The kernel's; or the descriptor is something else.
    pub fn from_fd(memory: OwnedFd) -> Result<Self> {
        Map::open(memory, SEMAPHORE).map(|(map, ..)| Self(map))
    }

    /// `sem_post(3)`.
    ///
    /// # Errors
    ///
    /// It has its greatest value.
    #[inline]
    pub fn post(&self) -> Result<()> {
        // SAFETY: an initialised semaphore, mapped for as long as `self` lives.
        nothing(unsafe { libc::sem_post(self.raw()) })
    }

    /// `sem_wait(3)`.
    ///
    /// # Errors
    ///
    /// A signal.
    #[inline]
    pub fn wait(&self) -> Result<()> {
        // SAFETY: as in `post`.
        nothing(unsafe { libc::sem_wait(self.raw()) })
    }

    #[inline]
    fn raw(&self) -> *mut libc::sem_t {
        // SAFETY: `MaybeUninit`, so any bits are valid.
        unsafe { self.0.content::<RawSemaphore>(0) }.0.get().cast()
    }
}

/// A mutex and a condition of the C library, shared between processes, and numbers that they protect.
pub struct Monitor(Map);

const MONITOR: u64 = 4;

#[repr(C)]
struct RawMonitor {
    mutex: Pair<UnsafeCell<MaybeUninit<libc::pthread_mutex_t>>>,
    condition: Pair<UnsafeCell<MaybeUninit<libc::pthread_cond_t>>>,
    cells: [AtomicU64; CELLS],
}

/// How many numbers a [`Monitor`] protects.
pub const CELLS: usize = 32;

// SAFETY: both are made to be used from several threads, and only their functions are called on them.
unsafe impl Sync for RawMonitor {}

/// The monitor is locked, by this thread; dropping this unlocks it.
pub struct Locked<'a>(&'a RawMonitor, PhantomData<*const ()>);

impl Monitor {
    /// Unlocked, and all numbers zero.
    ///
    /// # Errors
    ///
    /// The kernel's.
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
    ///
    /// # Errors
    ///
    /// The kernel's; or the descriptor is something else.
    pub fn from_fd(memory: OwnedFd) -> Result<Self> {
        Map::open(memory, MONITOR).map(|(map, ..)| Self(map))
    }

    /// `pthread_mutex_lock(3)`.
    #[inline]
    #[must_use]
    pub fn lock(&self) -> Locked<'_> {
        let raw = self.raw();
        // SAFETY: an initialised mutex of the plain kind, for which this cannot fail.
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

// Rings.

/// How often an end looks before it sleeps.
const LOOKS: u32 = 100;

/// What both kinds of rings have behind the header, before their slots.
#[repr(C)]
struct Indices {
    tail: Pair<AtomicU64>,
    head: Pair<AtomicU64>,
}

/// The words before the bytes of a slot.
const SLOT: usize = 16;

fn stride(longest: u64) -> usize {
    (longest as usize + SLOT).next_multiple_of(64)
}

/// What the ends of a ring work on.
struct Circle {
    map: Map,
    mask: u64,
    longest: usize,
    stride: usize,
}

impl Circle {
    fn create(kind: u64, slots: usize, longest: usize, sleeping: bool) -> Result<Map> {
        if slots == 0 || slots > 1 << 24 || longest == 0 || longest > 1 << 24 {
            return Err(Error::other("a ring has 1 to 2^24 slots of 1 to 2^24 bytes"));
        }
        let (slots, longest) = (slots.next_power_of_two() as u64, longest as u64);
        let size = size_of::<Indices>() + slots as usize * stride(longest);
        Map::create([kind, slots, longest | u64::from(sleeping) << 63], size)
    }

    fn open(memory: OwnedFd, kind: u64) -> Result<(Map, u64, u64)> {
        let (map, slots, facts) = Map::open(memory, kind)?;
        let (longest, least) = (facts & !(1 << 63), CONTENT + size_of::<Indices>());
        let fits = slots.is_power_of_two() && slots <= 1 << 24 && (1..=1 << 24).contains(&longest);
        if !fits || map.length < least + slots as usize * stride(longest) {
            return Err(Error::other("the ring does not fit into its memory"));
        }
        Ok((map, slots, facts))
    }

    fn new(map: Map, slots: u64, facts: u64) -> (Self, bool) {
        let longest = facts & !(1 << 63);
        let (stride, longest_bytes) = (stride(longest), longest as usize);
        (Self { map, mask: slots - 1, longest: longest_bytes, stride }, facts >> 63 == 1)
    }

    #[inline]
    fn indices(&self) -> &Indices {
        // SAFETY: atomics only, any bits.
        unsafe { self.map.content(0) }
    }

    /// The slot whose turn `ticket` is: two words, then the bytes.
    #[inline]
    fn slot(&self, ticket: u64) -> (&AtomicU64, &AtomicU64, NonNull<u8>) {
        let offset = CONTENT + size_of::<Indices>() + (ticket & self.mask) as usize * self.stride;
        // SAFETY: the mask keeps the slot within the mapping, whose length `open` has checked; strides are multiples of
        // 64. Two atomics, for which any bits are valid.
        unsafe {
            let slot = self.map.base.add(offset);
            let word = |at: usize| AtomicU64::from_ptr(slot.add(at).cast().as_ptr());
            (word(0), word(8), slot.add(SLOT))
        }
    }

    /// Copies a message in.
    ///
    /// # Safety
    ///
    /// The slot is the caller's until it is published.
    #[inline]
    unsafe fn copy_in(&self, to: NonNull<u8>, message: &[u8]) {
        assert!(message.len() <= self.longest, "the message is longer than a slot");
        // SAFETY: the slot has room, as was just checked; a slice of this process does not overlap it.
        unsafe { to.as_ptr().copy_from_nonoverlapping(message.as_ptr(), message.len()) };
    }

    /// Copies a message out.
    ///
    /// # Safety
    ///
    /// The slot is published, and the caller's until it is given free.
    #[inline]
    unsafe fn copy_out(&self, from: NonNull<u8>, length: u64, buffer: &mut [u8]) -> usize {
        let length = length as usize;
        assert!(length <= self.longest, "the slot holds no message");
        let buffer = &mut buffer[..length];
        // SAFETY: a slot has so many bytes; the buffer is as long.
        unsafe { buffer.as_mut_ptr().copy_from_nonoverlapping(from.as_ptr(), length) };
        length
    }

    /// Wakes the side that sleeps, if it does.
    #[inline]
    fn ring(&self, side: usize) {
        let sleeps = &self.map.header().sleeps[side].0;
        fence(Ordering::SeqCst);
        if sleeps.load(Ordering::Relaxed) != 0 {
            sleeps.store(0, Ordering::Relaxed);
            futex_wake(sleeps, i32::MAX);
        }
    }

    /// Until `ready`: looks, and then sleeps if it may.
    #[inline]
    fn until(&self, side: usize, sleeping: bool, mut ready: impl FnMut() -> bool) {
        loop {
            for _ in 0..LOOKS {
                if ready() {
                    return;
                }
            }
            if sleeping {
                let sleeps = &self.map.header().sleeps[side].0;
                sleeps.store(1, Ordering::Relaxed);
                fence(Ordering::SeqCst);
                if ready() {
                    return;
                }
                futex_wait(sleeps, 1);
            }
        }
    }
}

const RECEIVER: usize = 0;
const SENDER: usize = 1;

/// A ring of one sender and one receiver: slots that say whose turn they are, so that news of a message travels together with it
/// (Giacomoni and others, "FastForward for efficient pipeline parallelism", 2008), and an index of the receiver of which the
/// sender keeps a copy until there seems to be no room (Lamport 1983).
pub struct Ring {
    map: Map,
    slots: u64,
    facts: u64,
}

const RING: u64 = 5;

impl Ring {
    /// With room for so many messages, rounded up to a power of two, of so many bytes. A side that finds nothing to do
    /// looks a hundred times, and then sleeps if it is a sleeping one.
    ///
    /// # Errors
    ///
    /// The kernel's; or a number is zero or above 2^24.
    pub fn create(slots: usize, longest: usize, sleeping: bool) -> Result<Self> {
        Circle::create(RING, slots, longest, sleeping).and_then(|map| {
            Self::new((
                map,
                slots.next_power_of_two() as u64,
                longest as u64 | u64::from(sleeping) << 63,
            ))
        })
    }

    /// That of another process.
    ///
    /// # Errors
    ///
    /// The kernel's; or the descriptor is something else.
    pub fn from_fd(memory: OwnedFd) -> Result<Self> {
        Circle::open(memory, RING).and_then(Self::new)
    }

    #[expect(clippy::unnecessary_wraps, reason = "it ends two chains of those who do fail")]
    fn new((map, slots, facts): (Map, u64, u64)) -> Result<Self> {
        Ok(Self { map, slots, facts })
    }

    /// Becomes the sender, of which there is ever one.
    ///
    /// # Errors
    ///
    /// There was one before.
    pub fn sender(self) -> Result<Sender> {
        self.map.take(SENDER)?;
        let (circle, sleeping) = Circle::new(self.map, self.slots, self.facts);
        Ok(Sender { circle, sleeping, tail: 0, head: 0 })
    }

    /// Becomes the receiver, of whom there is ever one.
    ///
    /// # Errors
    ///
    /// There was one before.
    pub fn receiver(self) -> Result<Receiver> {
        self.map.take(RECEIVER)?;
        let (circle, sleeping) = Circle::new(self.map, self.slots, self.facts);
        Ok(Receiver { circle, sleeping, head: 0 })
    }
}

/// The end of a [`Ring`] that puts messages in.
pub struct Sender {
    circle: Circle,
    sleeping: bool,
    tail: u64,
    head: u64,
}

impl Sender {
    /// Waits for room.
    ///
    /// # Panics
    ///
    /// The message is longer than a slot.
    #[inline]
    pub fn put(&mut self, message: &[u8]) {
        let indices = self.circle.indices();
        let (tail, mask) = (self.tail, self.circle.mask);
        if tail.wrapping_sub(self.head) > mask {
            let head = &mut self.head;
            self.circle.until(SENDER, self.sleeping, || {
                *head = indices.head.0.load(Ordering::Acquire);
                tail.wrapping_sub(*head) <= mask
            });
        }
        let (word, _, bytes) = self.circle.slot(tail);
        self.tail = tail.wrapping_add(1);
        // SAFETY: `head` says that the receiver is through with this slot, and it does not read on before the word below;
        // there is one sender.
        unsafe { self.circle.copy_in(bytes, message) };
        word.store(self.tail << 32 | message.len() as u64, Ordering::Release);
        if self.sleeping {
            self.circle.ring(RECEIVER);
        }
    }
}

/// The end of a [`Ring`] that takes messages out.
pub struct Receiver {
    circle: Circle,
    sleeping: bool,
    head: u64,
}

impl Receiver {
    /// Waits for a message, and gives its length.
    ///
    /// # Panics
    ///
    /// The buffer is too short for it.
    #[inline]
    pub fn get(&mut self, buffer: &mut [u8]) -> usize {
        let next = self.head.wrapping_add(1);
        let (word, _, bytes) = self.circle.slot(self.head);
        let mut found = 0;
        self.circle.until(RECEIVER, self.sleeping, || {
            found = word.load(Ordering::Acquire);
            found >> 32 == next & u64::from(u32::MAX)
        });
        // SAFETY: the word says that the message is there, and the sender waits for `head` before it writes here again; there
        // is one receiver.
        let length = unsafe { self.circle.copy_out(bytes, found & u64::from(u32::MAX), buffer) };
        self.head = next;
        self.circle.indices().head.0.store(next, Ordering::Release);
        if self.sleeping {
            self.circle.ring(SENDER);
        }
        length
    }
}

/// A ring of many senders and one receiver: slots that say whose turn they are (Vyukov, "Bounded MPMC queue",
/// 1024cores.net). A sender that dies between its ticket and its message blocks it for ever.
pub struct Slots {
    map: Map,
    slots: u64,
    facts: u64,
}

const SLOTS: u64 = 6;

impl Slots {
    /// As [`Ring::create`].
    ///
    /// # Errors
    ///
    /// As [`Ring::create`].
    pub fn create(slots: usize, longest: usize, sleeping: bool) -> Result<Self> {
        let map = Circle::create(SLOTS, slots, longest, sleeping)?;
        let (circle, _) = Circle::new(map, slots.next_power_of_two() as u64, longest as u64);
        for ticket in 0..=circle.mask {
            circle.slot(ticket).0.store(ticket, Ordering::Release);
        }
        let facts = longest as u64 | u64::from(sleeping) << 63;
        Ok(Self { slots: circle.mask + 1, map: circle.map, facts })
    }

    /// That of another process.
    ///
    /// # Errors
    ///
    /// The kernel's; or the descriptor is something else.
    pub fn from_fd(memory: OwnedFd) -> Result<Self> {
        let (map, slots, facts) = Circle::open(memory, SLOTS)?;
        Ok(Self { map, slots, facts })
    }

    /// Becomes a sender, one of many.
    #[must_use]
    pub fn sender(self) -> ManySender {
        let (circle, sleeping) = Circle::new(self.map, self.slots, self.facts);
        ManySender { circle, sleeping }
    }

    /// Becomes the receiver, of whom there is ever one.
    ///
    /// # Errors
    ///
    /// There was one before.
    pub fn receiver(self) -> Result<ManyReceiver> {
        self.map.take(RECEIVER)?;
        let (circle, sleeping) = Circle::new(self.map, self.slots, self.facts);
        Ok(ManyReceiver { circle, sleeping, head: 0 })
    }
}

/// An end of [`Slots`] that puts messages in.
pub struct ManySender {
    circle: Circle,
    sleeping: bool,
}

impl ManySender {
    /// Waits for room.
    ///
    /// # Panics
    ///
    /// The message is longer than a slot.
    #[inline]
    pub fn put(&mut self, message: &[u8]) {
        assert!(message.len() <= self.circle.longest, "the message is longer than a slot");
        let tail = &self.circle.indices().tail.0;
        let ticket = loop {
            let ticket = tail.load(Ordering::Relaxed);
            let turn = self.circle.slot(ticket).0.load(Ordering::Acquire);
            if turn == ticket {
                let next = ticket.wrapping_add(1);
                let won = tail.compare_exchange(ticket, next, Ordering::Relaxed, Ordering::Relaxed);
                if won.is_ok() {
                    break ticket;
                }
            } else if turn.wrapping_sub(ticket).cast_signed() < 0 {
                self.circle.until(SENDER, self.sleeping, || {
                    let ticket = tail.load(Ordering::Relaxed);
                    let turn = self.circle.slot(ticket).0.load(Ordering::Acquire);
                    turn.wrapping_sub(ticket).cast_signed() >= 0
                });
            }
        };
        let (turn, length, bytes) = self.circle.slot(ticket);
        length.store(message.len() as u64, Ordering::Relaxed);
        // SAFETY: the slot was free, and this sender alone has its ticket.
        unsafe { self.circle.copy_in(bytes, message) };
        turn.store(ticket.wrapping_add(1), Ordering::Release);
        if self.sleeping {
            self.circle.ring(RECEIVER);
        }
    }
}

/// The end of [`Slots`] that takes messages out.
pub struct ManyReceiver {
    circle: Circle,
    sleeping: bool,
    head: u64,
}

impl ManyReceiver {
    /// Waits for a message, and gives its length.
    ///
    /// # Panics
    ///
    /// The buffer is too short for it.
    #[inline]
    pub fn get(&mut self, buffer: &mut [u8]) -> usize {
        let next = self.head.wrapping_add(1);
        let (turn, length, bytes) = self.circle.slot(self.head);
        self.circle.until(RECEIVER, self.sleeping, || turn.load(Ordering::Acquire) == next);
        // SAFETY: the turn says that the message is there, and that nobody writes here before it is given free; there is
        // one receiver.
        let length = unsafe { self.circle.copy_out(bytes, length.load(Ordering::Relaxed), buffer) };
        turn.store(self.head.wrapping_add(self.circle.mask + 1), Ordering::Release);
        self.head = next;
        if self.sleeping {
            self.circle.ring(SENDER);
        }
        length
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::thread;

    fn again(of: &impl AsFd) -> OwnedFd {
        of.as_fd().try_clone_to_owned().unwrap()
    }

    #[test]
    fn messages_come_whole_and_in_order_whether_they_sleep_or_spin() {
        for sleeping in [false, true] {
            let ring = Ring::create(4, 100, sleeping).unwrap();
            let mut receiver = Ring::from_fd(again(&ring)).unwrap().receiver().unwrap();
            assert!(Ring::from_fd(again(&ring)).unwrap().receiver().is_err(), "a second one");
            let mut sender = ring.sender().unwrap();
            let slots = Slots::create(4, 100, sleeping).unwrap();
            let mut many = Slots::from_fd(again(&slots)).unwrap().receiver().unwrap();
            let mut one_of_many = slots.sender();
            let sending = thread::spawn(move || {
                for n in 0..1_000_u32 {
                    sender.put(&n.to_le_bytes().repeat(25));
                    one_of_many.put(&n.to_le_bytes().repeat(3));
                }
            });
            let mut buffer = [0; 100];
            for n in 0..1_000_u32 {
                assert_eq!(receiver.get(&mut buffer), 100);
                assert_eq!(buffer[..], n.to_le_bytes().repeat(25));
                assert_eq!(many.get(&mut buffer), 12);
                assert_eq!(buffer[..12], n.to_le_bytes().repeat(3));
            }
            sending.join().unwrap();
        }
    }

    #[test]
    fn foreign_memory_is_refused() {
        let words = Words::create().unwrap();
        assert!(Ring::from_fd(again(&words)).is_err());
        assert!(Semaphore::from_fd(again(&words)).is_err());
        let file = std::fs::File::open("/dev/null").unwrap();
        assert!(Words::from_fd(file.into()).is_err());
        assert!(Ring::create(0, 1, false).is_err());
        assert!(msgsnd(-1, b"short").is_err());
    }

    #[test]
    fn a_monitor_hands_over() {
        let monitor = Monitor::create().unwrap();
        let same = Monitor::from_fd(again(&monitor)).unwrap();
        let other = thread::spawn(move || {
            let mut held = same.lock();
            while held[0].load(Ordering::Relaxed) == 0 {
                held.wait();
            }
            held[1].store(5, Ordering::Relaxed);
        });
        monitor.lock()[0].store(1, Ordering::Relaxed);
        monitor.notify();
        other.join().unwrap();
        assert_eq!(monitor.lock()[1].load(Ordering::Relaxed), 5);
    }
}
