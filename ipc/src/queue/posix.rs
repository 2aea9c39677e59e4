//! Queues of the kind that mq_overview(7) describes.

use std::ffi::{CStr, CString};
use std::fs;
use std::mem::ManuallyDrop;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, IntoRawFd, OwnedFd, RawFd};
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};

use nix::errno::Errno;
use nix::mqueue::{
    MQ_OFlag, MqAttr, MqdT, mq_close, mq_getattr, mq_open, mq_receive, mq_send, mq_timedreceive,
    mq_unlink,
};
use nix::sys::resource::{Resource, getrlimit};
use nix::sys::stat::{Mode, fchmod};
use nix::sys::time::TimeSpec;
use nix::unistd::geteuid;

use super::{Queue, Received, check_buffer, check_message};
use crate::error::{Error, Result};
use crate::file::FileIdentity;
use crate::limits;
use crate::object::{Object, Remover};
use crate::signal::{Signal, source};
use crate::sys::{self, Deadline, Owner, posix_name, retry, retry_libc};
use crate::usage::{OpenFiles, past_lease, remove_unused};
use crate::wait::Wait;

/// A POSIX message queue.
///
/// The number of messages and their greatest length are set at its creation, up to what the machine allows
/// (`fs/mqueue/msg_max` and `msgsize_max` in [`limits`](crate::limits), and `RLIMIT_MSGQUEUE` for the bytes
/// of all queues of a user). It is a descriptor ([`AsFd`]): `poll` and `epoll` report it as readable when
/// there is a message and as writable when there is a place.
///
/// Timeouts are measured on the wall clock, as POSIX prescribes: setting the clock shortens or lengthens
/// the wait.
#[derive(Debug)]
pub struct PosixQueue {
    /// Emptied by `drop` alone.
    descriptor: ManuallyDrop<MqdT>,
    name: CString,
    /// How errors call it.
    object: String,
    capacity: usize,
    message_size: usize,
    /// Whether this value removes the name.
    creator: bool,
    owner: Owner,
    closed: AtomicBool,
}

impl PosixQueue {
    /// Makes a new queue for `capacity` messages of up to `message_size` bytes, which only this user may
    /// open (mode 0600, whatever the umask). Dropping the value removes the name.
    ///
    /// # Errors
    ///
    /// [`Error::System`] with `EEXIST` when there is one with this name: of several processes that try at
    /// the same time exactly one succeeds. [`Error::OutOfRange`], with the machine's limit, for a capacity
    /// or size of zero or of more than it allows; [`Error::Limit`]: the machine has as many queues as it allows
    /// (`ENOSPC`), or this user as many bytes in queues, or this process as many descriptors (both `EMFILE`);
    /// [`Error::InvalidName`]. A process with `CAP_SYS_RESOURCE` may
    /// exceed `msg_max` and `msgsize_max` up to the limits built into the kernel.
    pub fn create(name: &str, capacity: usize, message_size: usize) -> Result<Self> {
        let checked = posix_name("queue", name)?;
        let object = describe(&checked);
        let range = 1..=i64::MAX as u64;
        Error::check_range(&object, CAPACITY, capacity as u64, range.clone())?;
        Error::check_range(&object, MESSAGE_SIZE, message_size as u64, range)?;
        let attributes = MqAttr::new(0, capacity as i64, message_size as i64, 0);
        let flags = MQ_OFlag::O_CREAT | MQ_OFlag::O_EXCL | MQ_OFlag::O_RDWR | MQ_OFlag::O_CLOEXEC;
        let mode = Mode::S_IRUSR | Mode::S_IWUSR;
        match retry(|| mq_open(checked.as_c_str(), flags, mode, Some(&attributes))) {
            Ok(descriptor) => {
                let queue = Self::from_descriptor(descriptor, checked, true)?;
                // The umask may have taken the owner's own rights away.
                fchmod(&queue, mode).map_err(|errno| queue.refused("fchmod", errno))?;
                Ok(queue)
            }
            Err(errno) => Err(creation_error(object, capacity, message_size, errno)),
        }
    }

