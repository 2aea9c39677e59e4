//! Message queues: whole messages, in order, kept by the kernel until somebody takes them.
//!
//! A pipe carries bytes, and its reader must find where a message ends. A queue carries messages: each
//! [`get`](Queue::get) gives exactly what one [`put`](Queue::put) put in, and the more urgent one first.
//! The names are those of Python's `multiprocessing.Queue`, over two mechanisms of the kernel:
//!
//! | | [`PosixQueue`] (mq_overview(7), TLPI chapter 52) | [`SysvQueue`] (sysvipc(7), TLPI chapter 46) |
//! |---|---|---|
//! | called | `/name` | by a number, see [`Key`](crate::Key) |
//! | bounded by | a number of messages, and a longest message | bytes in all, and the machine's longest message |
//! | priorities | of the kernel, found at once | made from message types, found by a walk through the queue |
//! | selective receive | no | by type ([`SysvQueue::receive_type`]) |
//! | timeouts | of the kernel | made by a timer signal, see [`SysvQueue`] |
//! | `poll` | yes ([`AsFd`](std::os::fd::AsFd)) | no |
//! | being told of a message | a signal ([`PosixQueue::notify`]) | no |
//!
//! # When to choose it
//!
//! For requests and jobs: messages of some hundred bytes, several writers or readers, writers that may end
//! before the message is read. Between relatives a [`pipe`](crate::pipe) is simpler; for large data, put
//! the data into [`shared`](crate::shared) memory and the news of it into a queue; for conversations in which
//! each side must notice the death of the other, take a [`socket`](crate::socket). Of the two kinds take the
//! POSIX one, unless you need selective receive or talk to a program that has the other.
//!
//! # The lifetime of the name
//!
//! A queue lives until it is removed or the machine is switched off; messages in it wait for as long. The
//! creator's value removes it when it is dropped, unless [`PosixQueue::keep`] or [`SysvQueue::keep`] was
//! called. The kinds differ in what that means to the others: a POSIX queue loses its name only, and those
//! who have it open use it to the end; a System V queue is destroyed at once with the messages in it, and
//! whoever waits at it gets [`Error::Closed`]. A creator that was killed leaves the queue behind: [`list`]
//! finds it, and [`Object::remove`](crate::Object::remove) removes it.
//!
//! # When a peer dies
//!
//! Nothing happens to the queue. A message is in it whole or not at all, so a writer killed in the middle
//! of a `put` leaves no half message; a message that a reader took is gone with the reader. Nobody is
//! told of the death: those who wait go on waiting, so wait with a timeout where it matters.
//!
//! # Closing
//!
//! [`Queue::close`] ends the use of the queue through this value, as in Python: from then on `put`
//! and `get` give [`Error::Closed`]. It says nothing to other processes, since neither kernel mechanism
//! has a way to. A thread of this process that waits in the same value at that moment goes on to wait for
//! its message or its timeout. To tell the readers that nothing more will come, put a message that means
//! so, one for each reader; with a System V queue dropping the creator's value also wakes everybody, at the
//! price of the unread messages.
//!
//! # Cost
//!
//! One system call for each message at each end, and two copies of it: into the kernel and out again. The
//! System V kind copies once more on each side, since its messages begin with their type. A sleeping
//! reader adds the two context switches of its wake-up.
//!
//! # Example
//!
//! ```
//! use ipc::Wait;
//! use ipc::queue::{PosixQueue, Queue, SysvQueue};
//! use std::time::Duration;
//!
//! // What follows works on both kinds.
//! fn exchange(queue: &dyn Queue) -> ipc::Result<()> {
//!     queue.put(b"tidy up")?;
//!     queue.send(b"fire!", 9, Wait::Forever)?;
//!     assert_eq!(queue.qsize()?, 2);
//!     assert_eq!(queue.get()?, b"fire!");
//!     assert_eq!(queue.get()?, b"tidy up");
//!     assert!(queue.empty()?);
//!     assert!(matches!(queue.try_get(), Err(ipc::Error::WouldBlock { .. })));
//!     let nothing = queue.get_timeout(Duration::from_millis(1));
//!     assert!(matches!(nothing, Err(ipc::Error::TimedOut { .. })));
//!     Ok(())
//! }
//!
//! let name = format!("/ipc-doc-{}", std::process::id());
//! exchange(&PosixQueue::create(&name, 4, 64)?)?;
//! exchange(&SysvQueue::create(ipc::Key::PRIVATE, 4, 64)?)?;
//! # Ok::<(), ipc::Error>(())
//! ```

mod interrupt;
mod posix;
mod sysv;

use std::time::Duration;

pub use posix::PosixQueue;
pub use sysv::{Select, Status, SysvQueue};

use crate::error::{Error, Result};
use crate::object::Object;
use crate::wait::Wait;

/// The highest priority of a message; the lowest, and that of [`Queue::put`], is 0. On Linux this is
/// `MQ_PRIO_MAX` less one.
pub const HIGHEST_PRIORITY: u32 = 32_767;

/// What [`Queue::receive`] put into the buffer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Received {
    /// The length of the message in bytes: it stands at the beginning of the buffer.
    pub length: usize,
    /// The priority that it was sent with. Of a message from [`SysvQueue::send_type`]: the priority that
    /// its type stands for, 0 for types that stand for none.
    pub priority: u32,
}

