//! The robust mutex.

use std::cell::UnsafeCell;
use std::marker::PhantomData;
use std::mem::MaybeUninit;
use std::ops::Deref;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use nix::errno::Errno;
use nix::libc;

use crate::error::{Error, Result};
use crate::shared::{Cell, Location, Memory, Part, Scalar, Shared};
use crate::sys::Deadline;

/// A mutex for processes, with the numbers that it protects. See the [module](super).
///
/// It never moves: it lies in a segment, and this value only refers to it. Threads of one process may share it
/// too.
///
/// All its users are in one pid namespace (pid_namespaces(7)). The mutex knows its holder by the number of the thread, and
/// two threads in two namespaces may have the same: [`lock`](Self::lock) would fail with `EDEADLK`, and the death of
/// one would unlock the mutex of the other.
///
/// # How many a thread may hold
///
/// 2,048 at a time. When a thread ends, the kernel passes on that many of the mutexes that it held
/// (`ROBUST_LIST_LIMIT`), the latest first; a process that waits for one beyond them would wait forever. So to lock
/// one more is refused with [`Error::OutOfRange`]. Robust mutexes of other libraries count for the kernel, but
/// are not seen here.
pub struct Mutex<T: Scalar> {
    raw: Part<RawMutex>,
    cells: Part<[Cell<T>]>,
    /// Guards of this process that have not unlocked. With one that was forgotten the kernel still has the
    /// address of the mutex, and would write there when the thread ends.
    guards: AtomicUsize,
}

/// Nobody but the C library looks inside.
#[repr(C, align(64))]
pub(super) struct RawMutex(UnsafeCell<MaybeUninit<libc::pthread_mutex_t>>);

// SAFETY: a pthread mutex is made to be used from several threads, and only its functions are called on it.
unsafe impl Sync for RawMutex {}
// SAFETY: never read or written but by the functions of the C library, which expect other processes to do the
// same; `MaybeUninit`, so any bits are valid. That it has been initialised is what the header's flag says.
unsafe impl Shared for RawMutex {}

/// `ROBUST_LIST_LIMIT` of the kernel.
const MOST_HELD: u64 = 2048;

thread_local! {
    /// The guards of this thread, those that were forgotten among them.
    static HELD: std::cell::Cell<u64> = const { std::cell::Cell::new(0) };
}

const CELLS_OFFSET: usize = Memory::CONTENT + size_of::<RawMutex>();

impl<T: Scalar> Mutex<T> {
    /// Makes a mutex that protects `length` numbers, all zero. Zero of them is a lock for something that lies
    /// elsewhere.
    ///
    /// # Errors
    ///
    /// [`Error::OutOfRange`] for more numbers than there can be memory; else as for
    /// [`Value::create`](crate::shared::Value::create).
    pub fn create(location: impl Into<Location>, length: usize) -> Result<Self> {
        let length = length as u64;
        let range = 0..=isize::MAX as u64 / 16;
        Error::check_range("mutex in shared memory", "length", length, range)?;
        let size = size_of::<RawMutex>() as u64 + length * size_of::<Cell<T>>() as u64;
        let facts = [length, size_of::<libc::pthread_mutex_t>() as u64, 0];
        let memory = Memory::create(location.into(), &holds::<T>(), size, facts, |memory| {
            initialise(memory, memory.object(Memory::CONTENT)?)
        })?;
        let raw = memory.part(Memory::CONTENT)?;
        Ok(Self { raw, cells: memory.parts(CELLS_OFFSET, length)?, guards: AtomicUsize::new(0) })
    }

