//! Semaphores of the kind that semop(2) describes.

use std::time::Duration;

use nix::errno::Errno;
use nix::unistd::geteuid;

use super::{Semaphore, check_value, overflow};
use crate::error::{Error, Result};
use crate::object::{Object, Remover, describe_process, remove_unused_system_v, system_v_usage};
use crate::sys::{self, Deadline, Owner, retry, retry_libc, timespec};
use crate::sysv::{Key, ignore_gone, proc_table, wait_complete};
use crate::usage::{SystemV, Usage, Waiters};

unsafe extern "C" {
    /// semop(2); glibc and musl have it, the crate `libc` does not.
    fn semtimedop(
        id: libc::c_int,
        operations: *mut libc::sembuf,
        count: libc::size_t,
        timeout: *const libc::timespec,
    ) -> libc::c_int;
}

/// The last argument of `semctl`, which semctl(2) lets every program declare for itself.
#[repr(C)]
union Semun {
    data: *mut libc::semid_ds,
    info: *mut libc::seminfo,
}

/// What becomes of the units that a process holds when it ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnDeath {
    /// The kernel takes back what this process did (`SEM_UNDO`): units that it acquired are released, and
    /// units that it released are taken away again. Right where who acquires also releases.
    ///
    /// The kernel's account for a process goes from -32,768 to 32,767 units (`SEMAEM`). Where one process
    /// acquires and another releases, it is used up sooner or later: then the call fails with
    /// [`Error::Limit`], with `ERANGE`.
    Undo,
    /// They stay as they are. Right where one process acquires and another releases: with
    /// undo, the end of a producer would take away what it announced.
    Keep,
}

/// A System V semaphore: a set of one.
///
/// # Coming into being
///
/// `semget` makes a semaphore, and another call gives it its value; an opener that comes between them
/// would find a wrong one (TLPI section 47.5). The kernel's help is `sem_otime`, which stays zero
/// until the first `semop`: the creator sets the value by `semop`, and openers wait until the time is not
/// zero. A creator killed between the two calls leaves an object that never becomes usable; an opener
/// finds this out after a second, with [`Error::Unusable`].
///
/// # When the holder dies
///
/// See [`OnDeath`]. The kernel keeps the account for each process, not for each thread or value.
#[derive(Debug)]
pub struct SysvSemaphore {
    id: libc::c_int,
    key: Key,
    /// How errors call it.
    object: String,
    on_death: OnDeath,
    /// The process whose value destroys it.
    creator: Option<Owner>,
}

/// The owner reads and changes.
const MODE: libc::c_int = 0o600;

impl SysvSemaphore {
    /// Makes a new semaphore, which only this user may use (mode 0600). Dropping the value destroys it.
    ///
    /// # Errors
    ///
    /// [`Error::System`] with `EEXIST` when there is one with this key: of several processes that try at
    /// the same time exactly one succeeds. [`Error::OutOfRange`] for a value above what the kernel says
    /// it can hold (`SEMVMX`, 32,767). [`Error::Limit`]: the machine has as many sets, or semaphores, as it
    /// allows (`kernel/sem`).
    pub fn create(key: Key, value: u32, on_death: OnDeath) -> Result<Self> {
        check_value(&describe(key), value.into(), max_value())?;
        let flags = libc::IPC_CREAT | libc::IPC_EXCL | MODE;
        // SAFETY: semget takes three integers.
        let id = retry_libc(|| unsafe { libc::semget(key.0, 1, flags) })
            .map_err(|errno| Error::system(describe(key), "semget", errno))?;
        let semaphore = Self::with(id, key, on_death, Some(Owner::here()));
        // Linux begins with zero. A change of 0 passes at a value of zero, and leaves its time as well.
        // Never undone: the value is to survive the creator.
        let change = value as libc::c_short;
        semaphore.operate(change, 0, None).map_err(|errno| semaphore.refused("semop", errno))?;
        Ok(semaphore)
    }

    /// Opens the existing semaphore with this key.
    ///
    /// # Errors
    ///
    /// [`Error::System`] with `ENOENT` when there is none, with `EACCES` when it belongs to another user;
    /// [`Error::Unusable`] when it is a set of several, or when its creator has not completed it within a
    /// second. [`Key::PRIVATE`] leads to no existing semaphore: `ENOENT`.
    pub fn open(key: Key, on_death: OnDeath) -> Result<Self> {
        if key == Key::PRIVATE {
            return Err(Error::system(describe(key), "semget", Errno::ENOENT));
        }
        // SAFETY: semget takes three integers.
        let id = retry_libc(|| unsafe { libc::semget(key.0, 0, MODE) })
            .map_err(|errno| Error::system(describe(key), "semget", errno))?;
        Self::open_complete(id, key, on_death)
    }