    /// Opens an existing queue for reading and writing.
    ///
    /// # Errors
    ///
    /// [`Error::System`] with `ENOENT` when there is none, with `EACCES` when it belongs to another user;
    /// [`Error::InvalidName`].
    pub fn open(name: &str) -> Result<Self> {
        let name = posix_name("queue", name)?;
        let flags = MQ_OFlag::O_RDWR | MQ_OFlag::O_CLOEXEC;
        match retry(|| mq_open(name.as_c_str(), flags, Mode::empty(), None)) {
            Ok(descriptor) => Self::from_descriptor(descriptor, name, false),
            Err(errno) => Err(Error::system(describe(&name), "mq_open", errno)),
        }
    }

    /// Opens the queue with this name, or makes it if there is none. [`is_creator`](Self::is_creator) tells
    /// which; the process that made it removes the name.
    ///
    /// # Errors
    ///
    /// As [`create`](Self::create) and [`open`](Self::open), and [`Error::Unusable`] when it exists with
    /// another capacity or message size.
    pub fn create_or_open(name: &str, capacity: usize, message_size: usize) -> Result<Self> {
        let create = || Self::create(name, capacity, message_size);
        let queue = sys::create_or_open(create, || Self::open(name))?;
        if (queue.capacity, queue.message_size) == (capacity, message_size) {
            return Ok(queue);
        }
        let reason = format!(
            "it is for {} messages of {} bytes, and {capacity} of {message_size} were asked for",
            queue.capacity, queue.message_size,
        );
        Err(Error::unusable(&queue.object, reason))
    }

    /// Removes the name, whoever made it. Those who have the queue open may use it on.
    ///
    /// # Errors
    ///
    /// [`Error::System`] with `ENOENT` when there is none, with `EACCES` when it belongs to another user;
    /// [`Error::InvalidName`].
    pub fn remove(name: &str) -> Result<()> {
        let name = posix_name("queue", name)?;
        mq_unlink(name.as_c_str())
            .map_err(|errno| Error::system(describe(&name), "mq_unlink", errno))
    }

    fn from_descriptor(descriptor: MqdT, name: CString, creator: bool) -> Result<Self> {
        let object = describe(&name);
        let mut queue = Self {
            descriptor: ManuallyDrop::new(descriptor),
            name,
            object,
            capacity: 0,
            message_size: 0,
            creator,
            owner: Owner::here(),
            closed: AtomicBool::new(false),
        };
        let attributes = queue.attributes()?;
        // The kernel has no negative ones.
        queue.capacity = usize::try_from(attributes.maxmsg()).unwrap_or(0);
        queue.message_size = usize::try_from(attributes.msgsize()).unwrap_or(0);
        Ok(queue)
    }

    /// The name, with its slash.
    #[must_use]
    pub fn name(&self) -> &str {
        // It was made from a `&str`.
        self.name.to_str().unwrap_or_default()
    }

    /// Whether this value made the queue, and will remove its name.
    #[must_use]
    pub fn is_creator(&self) -> bool {
        self.creator
    }

    /// Lets the name outlive this value: somebody else must [`remove`](Self::remove) it.
    pub fn keep(&mut self) {
        self.creator = false;
    }

    /// Asks for `signal`, sent to this process, when a message comes to the empty queue and no reader
    /// waits for it (mq_notify(3), TLPI section 52.6).
    ///
    /// It works once: ask again after each signal, and *before* you empty the queue without waiting.
    /// In the other order, a message that comes between the last look and the asking is announced to
    /// nobody. The signal should be blocked and read, as by [`SignalFd`](crate::signal::SignalFd).
    ///
    /// The request ends with this value, with [`close`](Queue::close), and with the last `SignalFd` or
    /// [`Handler`](crate::signal::Handler) of the process for the signal, so that no notification reaches a
    /// process that no longer receives it. A `SignalFd` also discards a notification that is pending already.
    /// The kernel also ends the request when this process closes another descriptor of the same queue.
    ///
    /// # Errors
    ///
    /// [`Error::System`] with `EBUSY` when another process has asked: there is place for one.
    pub fn notify(&self, signal: Signal) -> Result<()> {
        self.check_open()?;
        // SAFETY: all bytes zero are a valid sigevent, which is integers and a pointer-sized union.
        let mut event: libc::sigevent = unsafe { std::mem::zeroed() };
        event.sigev_notify = libc::SIGEV_SIGNAL;
        event.sigev_signo = signal.number();
        let descriptor = self.descriptor.as_raw_fd();
        source::add(descriptor, signal, cancel_notification, || {
            // SAFETY: the descriptor is open, and `event` lives through the call.
            retry_libc(|| unsafe { libc::mq_notify(descriptor, &raw const event) })
        })
        .map(drop)
        .map_err(|errno| self.refused("mq_notify", errno))
    }

