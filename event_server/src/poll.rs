//! poll(2), from System V, 1986: an array of descriptors, each with what it is watched for.
//!
//! No descriptor is too high, and the kernel writes what is ready beside the question. But the whole array
//! goes into the kernel for each wait, and is looked through there and here.

use crate::poller::{Event, Poller, Watch};
use server_core::Key;
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::time::Duration;

pub(crate) struct Poll {
    /// By the client's slot.
    fds: Vec<libc::pollfd>,
    keys: Vec<Key>,
}

/// A negative descriptor is passed over.
const UNUSED: libc::pollfd = libc::pollfd { fd: -1, events: 0, revents: 0 };

impl Poll {
    pub(crate) fn new() -> Poll {
        Poll { fds: Vec::new(), keys: Vec::new() }
    }
}

impl Poller for Poll {
    const WAKES_ONE: bool = false;

    fn watch(&mut self, fd: BorrowedFd<'_>, key: Key, _: Watch, to: Watch) -> io::Result<()> {
        let events = match to {
            Watch::Nothing => {
                self.forget(fd, key);
                return Ok(());
            }
            Watch::Accept | Watch::Read => libc::POLLIN,
            Watch::Write => libc::POLLOUT,
        };
        let index = key.index() as usize;
        if index >= self.fds.len() {
            self.fds.resize(index + 1, UNUSED);
            self.keys.resize(index + 1, Key::default());
        }
        self.fds[index] = libc::pollfd { fd: fd.as_raw_fd(), events, revents: 0 };
        self.keys[index] = key;
        Ok(())
    }

    fn forget(&mut self, _: BorrowedFd<'_>, key: Key) {
        if let Some(entry) = self.fds.get_mut(key.index() as usize) {
            *entry = UNUSED;
        }
        // What comes last and is empty need not be looked through.
        let end = self.fds.iter().rposition(|entry| entry.fd >= 0).map_or(0, |last| last + 1);
        self.fds.truncate(end);
        self.keys.truncate(end);
    }

    fn wait(&mut self, events: &mut Vec<Event>, timeout: Option<Duration>) -> io::Result<()> {
        let timeout = timeout.map_or(-1, |timeout| {
            timeout.as_nanos().div_ceil(1_000_000).try_into().unwrap_or(libc::c_int::MAX)
        });
        // SAFETY: the pointer and the length are those of a vector that is borrowed for the call.
        let ready =
            unsafe { libc::poll(self.fds.as_mut_ptr(), self.fds.len() as libc::nfds_t, timeout) };
        if ready < 0 {
            let error = io::Error::last_os_error();
            return if error.kind() == io::ErrorKind::Interrupted { Ok(()) } else { Err(error) };
        }
        let all = self.fds.iter().zip(&self.keys);
        let ready = all.filter(|(entry, _)| entry.revents != 0).take(ready as usize);
        events.extend(ready.map(|(_, &key)| Event { key, hung_up: false }));
        Ok(())
    }
}
