//! Queues of the kind that sysvipc(7) describes.

use std::mem::MaybeUninit;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, SystemTime};

use nix::errno::Errno;
use nix::unistd::geteuid;

use super::{HIGHEST_PRIORITY, Queue, Received, check_buffer, check_message, interrupt};
use crate::error::{Error, Result};
use crate::limits;
use crate::object::{Object, Remover, describe_process, remove_unused_system_v, system_v_usage};
use crate::sys::{self, Deadline, Owner, retry, retry_libc};
use crate::sysv::{Key, ignore_gone, proc_table, wait_complete};
use crate::usage::{SystemV, Usage, Waiters};
use crate::wait::Wait;

/// A System V message queue.
///
/// # Bounds
///
/// The kernel bounds the bytes of all messages together (`msg_qbytes`) and the length of any message on the
/// machine (`kernel/msgmax`). `capacity` times `message_size` become the bytes; the message size itself is
/// an agreement between the peers which each gives when it creates or opens the queue.
///
/// # Types and priorities
///
/// Each message has a type, a positive number. The [`Queue`] methods use the types 1 to 32,768 as
/// priorities, the highest as type 1, because the kernel's "lowest type first" is the only order that it
/// offers. Types above that are never touched by [`Queue::receive`]: [`send_type`](Self::send_type)
/// and [`receive_type`](Self::receive_type) use them to address one reader among several, such as replies
/// by the pid of the client (TLPI section 46.8). Finding the best type is a walk through the queue.
///
/// # Timeouts
///
/// The kernel has none for these queues. [`Wait::AtMost`] first tries without waiting; if that fails, it
/// sleeps in the ordinary call under a timer whose signal interrupts it. That takes one real-time
/// signal of the process: the highest that the thread does not block and that has its default action at the
/// first such wait. The signal goes to the waiting thread alone, and its handler does nothing. Do not give the
/// same signal another meaning.
///
/// Without such a signal (the thread blocks all of them) or without a timer (`RLIMIT_SIGPENDING` of the user
/// is used up), the wait tries again at intervals of 1 to 20 ms instead.
///
/// # Stale queues
///
/// A key leads to whatever was made with it last, perhaps by an earlier run that was killed, with its old
/// messages. [`status`](Self::status) tells the processes that used it last; if they are gone, nobody may
/// be left. [`remove`](Self::remove) it then, rather than use it.
#[derive(Debug)]
pub struct SysvQueue {
    id: libc::c_int,
    key: Key,
    /// How errors call it.
    object: String,
    capacity: usize,
    message_size: usize,
    /// The process whose value destroys the queue.
    creator: Option<Owner>,
    closed: AtomicBool,
}

/// Which message [`SysvQueue::receive_type`] takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Select {
    /// The oldest of all.
    Any,
    /// The oldest of this type.
    Type(i32),
    /// The oldest that is not of this type.
    Except(i32),
    /// Among those whose type is this or less, the oldest of the lowest type.
    AtMost(i32),
}

/// What the kernel knows about a System V queue (`IPC_STAT` of msgctl(2)).
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Status {
    /// The messages that wait.
    pub messages: usize,
    /// Their bytes.
    pub bytes: usize,
    /// The most bytes that it holds.
    pub most_bytes: usize,
    /// The process that put the last message in.
    pub last_sender: Option<i32>,
    /// When it did, to the second.
    pub last_sent: Option<SystemTime>,
    /// The process that took the last message out.
    pub last_receiver: Option<i32>,
    /// When it did, to the second.
    pub last_received: Option<SystemTime>,
    /// The user that owns it.
    pub owner: u32,
}

/// The type of a message with priority 0, and so the highest type that is a priority.
const LOWEST_PRIORITY_TYPE: libc::c_long = HIGHEST_PRIORITY as libc::c_long + 1;

/// The owner reads and writes.
const MODE: libc::c_int = 0o600;