    /// Takes the request of [`notify`](Self::notify) back. If there is none of this process, nothing happens.
    ///
    /// # Errors
    ///
    /// See [`Queue`].
    pub fn cancel_notification(&self) -> Result<()> {
        self.check_open()?;
        source::remove(self.descriptor.as_raw_fd());
        Ok(())
    }

    /// All POSIX queues of this user.
    ///
    /// The system call interface has no list. The list is a file system of the type `mqueue`: most
    /// machines mount it at `/dev/mqueue`. Where it is not, or that mount has the queues of another IPC namespace, a
    /// private mount that no other process sees is made, for which the process needs `CAP_SYS_ADMIN`.
    ///
    /// # Errors
    ///
    /// [`Error::System`] with `EPERM` when `/dev/mqueue` is not mounted and the process may not mount.
    pub fn list() -> Result<Vec<Object>> {
        use std::os::unix::fs::MetadataExt;
        let (_mount, directory) = queue_directory()?;
        let user = geteuid().as_raw();
        let entries =
            fs::read_dir(&directory).map_err(|error| Error::io(DIRECTORY, "readdir", &error))?;
        let found: Vec<_> = entries
            .flatten()
            .filter_map(|entry| {
                // One that is removed meanwhile is not found.
                let metadata = entry.metadata().ok().filter(|metadata| metadata.uid() == user)?;
                let name = CString::new([b"/", entry.file_name().as_bytes()].concat()).ok()?;
                Some((name, FileIdentity::of(&metadata)))
            })
            .collect();
        // After the names: a process that makes a queue from now on is not asked about.
        let files = OpenFiles::look();
        let object = |(name, identity)| describe_queue(name, identity, user, &files);
        Ok(found.into_iter().map(object).collect())
    }

    /// The POSIX queue with this name, of whatever user, as [`list`](Self::list) would describe it; `None` if there is
    /// none. Needs no mount.
    ///
    /// # Errors
    ///
    /// [`Error::System`] with `EACCES` when this user may not open it for reading; [`Error::InvalidName`].
    pub fn find(name: &str) -> Result<Option<Object>> {
        let name = posix_name("queue", name)?;
        let stat = match open_to_look(&name) {
            Err(Errno::ENOENT) => return Ok(None),
            queue => queue
                .and_then(nix::sys::stat::fstat)
                .map_err(|errno| Error::system(describe(&name), "mq_open", errno))?,
        };
        // After the queue is closed here again.
        let files = OpenFiles::look();
        let identity = FileIdentity::new(stat.st_dev, stat.st_ino);
        Ok(Some(describe_queue(name, identity, stat.st_uid, &files)))
    }

    fn attributes(&self) -> Result<MqAttr> {
        mq_getattr(&self.descriptor).map_err(|errno| self.refused("mq_getattr", errno))
    }

    fn message_count(&self) -> Result<usize> {
        self.check_open()?;
        Ok(usize::try_from(self.attributes()?.curmsgs()).unwrap_or(0))
    }

    fn check_open(&self) -> Result<()> {
        match self.closed.load(Ordering::Relaxed) {
            true => Err(Error::Closed { object: self.object.clone() }),
            false => Ok(()),
        }
    }

    fn refused(&self, call: &'static str, errno: Errno) -> Error {
        Error::system(&self.object, call, errno)
    }

    fn timed_send(&self, message: &[u8], priority: u32, at: &TimeSpec) -> nix::Result<()> {
        let (data, length) = (message.as_ptr().cast(), message.len());
        let descriptor = self.descriptor.as_raw_fd();
        // SAFETY: `data` is readable for `length` bytes, and `at` is a valid time, both through the call.
        retry_libc(|| unsafe {
            libc::mq_timedsend(descriptor, data, length, priority, at.as_ref())
        })
        .map(drop)
    }

