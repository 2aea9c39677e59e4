//! select(2), from 4.2BSD, 1983: two sets of bits, one bit a descriptor.
//!
//! The kernel overwrites the sets with what is ready, so they are copied for each wait. It looks at all
//! descriptors up to the highest, and so do we afterwards.

use crate::poller::{Event, Poller, Watch};
use rustix::event::{
    FdSetElement, FdSetIter, Timespec, fd_set_bound, fd_set_insert, fd_set_num_elements,
    fd_set_remove, select,
};
use rustix::io::Errno;
use server_core::Key;
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::time::Duration;

/// Where C's `fd_set` ends. Linux itself would take larger sets; but to put a descriptor beyond this into
/// C's, as `FD_SET` does without asking, writes past its end.
const FD_SETSIZE: usize = libc::FD_SETSIZE;

pub(crate) struct Select {
    read: Vec<FdSetElement>,
    write: Vec<FdSetElement>,
    /// What the kernel writes into.
    ready: [Vec<FdSetElement>; 2],
    /// By descriptor.
    keys: Vec<Key>,
}

impl Select {
    pub(crate) fn new() -> Select {
        let empty = || vec![FdSetElement::default(); fd_set_num_elements(0, FD_SETSIZE as i32)];
        Select {
            read: empty(),
            write: empty(),
            ready: [empty(), empty()],
            keys: vec![Key::default(); FD_SETSIZE],
        }
    }
}

impl Poller for Select {
    const WAKES_ONE: bool = false;

    fn can_watch(&self, fd: BorrowedFd<'_>) -> bool {
        (fd.as_raw_fd() as usize) < FD_SETSIZE
    }

    fn watch(&mut self, fd: BorrowedFd<'_>, key: Key, _: Watch, to: Watch) -> io::Result<()> {
        if !self.can_watch(fd) {
            return Err(io::Error::other("select takes descriptors below 1,024 only"));
        }
        let fd = fd.as_raw_fd();
        fd_set_remove(&mut self.read, fd);
        fd_set_remove(&mut self.write, fd);
        match to {
            Watch::Nothing => {}
            Watch::Accept | Watch::Read => fd_set_insert(&mut self.read, fd),
            Watch::Write => fd_set_insert(&mut self.write, fd),
        }
        self.keys[fd as usize] = key;
        Ok(())
    }

    fn forget(&mut self, fd: BorrowedFd<'_>, key: Key) {
        // Does not fail: only what could be put in is taken out.
        let _ = self.watch(fd, key, Watch::Nothing, Watch::Nothing);
    }

    fn wait(&mut self, events: &mut Vec<Event>, timeout: Option<Duration>) -> io::Result<()> {
        let [read, write] = &mut self.ready;
        read.copy_from_slice(&self.read);
        write.copy_from_slice(&self.write);
        let end = fd_set_bound(read).max(fd_set_bound(write));
        let timeout = timeout.and_then(|timeout| Timespec::try_from(timeout).ok());
        // SAFETY: every descriptor in the sets is open, because the worker calls `forget` before it closes one.
        let outcome = unsafe { select(end, Some(read), Some(write), None, timeout.as_ref()) };
        match outcome {
            Ok(_) => {}
            Err(Errno::INTR) => return Ok(()), // the sets are as they were
            Err(errno) => return Err(errno.into()),
        }
        let ready = FdSetIter::new(read).chain(FdSetIter::new(write));
        let key = |fd| self.keys[fd as usize];
        events.extend(ready.map(|fd| Event { key: key(fd), hung_up: false }));
        Ok(())
    }
}
