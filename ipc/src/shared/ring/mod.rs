//! Rings of messages in shared memory: no system call per message.
//!
//! | type | senders | messages | checksum | choose it when |
//! |---|---|---|---|---|
//! | [`Ring`] | one | any length up to half of the ring | none | two processes talk, and fast |
//! | [`RingMany`] | up to 64 | any length up to that of a slot | yes | many report to one |
//!
//! Both have one receiver. Each end belongs to one process at a time; another may take it over when its owner
//! has left or died.
//!
//! # Waiting
//!
//! [`WaitStrategy`] is chosen when the ring is made, for both sides. [`WaitStrategy::Sleep`] looks for a moment, then sleeps
//! on a futex; whoever puts or gets wakes the other with a system call only if it sleeps, and pays a
//! memory fence (some five nanoseconds) to know that. [`WaitStrategy::Spin`] never sleeps: the lowest latency, and
//! a processor that does nothing else. It gives the processor up between looks when it has looked for long,
//! so that two spinning sides get on even on one processor.
//!
//! # When a peer dies
//!
//! A side that waits looks every tenth of a second whether the other still lives (its number and the time of
//! its start, as `/proc` tells them). So a waiting call returns
//! [`Error::Closed`](crate::Error::Closed) at once when the peer was dropped in good order, and within about a tenth of a second when it
//! was killed; what it had put is delivered before. A call that need not wait does not look.
//!
//! - A sender killed in the middle of a put: in a [`Ring`] nothing is seen of that message. In a
//!   [`RingMany`] its slot is passed over, by a receiver who finds its owner dead, and counted in
//!   [`Receiver::torn`]; other senders are not disturbed.
//! - A receiver killed in the middle of a get: the next receiver gets that message again.
//! - Either, killed after its work and before it has woken the other side: that side looks again within a tenth of a
//!   second.
//! - A sender of a [`RingMany`] that is alive, but stopped in the middle of a put, holds up the receiver: order
//!   is kept, and the living are not passed over.
//!
//! [All cases](crate#when-a-process-is-killed), each with its test.
//!
//! Process numbers mean something within one pid namespace only (pid_namespaces(7)): across two, each side would take the
//! other for dead. So an end is refused, with [`Error::Unusable`](crate::Error::Unusable), to a process in another pid
//! namespace than that of the ring's creator: to one in a container, say, that shares `/dev/shm` with the host.
//!
//! # Trust
//!
//! Peers are trusted to run this code. What a faulty one writes may spoil messages, and is answered with
//! [`Error::Unusable`](crate::Error::Unusable) where it is noticed; no index that is read from the ring is used unchecked.

// The algorithms are `single` and `many`, over `base`; `one_sender` and `many_senders` put them into shared memory. The
// other files are the shell over both.
mod algorithm;
mod base;
mod buffer;
mod bytes;
mod ends;
mod many;
mod many_senders;
mod one_sender;
mod receiver;
mod sender;
mod single;
mod waiting;

pub use algorithm::{Many, Single};
pub use buffer::RingBuffer;
pub use receiver::Receiver;
pub use sender::Sender;
pub use waiting::WaitStrategy;

use super::sync;

/// A ring of one sender and one receiver.
///
/// Messages have any length up to [`longest`](RingBuffer::longest). There is no lock; either side costs about one
/// copy and one write that the other sees, see the [module](self).
///
/// ```
/// use ipc::shared::Location;
/// use ipc::shared::ring::{Ring, WaitStrategy};
///
/// let ring = Ring::create(Location::Memfd("ring".into()), 4096, WaitStrategy::Sleep)?;
/// let mut sender = ring.sender()?;
/// // In another process, which opens the ring by its address:
/// let same = Ring::open(ring.memory().address().parse::<Location>()?)?;
/// let mut receiver = same.receiver()?;
///
/// sender.put(b"hello")?;
/// let mut message = Vec::new();
/// receiver.get(&mut message)?;
/// assert_eq!(message, b"hello");
///
/// drop(sender);
/// assert!(matches!(receiver.get(&mut message), Err(ipc::Error::Closed { .. })));
/// # Ok::<(), ipc::Error>(())
/// ```
pub type Ring = RingBuffer<Single>;

/// A ring of up to 64 senders and one receiver.
///
/// It has slots of one size, and messages of any length up to that. What one sender puts comes out in the order in
/// which it was put; between senders there is no order. Every message carries a checksum. See the
/// [module](self) for what happens when a sender dies.
///
/// ```
/// use ipc::shared::Location;
/// use ipc::shared::ring::{RingMany, WaitStrategy};
///
/// let ring = RingMany::create(Location::Memfd("reports".into()), 16, 100, WaitStrategy::Sleep)?;
/// let mut receiver = ring.receiver()?;
/// // In as many other processes as report:
/// let mut one = ring.sender()?;
/// let mut other = ring.sender()?;
/// one.put(b"from one")?;
/// other.put(b"from the other")?;
///
/// let mut message = Vec::new();
/// receiver.get(&mut message)?;
/// assert_eq!(message, b"from one");
/// # Ok::<(), ipc::Error>(())
/// ```
pub type RingMany = RingBuffer<Many>;