    fn timed_receive(&self, buffer: &mut [u8], at: &TimeSpec) -> nix::Result<Received> {
        let mut priority = 0;
        retry(|| mq_timedreceive(&self.descriptor, buffer, &mut priority, at))
            .map(|length| Received { length, priority })
    }
}

/// A moment long ago: a timed call with it does what can be done at once, and never sleeps. `O_NONBLOCK`
/// would not do, since it belongs to the open queue and so would hold for other threads too.
const ELAPSED: TimeSpec = TimeSpec::new(0, 0);

impl Queue for PosixQueue {
    fn send(&self, message: &[u8], priority: u32, wait: Wait) -> Result<()> {
        self.check_open()?;
        check_message(&self.object, message, self.message_size, priority)?;
        let (result, deadline) = match wait {
            Wait::Forever => (retry(|| mq_send(&self.descriptor, message, priority)), None),
            Wait::Never => (self.timed_send(message, priority, &ELAPSED), None),
            Wait::AtMost(timeout) => {
                let deadline = Deadline::wall(timeout);
                (self.timed_send(message, priority, deadline.at()), Some(deadline))
            }
        };
        result.map_err(|errno| self.wait_error(errno, "mq_send", deadline))
    }

    fn receive(&self, buffer: &mut [u8], wait: Wait) -> Result<Received> {
        self.check_open()?;
        check_buffer(&self.object, buffer, self.message_size)?;
        let (result, deadline) = match wait {
            Wait::Forever => {
                let mut priority = 0;
                let length = retry(|| mq_receive(&self.descriptor, buffer, &mut priority));
                (length.map(|length| Received { length, priority }), None)
            }
            Wait::Never => (self.timed_receive(buffer, &ELAPSED), None),
            Wait::AtMost(timeout) => {
                let deadline = Deadline::wall(timeout);
                (self.timed_receive(buffer, deadline.at()), Some(deadline))
            }
        };
        result.map_err(|errno| self.wait_error(errno, "mq_receive", deadline))
    }

    fn message_size(&self) -> usize {
        self.message_size
    }

    fn capacity(&self) -> usize {
        self.capacity
    }

    fn qsize(&self) -> Result<usize> {
        self.message_count()
    }

    fn full(&self) -> Result<bool> {
        Ok(self.message_count()? >= self.capacity)
    }

    fn close(&self) {
        // The descriptor stays open until the drop: another thread may be in a call with its number,
        // which the next `open` of anything would get.
        self.closed.store(true, Ordering::Relaxed);
        if self.owner.is_here() {
            source::remove(self.descriptor.as_raw_fd());
        }
    }
}

impl PosixQueue {
    /// The error of a call that could not be done in time, or at all.
    fn wait_error(&self, errno: Errno, call: &'static str, deadline: Option<Deadline>) -> Error {
        match (errno, deadline) {
            (Errno::ETIMEDOUT, Some(deadline)) => deadline.passed(&self.object),
            // EAGAIN comes if somebody made the shared open queue non-blocking.
            (Errno::ETIMEDOUT | Errno::EAGAIN, _) => {
                Error::WouldBlock { object: self.object.clone() }
            }
            _ => self.refused(call, errno),
        }
    }
}

impl AsFd for PosixQueue {
    /// For `poll` and its like. It stays open after [`Queue::close`], until the value is dropped.
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.descriptor.as_fd()
    }
}

impl Drop for PosixQueue {
    fn drop(&mut self) {
        let mut identity = None;
        if self.owner.is_here() {
            source::remove(self.descriptor.as_raw_fd());
            identity = FileIdentity::of_descriptor(self.as_fd()).ok().filter(|_| self.creator);
        }
        // A failure cannot be reported from here; `list` finds the queue that stays.
        let removed = identity.is_none_or(|it| unlink_if_same(&self.name, it).is_ok());
        // SAFETY: nothing uses the descriptor after this.
        let descriptor = unsafe { ManuallyDrop::take(&mut self.descriptor) };
        let _ = mq_close(descriptor);
        // A look at the name takes a descriptor, and this one may have been the last.
        if let (false, Some(identity)) = (removed, identity) {
            let _ = unlink_if_same(&self.name, identity);
        }
    }
}