    /// Opens the semaphore with this identifier, which a peer made and told: the way to a
    /// [private](Key::PRIVATE) one.
    ///
    /// # Errors
    ///
    /// As [`open`](Self::open), with [`Error::Closed`] when there is none.
    pub fn from_id(id: i32, on_death: OnDeath) -> Result<Self> {
        Self::open_complete(id, Key::PRIVATE, on_death)
    }

    /// Opens the semaphore with this key, or makes it with `value` if there is none.
    /// [`is_creator`](Self::is_creator) tells which; the process that made it destroys it.
    ///
    /// # Errors
    ///
    /// As [`create`](Self::create) and [`open`](Self::open).
    pub fn create_or_open(key: Key, value: u32, on_death: OnDeath) -> Result<Self> {
        let create = || Self::create(key, value, on_death);
        sys::create_or_open(create, || Self::open(key, on_death))
    }

    /// Destroys the semaphore with this key, whoever made it.
    ///
    /// # Errors
    ///
    /// [`Error::System`] with `ENOENT` when there is none, with `EPERM` when it belongs to another user.
    pub fn remove(key: Key) -> Result<()> {
        if key == Key::PRIVATE {
            return Err(Error::system(describe(key), "semget", Errno::ENOENT));
        }
        // SAFETY: semget takes three integers.
        let id = retry_libc(|| unsafe { libc::semget(key.0, 0, 0) })
            .map_err(|errno| Error::system(describe(key), "semget", errno))?;
        remove_id(id)
    }

    /// Waits until the creator of `id` has given it its value.
    fn open_complete(id: libc::c_int, key: Key, on_death: OnDeath) -> Result<Self> {
        let semaphore = Self::with(id, key, on_death, None);
        let unusable = |reason: String| Error::unusable(&semaphore.object, reason);
        let ready = wait_complete(|| {
            let data = semaphore.stat()?;
            match data.sem_nsems {
                1 => Ok((data.sem_otime != 0).then_some(())),
                others => Err(unusable(format!("it is a set of {others} semaphores"))),
            }
        })?;
        match ready {
            Some(()) => Ok(semaphore),
            None => Err(unusable("its creator has not given it a value".to_owned())),
        }
    }

    fn with(id: libc::c_int, key: Key, on_death: OnDeath, creator: Option<Owner>) -> Self {
        let object = match key {
            Key::PRIVATE => format!("semaphore with id {id}"),
            _ => describe(key),
        };
        Self { id, key, object, on_death, creator }
    }

    /// The identifier, for [`from_id`](Self::from_id) and for `ipcs -s`.
    #[must_use]
    pub fn id(&self) -> i32 {
        self.id
    }

    /// The key that it was made or opened with.
    #[must_use]
    pub fn key(&self) -> Key {
        self.key
    }

    /// Whether this value made the semaphore, and will destroy it.
    #[must_use]
    pub fn is_creator(&self) -> bool {
        self.creator.is_some()
    }

    /// Lets the semaphore outlive this value: somebody else must [`remove`](Self::remove) it.
    pub fn keep(&mut self) {
        self.creator = None;
    }

    /// How many processes wait to acquire.
    ///
    /// # Errors
    ///
    /// See [`Semaphore`].
    pub fn waiting(&self) -> Result<u32> {
        self.query(libc::GETNCNT)
    }

    /// The process that used it last; it may be gone.
    ///
    /// # Errors
    ///
    /// See [`Semaphore`].
    pub fn last_user(&self) -> Result<Option<i32>> {
        let pid = self.query(libc::GETPID)?;
        Ok(i32::try_from(pid).ok().filter(|pid| *pid != 0))
    }

    /// All System V semaphores of this user. Sets of several, from other programs, are among them.
    ///
    /// # Errors
    ///
    /// [`Error::System`] when the kernel's table below `/proc/sysvipc` cannot be read.
    pub fn list() -> Result<Vec<Object>> {
        let user = geteuid().as_raw();
        let rows = proc_table("sem")?;
        let own: Vec<_> = rows.iter().filter(|row| row.belongs_to(user)).collect();
        let waiters = Waiters::look(SystemV::Semaphore);
        let objects = own.iter().map(|row| {
            let owner = u32::try_from(row.get("uid")).unwrap_or(user);
            describe_set(row.int("semid"), Key(row.int("key")), owner, row.int("nsems"), &waiters)
        });
        Ok(objects.collect())
    }