    /// Opens a mutex that another process made.
    ///
    /// # Errors
    ///
    /// As for [`Value::open`](crate::shared::Value::open), and [`Error::Unusable`] in another pid namespace than
    /// the creator's.
    pub fn open(location: impl Into<Location>) -> Result<Self> {
        let (memory, [length, size, _]) = Memory::open(location.into(), &holds::<T>())?;
        // The word of the mutex is the number of the thread that holds it.
        memory.require_own_namespace()?;
        if size != size_of::<libc::pthread_mutex_t>() as u64 {
            return Err(memory.unusable("its mutex is that of another C library"));
        }
        let raw = memory.part(Memory::CONTENT)?;
        Ok(Self { raw, cells: memory.parts(CELLS_OFFSET, length)?, guards: AtomicUsize::new(0) })
    }

    /// Locks it, and waits while another has it.
    ///
    /// # Errors
    ///
    /// `EDEADLK` from the kernel if this thread has it already; `ENOTRECOVERABLE` if a holder died, and the
    /// next holder did not mark the data as right. [`Error::OutOfRange`] if this thread holds 2,048
    /// mutexes already.
    pub fn lock(&self) -> Result<Guard<'_, T>> {
        self.check_held()?;
        // SAFETY: `raw` refers to an initialised mutex, which stays mapped while `self` lives.
        let code = unsafe { libc::pthread_mutex_lock(self.raw.pointer()) };
        self.guard(code, "pthread_mutex_lock")
    }

    /// Locks it if it is free now.
    ///
    /// # Errors
    ///
    /// [`Error::WouldBlock`] if it is not, be it in the hands of this thread; `ENOTRECOVERABLE` and
    /// [`Error::OutOfRange`] as for [`lock`](Self::lock).
    pub fn try_lock(&self) -> Result<Guard<'_, T>> {
        self.check_held()?;
        // Not `pthread_mutex_trylock`: that of the GNU C library, when it answers ENOTRECOVERABLE for a robust
        // mutex, keeps it locked. A time that is over asks the same question.
        let past = libc::timespec { tv_sec: 0, tv_nsec: 0 };
        // SAFETY: as in `lock`; the time outlives the call.
        let code = unsafe { libc::pthread_mutex_timedlock(self.raw.pointer(), &past) };
        match code {
            libc::ETIMEDOUT | libc::EDEADLK => {
                Err(Error::WouldBlock { object: self.memory().name().to_owned() })
            }
            _ => self.guard(code, "pthread_mutex_timedlock"),
        }
    }

    /// As [`lock`](Self::lock), but waits not longer than `timeout`. POSIX prescribes the wall clock here: if it is
    /// set meanwhile, the timeout moves.
    ///
    /// # Errors
    ///
    /// [`Error::TimedOut`], and those of [`lock`](Self::lock).
    pub fn lock_timeout(&self, timeout: Duration) -> Result<Guard<'_, T>> {
        self.check_held()?;
        let deadline = Deadline::wall(timeout);
        // SAFETY: as in `lock`; the time outlives the call.
        let code =
            unsafe { libc::pthread_mutex_timedlock(self.raw.pointer(), deadline.at().as_ref()) };
        match code {
            libc::ETIMEDOUT => Err(deadline.passed(self.memory().name())),
            _ => self.guard(code, "pthread_mutex_timedlock"),
        }
    }

    fn check_held(&self) -> Result<()> {
        let quantity = "mutexes held by this thread";
        Error::check_range(self.memory().name(), quantity, HELD.get() + 1, 0..=MOST_HELD)
    }

    fn guard(&self, code: i32, call: &'static str) -> Result<Guard<'_, T>> {
        let recovered = match code {
            0 => false,
            libc::EOWNERDEAD => true,
            code => {
                return Err(Error::system(self.memory().name(), call, Errno::from_raw(code)));
            }
        };
        self.guards.fetch_add(1, Ordering::Relaxed);
        HELD.set(HELD.get() + 1);
        Ok(Guard { mutex: self, recovered, thread: PhantomData })
    }

    /// The segment that it lies in.
    #[must_use]
    pub fn memory(&self) -> &Memory {
        self.raw.memory()
    }
}

impl RawMutex {
    fn pointer(&self) -> *mut libc::pthread_mutex_t {
        self.0.get().cast()
    }
}