impl SysvQueue {
    /// Makes a new queue that holds `capacity` messages of `message_size` bytes, or more of shorter ones,
    /// which only this user may use (mode 0600). Dropping the value destroys it.
    ///
    /// # Errors
    ///
    /// [`Error::System`] with `EEXIST` when there is one with this key: of several processes that try at
    /// the same time exactly one succeeds. [`Error::OutOfRange`], with the machine's limit, for a capacity
    /// or size of zero or of more than it allows. [`Error::Limit`]: the machine has as many queues as it allows
    /// (`kernel/msgmni`).
    pub fn create(key: Key, capacity: usize, message_size: usize) -> Result<Self> {
        let object = describe(key);
        check_message_size(&object, message_size)?;
        Error::check_range(&object, "number of messages", capacity as u64, 1..=u64::MAX)?;
        let bytes = capacity.saturating_mul(message_size);
        let privileged = limits::may_exceed_queue_limits();
        let most = if privileged { None } else { limits::value("kernel/msgmnb") };
        let range = 1..=most.unwrap_or(i32::MAX as u64);
        Error::check_range(&object, "bytes in the queue", bytes as u64, range)?;

        // Without any right for anybody, until it has its size: so others can tell it is not complete.
        let flags = libc::IPC_CREAT | libc::IPC_EXCL;
        // SAFETY: msgget takes two integers.
        let id = retry_libc(|| unsafe { libc::msgget(key.0, flags) })
            .map_err(|errno| Error::system(&object, "msgget", errno))?;
        let queue = Self::with(id, key, bytes, message_size, Some(Owner::here()));
        // SAFETY: all bytes zero are a valid msqid_ds, which is integers.
        let mut data: libc::msqid_ds = unsafe { std::mem::zeroed() };
        // IPC_SET takes these four and no others.
        data.msg_perm.uid = geteuid().as_raw();
        data.msg_perm.gid = nix::unistd::getegid().as_raw();
        data.msg_perm.mode = MODE as _;
        data.msg_qbytes = bytes as _;
        // SAFETY: `data` lives through the call.
        retry_libc(|| unsafe { libc::msgctl(id, libc::IPC_SET, &raw mut data) })
            .map_err(|errno| queue.refused("msgctl", errno))?;
        Ok(queue)
    }

    /// Opens the existing queue with this key, for messages of up to `message_size` bytes.
    ///
    /// # Errors
    ///
    /// [`Error::System`] with `ENOENT` when there is none, with `EACCES` when it belongs to another user;
    /// [`Error::OutOfRange`] for a size of zero or above the machine's limit; [`Error::Unusable`] when it
    /// cannot hold a message of this size, or when its creator has not completed it within a second.
    /// [`Key::PRIVATE`] leads to no existing queue: `ENOENT`.
    pub fn open(key: Key, message_size: usize) -> Result<Self> {
        let object = describe(key);
        check_message_size(&object, message_size)?;
        if key == Key::PRIVATE {
            return Err(Error::system(object, "msgget", Errno::ENOENT));
        }
        // No rights are asked for here, so that an incomplete queue can be told from a stranger's.
        // SAFETY: msgget takes two integers.
        let id = retry_libc(|| unsafe { libc::msgget(key.0, 0) })
            .map_err(|errno| Error::system(object, "msgget", errno))?;
        Self::open_complete(id, key, message_size)
    }

    /// Opens the queue with this identifier, which a peer made and told: the way to a
    /// [private](Key::PRIVATE) one.
    ///
    /// # Errors
    ///
    /// As [`open`](Self::open), with [`Error::Closed`] when there is none.
    pub fn from_id(id: i32, message_size: usize) -> Result<Self> {
        check_message_size(&format!("queue with id {id}"), message_size)?;
        Self::open_complete(id, Key::PRIVATE, message_size)
    }

    /// Opens the queue with this key, or makes it if there is none. [`is_creator`](Self::is_creator)
    /// tells which; the process that made it destroys it.
    ///
    /// # Errors
    ///
    /// As [`create`](Self::create) and [`open`](Self::open), and [`Error::Unusable`] when it exists with room
    /// for another number of bytes.
    pub fn create_or_open(key: Key, capacity: usize, message_size: usize) -> Result<Self> {
        let create = || Self::create(key, capacity, message_size);
        let queue = sys::create_or_open(create, || Self::open(key, message_size))?;
        let (has, wanted) = (queue.status()?.most_bytes, capacity.saturating_mul(message_size));
        if has == wanted {
            return Ok(queue);
        }
        let reason = format!("it is for {has} bytes, and {wanted} were asked for");
        Err(Error::unusable(&queue.object, reason))
    }