    /// The System V semaphore with this identifier, of whatever user, as [`list`](Self::list) would describe it; `None`
    /// if there is none. Needs no `/proc`.
    ///
    /// # Errors
    ///
    /// [`Error::System`] with `EACCES` when this user may not read it.
    pub fn find(id: i32) -> Result<Option<Object>> {
        let data = match stat_id(id) {
            Err(Errno::EINVAL | Errno::EIDRM) => return Ok(None),
            data => data.map_err(|errno| Error::system(describe_id(id), "semctl", errno))?,
        };
        let (key, owner) = (Key(data.sem_perm.__key), data.sem_perm.uid);
        let count = i32::try_from(data.sem_nsems).unwrap_or(0);
        Ok(Some(describe_set(id, key, owner, count, &Waiters::look(SystemV::Semaphore))))
    }

    fn query(&self, command: libc::c_int) -> Result<u32> {
        // SAFETY: the commands that this is called with take no data.
        match retry_libc(|| unsafe { libc::semctl(self.id, 0, command) }) {
            Ok(answer) => Ok(u32::try_from(answer).unwrap_or(0)),
            Err(errno) => Err(self.refused("semctl", errno)),
        }
    }

    fn stat(&self) -> Result<libc::semid_ds> {
        stat_id(self.id).map_err(|errno| self.refused("semctl", errno))
    }

    fn operate(
        &self,
        change: libc::c_short,
        flags: libc::c_int,
        deadline: Option<&Deadline>,
    ) -> nix::Result<()> {
        let mut operation =
            libc::sembuf { sem_num: 0, sem_op: change, sem_flg: flags as libc::c_short };
        retry(|| {
            let result = match deadline {
                // SAFETY: there is one operation, which lives through the call.
                None => unsafe { libc::semop(self.id, &raw mut operation, 1) },
                Some(deadline) => {
                    // The time is relative, so after a signal only the rest is left.
                    let left = timespec(deadline.left());
                    // SAFETY: as above, and the time lives through the call.
                    unsafe { semtimedop(self.id, &raw mut operation, 1, left.as_ref()) }
                }
            };
            Errno::result(result).map(drop)
        })
    }

    fn undo_flag(&self) -> libc::c_int {
        match self.on_death {
            OnDeath::Undo => libc::SEM_UNDO,
            OnDeath::Keep => 0,
        }
    }

    /// ERANGE is for a value that is at its highest, and for an undo account that is.
    fn out_of_range(&self, call: &'static str) -> Error {
        let most = max_value();
        match self.get_value() {
            Ok(value) if value < most && self.on_death == OnDeath::Undo => Error::Limit {
                object: self.object.clone(),
                call,
                errno: Errno::ERANGE,
                reason: format!(
                    "this process has acquired and not released, or released and not acquired, about {most} \
                     units, and the kernel's account for its death (SEM_UNDO) holds no more; take OnDeath::Keep \
                     where one process acquires and another releases"
                ),
            },
            _ => overflow(&self.object, most),
        }
    }

    /// EIDRM comes to those who wait when the semaphore is destroyed, EINVAL to those who come later.
    fn refused(&self, call: &'static str, errno: Errno) -> Error {
        let object = self.object.clone();
        match errno {
            Errno::EIDRM | Errno::EINVAL => Error::Closed { object },
            Errno::EAGAIN => Error::WouldBlock { object },
            Errno::ERANGE => self.out_of_range(call),
            _ => Error::system(object, call, errno),
        }
    }
}

impl Semaphore for SysvSemaphore {
    fn acquire(&self) -> Result<()> {
        self.operate(-1, self.undo_flag(), None).map_err(|errno| self.refused("semop", errno))
    }

    fn try_acquire(&self) -> Result<()> {
        self.operate(-1, self.undo_flag() | libc::IPC_NOWAIT, None)
            .map_err(|errno| self.refused("semop", errno))
    }

    fn acquire_timeout(&self, timeout: Duration) -> Result<()> {
        let deadline = Deadline::monotonic(timeout);
        match self.operate(-1, self.undo_flag(), Some(&deadline)) {
            Err(Errno::EAGAIN) => Err(deadline.passed(&self.object)),
            result => result.map_err(|errno| self.refused("semtimedop", errno)),
        }
    }

    fn release(&self) -> Result<()> {
        self.operate(1, self.undo_flag(), None).map_err(|errno| self.refused("semop", errno))
    }

    fn get_value(&self) -> Result<u32> {
        self.query(libc::GETVAL)
    }
}

impl Drop for SysvSemaphore {
    fn drop(&mut self) {
        if self.creator.is_some_and(Owner::is_here) {
            // Nobody is there to hear of a failure; `list` finds what stays. An identifier carries a
            // count of its uses, so a later semaphore in the same place has another one.
            let _ = remove_id(self.id);
        }
    }
}