/// Takes a notification of this process back. Without one, the kernel does nothing.
fn cancel_notification(descriptor: RawFd) {
    // SAFETY: no event means "no longer"; nothing but numbers is passed.
    let _ = retry_libc(|| unsafe { libc::mq_notify(descriptor, std::ptr::null()) });
}

fn describe_queue(name: CString, identity: FileIdentity, owner: u32, files: &OpenFiles) -> Object {
    // Once for all questions: others that look at the same moment see it open.
    let queue = open_to_look(&name);
    let (bytes, messages) = queue.as_ref().map_or((0, None), waiting);
    let details = match messages {
        Some(1) => "1 message".to_owned(),
        Some(count) => format!("{count} messages"),
        None => String::new(),
    };
    let usage = files.usage(identity, || queue);
    Object {
        mechanism: "POSIX queue",
        name: name.to_string_lossy().into_owned(),
        id: None,
        owner,
        bytes,
        last_users: Vec::new(),
        open_in: files.users(identity),
        waiting_in: Vec::new(),
        usage,
        details,
        remover: {
            let (again, name_again) = (name.clone(), name.clone());
            Remover::new(
                move || unlink_if_same(&name, identity),
                move || {
                    let open = || open_to_look(&again);
                    remove_unused(identity, open, || unlink(&name_again))
                },
            )
        },
    }
}

/// Opens a queue for a look at it.
fn open_to_look(name: &CStr) -> nix::Result<OwnedFd> {
    let flags = MQ_OFlag::O_RDONLY | MQ_OFlag::O_CLOEXEC | MQ_OFlag::O_NONBLOCK;
    let queue = past_lease(|| mq_open(name, flags, Mode::empty(), None))?;
    // SAFETY: the descriptor was made here, and on Linux a queue is closed as any other.
    Ok(unsafe { OwnedFd::from_raw_fd(queue.into_raw_fd()) })
}

/// Removes the name if it still means the queue with this identity: somebody may have removed the queue
/// and made another with the same name.
fn unlink_if_same(name: &CStr, identity: FileIdentity) -> Result<()> {
    match open_to_look(name) {
        Ok(queue) => {
            if FileIdentity::of_descriptor(&queue) != Ok(identity) {
                return Ok(());
            }
        }
        Err(Errno::ENOENT) => return Ok(()),
        Err(errno @ (Errno::EMFILE | Errno::ENFILE)) => {
            return Err(Error::system(describe(name), "mq_open", errno));
        }
        // It cannot be looked at. The owner may still remove it.
        Err(_) => {}
    }
    unlink(name)
}

/// Removes the name; one that is gone is not an error.
fn unlink(name: &CStr) -> Result<()> {
    match mq_unlink(name) {
        Ok(()) | Err(Errno::ENOENT) => Ok(()),
        Err(errno) => Err(Error::system(describe(name), "mq_unlink", errno)),
    }
}

fn describe(name: &CStr) -> String {
    format!("queue {}", name.to_string_lossy())
}

const CAPACITY: &str = "number of messages";
const MESSAGE_SIZE: &str = "message length in bytes";

/// Finds out which limit the kernel meant when it refused to make a queue.
fn creation_error(object: String, capacity: usize, message_size: usize, errno: Errno) -> Error {
    let refused = Error::system(&object, "mq_open", errno);
    match errno {
        Errno::EINVAL | Errno::EOVERFLOW => {
            // The second of each pair is HARD_MSGMAX and HARD_MSGSIZEMAX of mq_overview(7).
            let privileged = limits::may_exceed_queue_limits();
            let limit =
                |file, built_in| if privileged { Some(built_in) } else { limits::value(file) };
            let checked = [
                (CAPACITY, capacity, limit("fs/mqueue/msg_max", 65_536)),
                (MESSAGE_SIZE, message_size, limit("fs/mqueue/msgsize_max", 16_777_216)),
            ]
            .into_iter()
            .try_for_each(|(quantity, given, most)| {
                Error::check_range(&object, quantity, given as u64, 1..=most.unwrap_or(u64::MAX))
            });
            checked.err().unwrap_or(refused)
        }
        // For too many bytes in all queues as well. Of this one alone they may be too many.
        Errno::EMFILE => {
            let bytes = capacity.saturating_mul(message_size) as u64;
            let most = getrlimit(Resource::RLIMIT_MSGQUEUE).map_or(u64::MAX, |(soft, _)| soft);
            let quantity = "bytes in all queues of this user (RLIMIT_MSGQUEUE)";
            Error::check_range(&object, quantity, bytes, 1..=most).err().unwrap_or(refused)
        }
        _ => refused,
    }
}