    /// Destroys the queue with this key and the messages in it, whoever made it.
    ///
    /// # Errors
    ///
    /// [`Error::System`] with `ENOENT` when there is none, with `EPERM` when it belongs to another user.
    pub fn remove(key: Key) -> Result<()> {
        if key == Key::PRIVATE {
            return Err(Error::system(describe(key), "msgget", Errno::ENOENT));
        }
        // SAFETY: msgget takes two integers.
        let id = retry_libc(|| unsafe { libc::msgget(key.0, 0) })
            .map_err(|errno| Error::system(describe(key), "msgget", errno))?;
        remove_id(id)
    }

    /// Waits until the creator of `id` has completed it, and checks that messages of this size fit.
    fn open_complete(id: libc::c_int, key: Key, message_size: usize) -> Result<Self> {
        let mut queue = Self::with(id, key, 0, message_size, None);
        let mut denied = None;
        let bytes = wait_complete(|| match queue.stat() {
            Ok(data) if data.msg_perm.mode & 0o600 != 0 => Ok(Some(data.msg_qbytes as usize)),
            Ok(_) => Ok(None),
            Err(error) if error.errno() == Some(Errno::EACCES) => {
                denied = Some(error);
                Ok(None)
            }
            Err(error) => Err(error),
        })?;
        let unusable = |reason: String| Error::unusable(&queue.object, reason);
        match (bytes, denied) {
            (Some(bytes), _) if bytes < message_size => Err(unusable(format!(
                "it holds {bytes} bytes, and a message may have {message_size}"
            ))),
            (Some(bytes), _) => {
                queue.capacity = bytes / message_size;
                Ok(queue)
            }
            (None, Some(error)) => Err(error),
            (None, None) => Err(unusable("its creator has not completed it".to_owned())),
        }
    }

    fn with(
        id: libc::c_int,
        key: Key,
        bytes: usize,
        message_size: usize,
        creator: Option<Owner>,
    ) -> Self {
        let object = match key {
            Key::PRIVATE => format!("queue with id {id}"),
            _ => describe(key),
        };
        let capacity = bytes / message_size;
        Self { id, key, object, capacity, message_size, creator, closed: AtomicBool::new(false) }
    }

    /// The identifier, for [`from_id`](Self::from_id) and for `ipcs -q`.
    #[must_use]
    pub fn id(&self) -> i32 {
        self.id
    }

    /// The key that it was made or opened with.
    #[must_use]
    pub fn key(&self) -> Key {
        self.key
    }

    /// Whether this value made the queue, and will destroy it.
    #[must_use]
    pub fn is_creator(&self) -> bool {
        self.creator.is_some()
    }

    /// Lets the queue outlive this value: somebody else must [`remove`](Self::remove) it.
    pub fn keep(&mut self) {
        self.creator = None;
    }

    /// What the kernel knows about the queue.
    ///
    /// # Errors
    ///
    /// See [`Queue`].
    pub fn status(&self) -> Result<Status> {
        let data = self.stat()?;
        let at = |time: libc::time_t| match u64::try_from(time) {
            Ok(0) | Err(_) => None,
            Ok(seconds) => SystemTime::UNIX_EPOCH.checked_add(Duration::from_secs(seconds)),
        };
        let known = |pid| (pid != 0).then_some(pid);
        Ok(Status {
            messages: data.msg_qnum as usize,
            bytes: data.__msg_cbytes as usize,
            most_bytes: data.msg_qbytes as usize,
            last_sender: known(data.msg_lspid),
            last_sent: at(data.msg_stime),
            last_receiver: known(data.msg_lrpid),
            last_received: at(data.msg_rtime),
            owner: data.msg_perm.uid,
        })
    }

    /// Puts a message of the given type in. Types up to 32,768 are priorities, see [`SysvQueue`].
    ///
    /// # Errors
    ///
    /// As [`Queue::send`]; [`Error::OutOfRange`] for a type below 1.
    pub fn send_type(&self, message: &[u8], kind: i32, wait: Wait) -> Result<()> {
        self.check_open()?;
        check_message(&self.object, message, self.message_size, 0)?;
        self.check_type(kind)?;
        self.send_as(message, libc::c_long::from(kind), wait)
    }