/// A bounded queue of whole messages; see the [module](self) for the kinds.
///
/// All methods take `&self`, and any number of threads and processes may use a queue at the same time.
/// Messages of one priority come in the order in which they were put.
///
/// Apart from what the methods say, each gives [`Error::Closed`] after [`close`](Self::close) or when
/// the System V queue was removed, and [`Error::System`] when the kernel refuses for another reason.
pub trait Queue {
    /// Puts a message in.
    ///
    /// # Errors
    ///
    /// [`Error::OutOfRange`] for a message longer than [`message_size`](Self::message_size) or a priority
    /// above [`HIGHEST_PRIORITY`]; [`Error::WouldBlock`] or [`Error::TimedOut`] if the queue is full and
    /// stays so for as long as `wait` says. In all cases nothing was put.
    fn send(&self, message: &[u8], priority: u32, wait: Wait) -> Result<()>;

    /// Takes the oldest of the messages with the highest priority into `buffer`.
    ///
    /// # Errors
    ///
    /// [`Error::OutOfRange`] for a buffer shorter than [`message_size`](Self::message_size);
    /// [`Error::WouldBlock`] or [`Error::TimedOut`] if the queue is empty and stays so for as long as
    /// `wait` says; [`Error::Unusable`] if the next message is longer than the agreed size, which can happen
    /// in a System V queue alone. In all cases nothing was taken.
    fn receive(&self, buffer: &mut [u8], wait: Wait) -> Result<Received>;

    /// The longest message, in bytes.
    fn message_size(&self) -> usize;

    /// How many messages of the full size find a place.
    fn capacity(&self) -> usize;

    /// How many messages wait in the queue. True at the moment of asking; others may change it at once.
    ///
    /// # Errors
    ///
    /// See the trait.
    fn qsize(&self) -> Result<usize>;

    /// Whether a message of the full size would have to wait, with the same reservation as
    /// [`qsize`](Self::qsize). (A System V queue counts bytes: a shorter one may still find a place.)
    ///
    /// # Errors
    ///
    /// See the trait.
    fn full(&self) -> Result<bool>;

    /// Whether there is no message, with the same reservation as [`qsize`](Self::qsize).
    ///
    /// # Errors
    ///
    /// See the trait.
    fn empty(&self) -> Result<bool> {
        Ok(self.qsize()? == 0)
    }

    /// Ends the use of the queue through this value; see [the module](self#closing). May be repeated.
    fn close(&self);

    /// Puts a message in with priority 0, and waits for a place if there is none.
    ///
    /// # Errors
    ///
    /// As [`send`](Self::send).
    fn put(&self, message: &[u8]) -> Result<()> {
        self.send(message, 0, Wait::Forever)
    }

    /// As [`put`](Self::put), if there is a place for it now.
    ///
    /// # Errors
    ///
    /// As [`send`](Self::send); [`Error::WouldBlock`] when the queue is full.
    fn try_put(&self, message: &[u8]) -> Result<()> {
        self.send(message, 0, Wait::Never)
    }

    /// As [`put`](Self::put), but waits no longer than `timeout`.
    ///
    /// # Errors
    ///
    /// As [`send`](Self::send); [`Error::TimedOut`] when no place came free.
    fn put_timeout(&self, message: &[u8], timeout: Duration) -> Result<()> {
        self.send(message, 0, Wait::AtMost(timeout))
    }

    /// Takes the next message, and waits for one if there is none. [`receive`](Self::receive) does the
    /// same without a new `Vec` for each message.
    ///
    /// # Errors
    ///
    /// As [`receive`](Self::receive).
    fn get(&self) -> Result<Vec<u8>> {
        get(self, Wait::Forever)
    }

    /// Takes the next message, if there is one now.
    ///
    /// # Errors
    ///
    /// As [`receive`](Self::receive); [`Error::WouldBlock`] when the queue is empty.
    fn try_get(&self) -> Result<Vec<u8>> {
        get(self, Wait::Never)
    }

    /// Takes the next message, but waits no longer than `timeout` for one.
    ///
    /// # Errors
    ///
    /// As [`receive`](Self::receive); [`Error::TimedOut`] when no message came.
    fn get_timeout(&self, timeout: Duration) -> Result<Vec<u8>> {
        get(self, Wait::AtMost(timeout))
    }
}

fn get<Q: Queue + ?Sized>(queue: &Q, wait: Wait) -> Result<Vec<u8>> {
    let mut message = vec![0; queue.message_size()];
    let received = queue.receive(&mut message, wait)?;
    message.truncate(received.length);
    Ok(message)
}

/// All queues of this user, of both kinds, those left behind by killed programs among them.
///
/// # Errors
///
/// As [`PosixQueue::list`] and [`SysvQueue::list`]. Where the first cannot look, the second still can: ask
/// each for itself to have what there is.
pub fn list() -> Result<Vec<Object>> {
    let mut objects = PosixQueue::list()?;
    objects.extend(SysvQueue::list()?);
    Ok(objects)
}

/// Checks what both kinds check before a message is sent.
fn check_message(object: &str, message: &[u8], longest: usize, priority: u32) -> Result<()> {
    let length = message.len() as u64;
    Error::check_range(object, "message length in bytes", length, 0..=longest as u64)?;
    Error::check_range(object, "priority", priority.into(), 0..=HIGHEST_PRIORITY.into())
}

/// A buffer may be longer than anything that a queue holds.
const LONGEST_BUFFER: u64 = isize::MAX as u64;

fn check_buffer(object: &str, buffer: &[u8], longest: usize) -> Result<()> {
    let range = longest as u64..=LONGEST_BUFFER;
    Error::check_range(object, "buffer length in bytes", buffer.len() as u64, range)
}