/// What the kernel counts about the processes that use a set.
struct Counts {
    last_users: Vec<i32>,
    /// Those that wait to acquire, and those that wait until a value is zero.
    to_acquire: u32,
    for_zero: u32,
}

impl Counts {
    fn ask(id: libc::c_int, count: libc::c_int) -> nix::Result<Self> {
        let mut counts = Self { last_users: Vec::new(), to_acquire: 0, for_zero: 0 };
        for index in 0..count {
            // SAFETY: these commands take no data.
            let ask = |command| retry_libc(|| unsafe { libc::semctl(id, index, command) });
            counts.last_users.extend(Some(ask(libc::GETPID)?).filter(|pid| *pid > 0));
            counts.to_acquire += ask(libc::GETNCNT)?.unsigned_abs();
            counts.for_zero += ask(libc::GETZCNT)?.unsigned_abs();
        }
        counts.last_users.sort_unstable();
        counts.last_users.dedup();
        Ok(counts)
    }

    fn usage(&self, waiting_in: &[i32]) -> Usage {
        system_v_usage(self.to_acquire + self.for_zero, waiting_in, &self.last_users)
    }
}

fn describe_set(
    id: libc::c_int,
    key: Key,
    owner: u32,
    count: libc::c_int,
    waiters: &Waiters,
) -> Object {
    let waiting_in = waiters.of(id);
    let mut details = String::new();
    let mut last_users = Vec::new();
    let usage = match Counts::ask(id, count) {
        Ok(counts) => {
            let (to_acquire, for_zero) = (counts.to_acquire, counts.for_zero);
            details += &format!("waiting: {to_acquire} to acquire, {for_zero} for zero");
            let last: Vec<_> =
                counts.last_users.iter().copied().filter_map(describe_process).collect();
            if !last.is_empty() {
                details += &format!("; last used by {}", last.join(", "));
            }
            let usage = counts.usage(&waiting_in);
            last_users = counts.last_users;
            usage
        }
        Err(errno) => Usage::Unknown(format!("it cannot be read ({errno})")),
    };
    if let (Some(gap), false) = (waiters.gap(), matches!(usage, Usage::Used(_))) {
        details += &format!("; {gap}");
    }
    Object {
        mechanism: "System V semaphore",
        name: key.to_string(),
        id: Some(id),
        owner,
        bytes: u64::try_from(count).unwrap_or(0) * 2, // The kernel's `semval` is a short.
        last_users,
        open_in: Vec::new(),
        waiting_in,
        usage,
        details,
        remover: Remover::new(
            move || remove_id(id),
            move || {
                let waiters = Waiters::look(SystemV::Semaphore);
                let usage = Counts::ask(id, count).map(|counts| counts.usage(&waiters.of(id)));
                remove_unused_system_v(usage, || remove_id(id))
            },
        ),
    }
}

fn stat_id(id: libc::c_int) -> nix::Result<libc::semid_ds> {
    // SAFETY: all bytes zero are a valid semid_ds, which is integers.
    let mut data: libc::semid_ds = unsafe { std::mem::zeroed() };
    let to = &raw mut data;
    // SAFETY: `data` lives through the call and has room for what IPC_STAT writes.
    retry_libc(|| unsafe { libc::semctl(id, 0, libc::IPC_STAT, Semun { data: to }) })?;
    Ok(data)
}

/// Destroys the semaphore with this identifier; one that is gone is not an error.
fn remove_id(id: libc::c_int) -> Result<()> {
    // SAFETY: IPC_RMID takes no data.
    let result = retry_libc(|| unsafe { libc::semctl(id, 0, libc::IPC_RMID) });
    ignore_gone(result).map_err(|errno| Error::system(describe_id(id), "semctl", errno))
}

/// The highest value of a semaphore, as the kernel tells it (`SEMVMX`).
fn max_value() -> u32 {
    // SAFETY: all bytes zero are a valid seminfo, which is integers.
    let mut info: libc::seminfo = unsafe { std::mem::zeroed() };
    let argument = Semun { info: &raw mut info };
    // SAFETY: IPC_INFO ignores the identifier, and `info` has room for what it writes.
    let result = unsafe { libc::semctl(0, 0, libc::IPC_INFO, argument) };
    // Where it cannot be asked (it never fails on Linux), the kernel's own check is left.
    if result == -1 { libc::c_short::MAX as u32 } else { u32::try_from(info.semvmx).unwrap_or(0) }
}

fn describe(key: Key) -> String {
    match key {
        Key::PRIVATE => "semaphore with a private key".to_owned(),
        key => format!("semaphore with {key}"),
    }
}

fn describe_id(id: libc::c_int) -> String {
    format!("semaphore with id {id}")
}