    /// Takes the selected message into `buffer`, and gives its length and type.
    ///
    /// # Errors
    ///
    /// As [`Queue::receive`]; [`Error::OutOfRange`] for a type below 1.
    pub fn receive_type(
        &self,
        buffer: &mut [u8],
        select: Select,
        wait: Wait,
    ) -> Result<(usize, i32)> {
        self.check_open()?;
        check_buffer(&self.object, buffer, self.message_size)?;
        let (number, flags) = match select {
            Select::Any => (0, 0),
            Select::Type(kind) => (kind, 0),
            Select::Except(kind) => (kind, libc::MSG_EXCEPT),
            Select::AtMost(kind) => (kind, 0),
        };
        if select != Select::Any {
            self.check_type(number)?;
        }
        let sign = if matches!(select, Select::AtMost(_)) { -1 } else { 1 };
        let (length, kind) =
            self.receive_as(buffer, sign * libc::c_long::from(number), flags, wait)?;
        // Only a program that uses `msgsnd` itself can have sent a higher one.
        Ok((length, i32::try_from(kind).unwrap_or(i32::MAX)))
    }

    /// All System V queues of this user.
    ///
    /// # Errors
    ///
    /// [`Error::System`] when the kernel's table below `/proc/sysvipc` cannot be read.
    pub fn list() -> Result<Vec<Object>> {
        let user = geteuid().as_raw();
        let rows = proc_table("msg")?;
        let own: Vec<_> = rows.iter().filter(|row| row.belongs_to(user)).collect();
        let waiters = Waiters::look(SystemV::Queue);
        let objects = own.iter().map(|row| {
            let facts = Facts {
                id: row.int("msqid"),
                key: Key(row.int("key")),
                owner: u32::try_from(row.get("uid")).unwrap_or(user),
                messages: row.get("qnum").unsigned_abs(),
                bytes: row.get("cbytes").unsigned_abs(),
                last_sender: row.int("lspid"),
                last_receiver: row.int("lrpid"),
            };
            facts.describe(&waiters)
        });
        Ok(objects.collect())
    }

    /// The System V queue with this identifier, of whatever user, as [`list`](Self::list) would describe it; `None` if
    /// there is none. Needs no `/proc`.
    ///
    /// # Errors
    ///
    /// [`Error::System`] with `EACCES` when this user may not read it.
    pub fn find(id: i32) -> Result<Option<Object>> {
        let facts = match Facts::ask(id) {
            Err(Errno::EINVAL | Errno::EIDRM) => return Ok(None),
            facts => facts.map_err(|errno| Error::system(describe_id(id), "msgctl", errno))?,
        };
        Ok(Some(facts.describe(&Waiters::look(SystemV::Queue))))
    }

    fn check_type(&self, kind: i32) -> Result<()> {
        // A negative one is reported as zero: the error's figures have no sign.
        let given = u64::try_from(kind).unwrap_or(0);
        Error::check_range(&self.object, "message type", given, 1..=i32::MAX as u64)
    }

    fn stat(&self) -> Result<libc::msqid_ds> {
        stat_id(self.id).map_err(|errno| self.refused("msgctl", errno))
    }

    fn check_open(&self) -> Result<()> {
        match self.closed.load(Ordering::Relaxed) {
            true => Err(Error::Closed { object: self.object.clone() }),
            false => Ok(()),
        }
    }

    /// EIDRM comes to those who wait when the queue is destroyed, EINVAL to those who come later: its
    /// other causes are checked before the calls.
    fn refused(&self, call: &'static str, errno: Errno) -> Error {
        let object = self.object.clone();
        match errno {
            Errno::EIDRM | Errno::EINVAL => Error::Closed { object },
            Errno::EAGAIN | Errno::ENOMSG => Error::WouldBlock { object },
            Errno::E2BIG => Error::Unusable {
                object,
                reason: format!("the next message is longer than {} bytes", self.message_size),
            },
            _ => Error::system(object, call, errno),
        }
    }

