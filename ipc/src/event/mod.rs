//! An event: "it has happened", for any number of waiters in any process.
//!
//! # What it is
//!
//! A flag in [shared memory](crate::shared), and a futex to sleep on: the `Event` of the course's
//! `multiprocessing`. It is clear at first; [`set`](Event::set) sets it and wakes all who wait;
//! [`clear`](Event::clear) clears it. (Drepper, "Futexes are tricky", 2011; futex(7).)
//!
//! ```
//! use ipc::event::Event;
//! use std::time::Duration;
//!
//! let name = format!("/doc-event-{}", std::process::id());
//! let ready = Event::create(name.as_str())?;
//! assert!(matches!(ready.wait_timeout(Duration::ZERO), Err(ipc::Error::TimedOut { .. })));
//!
//! // In another process:
//! let same = Event::open(name.as_str())?;
//! same.set();
//!
//! ready.wait();
//! assert!(ready.is_set());
//! # Ok::<(), ipc::Error>(())
//! ```
//!
//! # When to choose it
//!
//! To let others go on when something has been done once: configuration is loaded, a phase is over. Not to count
//! (each `set` more than the first is nothing): that is a [semaphore](crate::semaphore).
//!
//! An eventfd (eventfd(2)) is the choice when the waiter waits for other things too: it is a descriptor, so it goes
//! into `poll` together with sockets, and it counts. It has to be passed on as a descriptor, wakes one
//! reader for each write unless it is only polled, and costs a system call for each `set` and each wait. An
//! [`Event`] is found by a name, and costs a system call only to sleep and to wake sleepers.
//!
//! # No wake-up is lost
//!
//! A process that waited when [`set`](Event::set) was called is released, even if [`clear`](Event::clear) follows before it
//! has woken: the word counts how often it was cleared. A thousand million clears (2^30) during one sleep would go
//! unnoticed.
//!
//! # Name, death, cost
//!
//! The name is that of the segment, see [`shared`](crate::shared#locations-and-the-lifetime-of-their-names): the creator removes it.
//!
//! A waiter that is killed disturbs no other. If a process is killed inside [`set`](Event::set), the event may be set
//! while its waiters still sleep. The next `set`, `is_set` or wait of any process wakes them; after a `clear` it is the next
//! `set` ([all cases](crate#when-a-process-is-killed)). Where no such call comes, and where the process that was to set
//! the event is killed before, only a wait with a timeout ends.
//!
//! `is_set`, `clear`, and `set` without waiters take one atomic instruction; a wait that sleeps, and the `set` that ends
//! it, a system call each. After a wait that ended by its timeout, or by a kill, the next `set` makes a system call
//! that wakes no process.

mod flag;

use std::sync::Arc;
use std::time::Duration;

use crate::error::Result;
use crate::shared::sync;
use crate::shared::{Location, Memory, Part, Shared};
use crate::sys::Deadline;
use flag::Flag;

// SAFETY: atomics only, any bits.
unsafe impl Shared for Flag {}

/// A flag that processes wait for, see the [module](self).
pub struct Event(Part<Flag>);

const HOLDS: &str = "event";

impl Event {
    /// Makes an event, which is clear.
    ///
    /// # Errors
    ///
    /// As for [`Value::create`](crate::shared::Value::create).
    pub fn create(location: impl Into<Location>) -> Result<Self> {
        let size = size_of::<Flag>() as u64;
        let memory = Memory::create(location.into(), HOLDS, size, [0; 3], |_| Ok(()))?;
        Self::new(&memory)
    }

    /// Opens an event that another process made.
    ///
    /// # Errors
    ///
    /// As for [`Value::open`](crate::shared::Value::open).
    pub fn open(location: impl Into<Location>) -> Result<Self> {
        let (memory, _) = Memory::open(location.into(), HOLDS)?;
        Self::new(&memory)
    }

    fn new(memory: &Arc<Memory>) -> Result<Self> {
        Ok(Self(memory.part(Memory::CONTENT)?))
    }

    /// Sets it and releases all waiters. What was done before is seen by every process that finds it set.
    pub fn set(&self) {
        self.0.set();
    }

    /// Clears it: a process that waits from now on waits for the next [`set`](Self::set).
    pub fn clear(&self) {
        self.0.clear();
    }

    /// Whether it is set at this moment.
    #[must_use]
    pub fn is_set(&self) -> bool {
        self.0.is_set()
    }

    /// Waits until it is set; returns at once if it is.
    pub fn wait(&self) {
        self.0.wait(None);
    }

    /// As [`wait`](Self::wait), but not longer than `timeout`.
    ///
    /// # Errors
    ///
    /// [`Error::TimedOut`](crate::Error::TimedOut).
    pub fn wait_timeout(&self, timeout: Duration) -> Result<()> {
        let deadline = Deadline::monotonic(timeout);
        match self.0.wait(Some(&deadline)) {
            true => Ok(()),
            false => Err(deadline.passed(self.memory().name())),
        }
    }

    /// The segment that it lies in.
    #[must_use]
    pub fn memory(&self) -> &Memory {
        self.0.memory()
    }
}