const DIRECTORY: &str = "/dev/mqueue";

/// `MQUEUE_MAGIC` in the kernel: what statfs(2) says of the file system.
const MQUEUE_MAGIC: libc::__fsword_t = 0x1980_0202;

/// A directory in which the queues appear as files, and the mount that holds it. That is [`DIRECTORY`], unless it has the
/// queues of another IPC namespace (ipc_namespaces(7)), which a process that may not mount cannot find out.
fn queue_directory() -> Result<(Option<OwnedFd>, PathBuf)> {
    let mount = private_mount();
    let is_mounted = nix::sys::statfs::statfs(DIRECTORY)
        .is_ok_and(|stat| stat.filesystem_type().0 == MQUEUE_MAGIC);
    let is_own = |mount: &OwnedFd| {
        let identity = FileIdentity::of_descriptor(mount);
        fs::metadata(DIRECTORY).is_ok_and(|found| Ok(FileIdentity::of(&found)) == identity)
    };
    if is_mounted && mount.as_ref().map_or(true, is_own) {
        return Ok((None, PathBuf::from(DIRECTORY)));
    }
    let mount = mount?;
    let path = PathBuf::from(format!("/proc/self/fd/{}", mount.as_raw_fd()));
    Ok((Some(mount), path))
}

/// Mounts the file system of queues at no place at all: it is reached through the descriptor, and goes
/// away with it. (fsopen(2), fsconfig(2), fsmount(2); Linux 5.2.)
fn private_mount() -> Result<OwnedFd> {
    const FSOPEN_CLOEXEC: libc::c_long = 1;
    const FSCONFIG_CMD_CREATE: libc::c_long = 6;
    const FSMOUNT_CLOEXEC: libc::c_long = 1;
    const UNUSED: libc::c_long = 0;
    let owned = |call, result: libc::c_long| match result {
        -1 => Err(Error::last(DIRECTORY, call)),
        // SAFETY: the kernel has just made this descriptor for us, and descriptors fit an int.
        fd => Ok(unsafe { OwnedFd::from_raw_fd(fd as libc::c_int) }),
    };
    // SAFETY: the first argument is a string with a NUL at its end, the second a flag.
    let made = unsafe { libc::syscall(libc::SYS_fsopen, c"mqueue".as_ptr(), FSOPEN_CLOEXEC) };
    let context = owned("fsopen", made)?;
    let fd = libc::c_long::from(context.as_raw_fd());
    // SAFETY: this command takes a descriptor, which is open, and ignores the null pointers.
    let made = unsafe {
        libc::syscall(libc::SYS_fsconfig, fd, FSCONFIG_CMD_CREATE, UNUSED, UNUSED, UNUSED)
    };
    if made == -1 {
        return Err(Error::last(DIRECTORY, "fsconfig"));
    }
    // SAFETY: it takes a descriptor, which is open, and flags.
    let made = unsafe { libc::syscall(libc::SYS_fsmount, fd, FSMOUNT_CLOEXEC, UNUSED) };
    owned("fsmount", made)
}

/// The bytes and the number of the messages in a queue. Its file reads `QSIZE:129 NOTIFY:2 SIGNO:0 NOTIFY_PID:8260`.
fn waiting(queue: &OwnedFd) -> (u64, Option<i64>) {
    let mut text = [0; 128];
    let length = nix::unistd::read(queue, &mut text).unwrap_or(0);
    let text = String::from_utf8_lossy(&text[..length]);
    let size = text.split_whitespace().find_map(|field| field.strip_prefix("QSIZE:"));
    let bytes = size.and_then(|digits| digits.parse().ok()).unwrap_or(0);
    // SAFETY: the descriptor is a queue's, and open. A `MqdT` does not close it.
    let queue = unsafe { MqdT::from_raw_fd(queue.as_raw_fd()) };
    (bytes, mq_getattr(&queue).ok().map(|attributes| attributes.curmsgs()))
}