    fn send_as(&self, message: &[u8], kind: libc::c_long, wait: Wait) -> Result<()> {
        envelope(message.len(), |envelope| {
            // SAFETY: `envelope` has room for a word and `message.len()` bytes, and is not part of
            // `message`.
            unsafe {
                envelope.write(kind);
                let text = envelope.add(1).cast::<u8>();
                text.copy_from_nonoverlapping(message.as_ptr(), message.len());
            }
            self.call_with_wait(wait, "msgsnd", |flags| {
                // SAFETY: a type and `message.len()` bytes were written to `envelope`, which lives
                // through the call.
                match unsafe { libc::msgsnd(self.id, envelope.cast(), message.len(), flags) } {
                    -1 => Err(Errno::last()),
                    _ => Ok(()),
                }
            })
        })
    }

    fn receive_as(
        &self,
        buffer: &mut [u8],
        select: libc::c_long,
        flags: libc::c_int,
        wait: Wait,
    ) -> Result<(usize, libc::c_long)> {
        envelope(self.message_size, |envelope| {
            let length = self.call_with_wait(wait, "msgrcv", |wait| {
                let flags = flags | wait;
                let (to, most) = (envelope.cast(), self.message_size);
                // SAFETY: `envelope` has room for a word and `message_size` bytes, and lives through
                // the call.
                let result = unsafe { libc::msgrcv(self.id, to, most, select, flags) };
                usize::try_from(result).map_err(|_| Errno::last())
            })?;
            // SAFETY: the kernel wrote the type and `length` bytes after it, at most `message_size`;
            // `buffer` is at least so long (`check_buffer`), and is not part of the envelope.
            unsafe {
                let text = envelope.add(1).cast::<u8>();
                buffer.as_mut_ptr().copy_from_nonoverlapping(text, length);
                Ok((length, envelope.read()))
            }
        })
    }

    /// Calls `call` with the flags that make it wait, or not.
    fn call_with_wait<T>(
        &self,
        wait: Wait,
        name: &'static str,
        mut call: impl FnMut(libc::c_int) -> nix::Result<T>,
    ) -> Result<T> {
        let mut once = |flags| retry(|| call(flags));
        let result = match wait {
            Wait::Forever => once(0),
            Wait::Never => once(libc::IPC_NOWAIT),
            Wait::AtMost(timeout) => match once(libc::IPC_NOWAIT) {
                // The queue is full or empty: it takes time.
                Err(Errno::EAGAIN | Errno::ENOMSG) => {
                    let deadline = Deadline::monotonic(timeout);
                    interrupt::call_until(&deadline, &self.object, &mut call)?
                }
                result => result,
            },
        };
        result.map_err(|errno| self.refused(name, errno))
    }
}

impl Queue for SysvQueue {
    fn send(&self, message: &[u8], priority: u32, wait: Wait) -> Result<()> {
        self.check_open()?;
        check_message(&self.object, message, self.message_size, priority)?;
        self.send_as(message, LOWEST_PRIORITY_TYPE - libc::c_long::from(priority), wait)
    }

    fn receive(&self, buffer: &mut [u8], wait: Wait) -> Result<Received> {
        self.check_open()?;
        check_buffer(&self.object, buffer, self.message_size)?;
        let (length, kind) = self.receive_as(buffer, -LOWEST_PRIORITY_TYPE, 0, wait)?;
        Ok(Received { length, priority: u32::try_from(LOWEST_PRIORITY_TYPE - kind).unwrap_or(0) })
    }

    fn message_size(&self) -> usize {
        self.message_size
    }

    fn capacity(&self) -> usize {
        self.capacity
    }

    fn qsize(&self) -> Result<usize> {
        self.check_open()?;
        Ok(self.stat()?.msg_qnum as usize)
    }

    fn full(&self) -> Result<bool> {
        self.check_open()?;
        let data = self.stat()?;
        let most = data.msg_qbytes as usize;
        // The kernel lets the messages be no more than the bytes, for the sake of empty ones.
        Ok(data.__msg_cbytes as usize + self.message_size > most || data.msg_qnum as usize >= most)
    }

    fn close(&self) {
        self.closed.store(true, Ordering::Relaxed);
    }
}

impl Drop for SysvQueue {
    fn drop(&mut self) {
        if self.creator.is_some_and(Owner::is_here) {
            // Nobody is there to hear of a failure; `list` finds what stays. An identifier carries a
            // count of its uses, so a later queue in the same place has another one.
            let _ = remove_id(self.id);
        }
    }
}