impl<T: Scalar> Drop for Mutex<T> {
    fn drop(&mut self) {
        if *self.guards.get_mut() != 0 {
            self.raw.memory().keep_mapped();
        }
        // No pthread_mutex_destroy: others may be using it, and on Linux there is nothing to be given back.
    }
}

/// Holds a [`Mutex`], and gives access to what it protects, as a slice of [`Cell`]s. Dropping it unlocks.
///
/// It belongs to the thread that locked.
#[must_use = "dropping it unlocks"]
pub struct Guard<'a, T: Scalar> {
    mutex: &'a Mutex<T>,
    recovered: bool,
    /// Neither `Send` nor `Sync`: only the owner may unlock.
    thread: PhantomData<*const ()>,
}

impl<'a, T: Scalar> Guard<'a, T> {
    /// Whether the last holder died with it, so that the numbers may be half changed, and
    /// [`mark_consistent`](Self::mark_consistent) has not been called yet.
    #[must_use]
    pub fn recovered(&self) -> bool {
        self.recovered
    }

    /// Says that the numbers are right (again). Without this, a mutex that was recovered is unusable after this
    /// guard. Does nothing if it was not recovered.
    pub fn mark_consistent(&mut self) {
        if std::mem::take(&mut self.recovered) {
            // SAFETY: an initialised mutex that this thread holds. It can fail only if it was not recovered.
            unsafe { libc::pthread_mutex_consistent(self.mutex.raw.pointer()) };
        }
    }

    pub(super) fn mutex(&self) -> &'a Mutex<T> {
        self.mutex
    }
}

impl<T: Scalar> Deref for Guard<'_, T> {
    type Target = [Cell<T>];

    fn deref(&self) -> &[Cell<T>] {
        &self.mutex.cells
    }
}

impl<T: Scalar> Drop for Guard<'_, T> {
    fn drop(&mut self) {
        self.mutex.guards.fetch_sub(1, Ordering::Relaxed);
        HELD.set(HELD.get() - 1);
        // SAFETY: an initialised mutex that this thread holds, since a guard does not leave its thread. It
        // cannot fail then.
        unsafe { libc::pthread_mutex_unlock(self.mutex.raw.pointer()) };
    }
}

/// Makes the mutex in memory that nobody else uses yet.
fn initialise(memory: &Memory, raw: &RawMutex) -> Result<()> {
    let check = |code, call| match code {
        0 => Ok(()),
        code => Err(Error::system(memory.name(), call, Errno::from_raw(code))),
    };
    let mut attributes = MaybeUninit::<libc::pthread_mutexattr_t>::uninit();
    let with = attributes.as_mut_ptr();
    // SAFETY: the first call initialises the attributes that the others use; the last one takes a mutex that lies in
    // memory of its size, zero, and in nobody else's hands since the segment is not ready.
    unsafe {
        check(libc::pthread_mutexattr_init(with), "pthread_mutexattr_init")?;
        let made = check(
            libc::pthread_mutexattr_setpshared(with, libc::PTHREAD_PROCESS_SHARED),
            "pthread_mutexattr_setpshared",
        )
        .and_then(|()| {
            check(
                libc::pthread_mutexattr_setrobust(with, libc::PTHREAD_MUTEX_ROBUST),
                "pthread_mutexattr_setrobust",
            )
        })
        // Locking twice is an error, instead of waiting for oneself.
        .and_then(|()| {
            check(
                libc::pthread_mutexattr_settype(with, libc::PTHREAD_MUTEX_ERRORCHECK),
                "pthread_mutexattr_settype",
            )
        })
        .and_then(|()| check(libc::pthread_mutex_init(raw.pointer(), with), "pthread_mutex_init"));
        libc::pthread_mutexattr_destroy(with);
        made
    }
}

fn holds<T: Scalar>() -> String {
    format!("mutex of {}", T::NAME)
}
