//! With select: three sets of descriptors go into the kernel, and those that are ready come out.

// lab:canary sandpiper-17-select
use crate::client::{Client, Progress, Ready};
use crate::listener::Listener;
use nix::errno::Errno;
use nix::sys::select::{FdSet, select};
use std::io;
use std::os::fd::{AsFd, RawFd};

/// The first number that a set of select has no bit for.
const LIMIT: RawFd = libc::FD_SETSIZE as RawFd;

/// Serves the clients of `listener`, for ever.
pub fn serve(mut listener: Listener) -> io::Result<()> {
    let mut clients: Vec<Client> = Vec::new();
    loop {
        // lab:hole select
        // Made anew each time: select leaves in the sets only what is ready.
        let (mut input, mut output) = (FdSet::new(), FdSet::new());
        input.insert(listener.as_fd());
        for client in &clients {
            let wants = client.wants();
            if wants.input {
                input.insert(client.as_fd());
            }
            if wants.output {
                output.insert(client.as_fd());
            }
        }
        match select(None, &mut input, &mut output, None, None) {
            Err(Errno::EINTR) => continue,
            answer => answer?,
        };
        // Read off now: once a client is closed, its number may be another's.
        let mut ready = Vec::with_capacity(clients.len());
        for client in &clients {
            let socket = client.as_fd();
            ready.push(Ready { input: input.contains(socket), output: output.contains(socket) });
        }
        let accepts = input.contains(listener.as_fd());
        let mut ready = ready.into_iter();
        clients.retain_mut(|client| {
            ready.next().is_none_or(|r| client.advance(r) != Progress::Finished)
        });
        if accepts {
            listener.accept_all(&mut clients, LIMIT);
        }
        // lab:stub // Which sets does select get, and what is in them when it returns? Which clients must never get
        // lab:stub // into a set?
        // lab:stub let _: (&mut Vec<Client>, &mut Listener) = (&mut clients, &mut listener);
        // lab:stub todo!("wait with select; then advance the clients, and accept")
        // lab:end
    }
}