/// What the kernel tells about a queue.
struct Facts {
    id: libc::c_int,
    key: Key,
    owner: u32,
    messages: u64,
    bytes: u64,
    last_sender: i32,
    last_receiver: i32,
}

impl Facts {
    fn ask(id: libc::c_int) -> nix::Result<Self> {
        let data = stat_id(id)?;
        Ok(Self {
            id,
            key: Key(data.msg_perm.__key),
            owner: data.msg_perm.uid,
            messages: data.msg_qnum,
            bytes: data.__msg_cbytes,
            last_sender: data.msg_lspid,
            last_receiver: data.msg_lrpid,
        })
    }

    fn last_users(&self) -> Vec<i32> {
        [self.last_sender, self.last_receiver].into_iter().filter(|pid| *pid != 0).collect()
    }

    /// The kernel does not count the processes that wait in a queue, so those that were seen are all.
    fn usage(&self, waiters: &Waiters) -> Usage {
        system_v_usage(0, &waiters.of(self.id), &self.last_users())
    }

    fn describe(self, waiters: &Waiters) -> Object {
        let id = self.id;
        let plural = if self.messages == 1 { "" } else { "s" };
        let mut details = format!("{} message{plural}", self.messages);
        for (done, pid) in [("sent", self.last_sender), ("received", self.last_receiver)] {
            if let Some(process) = describe_process(pid) {
                details += &format!("; last {done} by {process}");
            }
        }
        let usage = self.usage(waiters);
        if let (Some(gap), false) = (waiters.gap(), matches!(usage, Usage::Used(_))) {
            details += &format!("; {gap}");
        }
        Object {
            mechanism: "System V queue",
            name: self.key.to_string(),
            id: Some(id),
            owner: self.owner,
            bytes: self.bytes,
            last_users: self.last_users(),
            open_in: Vec::new(),
            waiting_in: waiters.of(id),
            usage,
            details,
            remover: Remover::new(
                move || remove_id(id),
                move || {
                    let waiters = Waiters::look(SystemV::Queue);
                    let usage = Self::ask(id).map(|facts| facts.usage(&waiters));
                    remove_unused_system_v(usage, || remove_id(id))
                },
            ),
        }
    }
}

fn stat_id(id: libc::c_int) -> nix::Result<libc::msqid_ds> {
    // SAFETY: all bytes zero are a valid msqid_ds, which is integers.
    let mut data: libc::msqid_ds = unsafe { std::mem::zeroed() };
    // SAFETY: `data` lives through the call and has room for what IPC_STAT writes.
    retry_libc(|| unsafe { libc::msgctl(id, libc::IPC_STAT, &raw mut data) }).map(|_| data)
}

/// Destroys the queue with this identifier; one that is gone is no error.
fn remove_id(id: libc::c_int) -> Result<()> {
    // SAFETY: IPC_RMID takes no data.
    let result = retry_libc(|| unsafe { libc::msgctl(id, libc::IPC_RMID, std::ptr::null_mut()) });
    ignore_gone(result).map_err(|errno| Error::system(describe_id(id), "msgctl", errno))
}

fn describe(key: Key) -> String {
    match key {
        Key::PRIVATE => "queue with a private key".to_owned(),
        key => format!("queue with {key}"),
    }
}

fn describe_id(id: libc::c_int) -> String {
    format!("queue with id {id}")
}

fn check_message_size(object: &str, message_size: usize) -> Result<()> {
    let most = limits::value("kernel/msgmax").unwrap_or(i32::MAX as u64);
    Error::check_range(object, "message length in bytes", message_size as u64, 1..=most)
}

/// Runs `work` on a buffer as `msgsnd` and `msgrcv` want it: a word for the type, then room for `bytes`
/// bytes, not initialised. It is made of words, so that the type is aligned.
fn envelope<R>(bytes: usize, work: impl FnOnce(*mut libc::c_long) -> R) -> R {
    /// A type, and 8 KiB, the usual `msgmax`.
    const ON_STACK: usize = 1 + 8192 / size_of::<libc::c_long>();
    let words = 1 + bytes.div_ceil(size_of::<libc::c_long>());
    if words <= ON_STACK {
        work([const { MaybeUninit::<libc::c_long>::uninit() }; ON_STACK].as_mut_ptr().cast())
    } else {
        work(Vec::with_capacity(words).as_mut_ptr())
    }
}
