//! epoll(7), from Linux 2.5.45, 2002: the kernel keeps the set, and is told what changes.
//!
//! A wait gives those that are ready, and costs nothing for the others. A closed descriptor leaves the set by
//! itself.

use crate::options::Trigger;
use crate::poller::{Event, Poller, Watch};
use rustix::event::Timespec;
use rustix::event::epoll::{self, EventData, EventFlags};
use rustix::io::Errno;
use server_core::Key;
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::time::Duration;

/// The bits of a key's slot in an event.
const INDEX_BITS: u32 = 32;

/// How many events one wait returns. Ready clients beyond this wait for another round, in which those that have yielded have
/// another share; so it is as many as there are clients by default.
const BATCH: usize = 1024;

/// For an edge: both directions, once and for all.
const EDGES: EventFlags =
    EventFlags::IN.union(EventFlags::OUT).union(EventFlags::RDHUP).union(EventFlags::ET);

/// The peer has ended its side, or both are gone.
const ENDED: EventFlags = EventFlags::RDHUP.union(EventFlags::HUP).union(EventFlags::ERR);

pub(crate) struct Epoll {
    set: OwnedFd,
    trigger: Trigger,
}

impl Epoll {
    pub(crate) fn new(trigger: Trigger) -> io::Result<Epoll> {
        let set = epoll::create(epoll::CreateFlags::CLOEXEC)?;
        Ok(Epoll { set, trigger })
    }

    fn flags(&self, watch: Watch) -> EventFlags {
        match (watch, self.trigger) {
            (Watch::Nothing, _) => EventFlags::empty(),
            // Of all sets with the listening socket in them, a client wakes one. By level: a worker that accepts
            // one client of two is woken for the second.
            (Watch::Accept, _) => EventFlags::IN.union(EventFlags::EXCLUSIVE),
            (Watch::Read, Trigger::Level) => EventFlags::IN,
            (Watch::Write, Trigger::Level) => EventFlags::OUT,
            (Watch::Read | Watch::Write, Trigger::Edge) => EDGES,
        }
    }
}

impl Poller for Epoll {
    const WAKES_ONE: bool = true;

    fn watch(&mut self, fd: BorrowedFd<'_>, key: Key, from: Watch, to: Watch) -> io::Result<()> {
        let (before, after) = (self.flags(from), self.flags(to));
        let data = EventData::new_u64(key.to_bits(INDEX_BITS));
        if before == after {
            // By edge there is nothing to change between reading and writing.
            return Ok(());
        }
        Ok(if before.is_empty() {
            epoll::add(&self.set, fd, data, after)
        } else if after.is_empty() {
            // Not an empty interest: errors would be reported all the same.
            epoll::delete(&self.set, fd)
        } else {
            epoll::modify(&self.set, fd, data, after)
        }?)
    }

    fn forget(&mut self, _: BorrowedFd<'_>, _: Key) {}

    fn wait(&mut self, events: &mut Vec<Event>, timeout: Option<Duration>) -> io::Result<()> {
        let timeout = timeout.and_then(|timeout| Timespec::try_from(timeout).ok());
        let mut batch = [const { MaybeUninit::uninit() }; BATCH];
        let ready = match epoll::wait(&self.set, &mut batch[..], timeout.as_ref()) {
            Ok((ready, _)) => ready,
            Err(Errno::INTR) => return Ok(()),
            Err(errno) => return Err(errno.into()),
        };
        events.extend(ready.iter().map(|&epoll::Event { flags, data }| Event {
            key: Key::from_bits(data.u64(), INDEX_BITS),
            hung_up: self.trigger == Trigger::Edge && flags.intersects(ENDED),
        }));
        Ok(())
    }
}
