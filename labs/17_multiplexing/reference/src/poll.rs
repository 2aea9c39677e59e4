//! With poll: a list of descriptors goes into the kernel, and comes back with what each is ready for.

// lab:canary sandpiper-17-poll
use crate::client::{Client, Progress, Ready};
use crate::listener::Listener;
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use std::io;
use std::os::fd::{AsFd, RawFd};

/// Serves the clients of `listener`, for ever.
pub fn serve(mut listener: Listener) -> io::Result<()> {
    let mut clients: Vec<Client> = Vec::new();
    loop {
        // lab:hole poll
        let mut list = vec![PollFd::new(listener.as_fd(), PollFlags::POLLIN)];
        for client in &clients {
            let wants = client.wants();
            let mut events = PollFlags::empty();
            events.set(PollFlags::POLLIN, wants.input);
            events.set(PollFlags::POLLOUT, wants.output);
            list.push(PollFd::new(client.as_fd(), events));
        }
        match poll(&mut list, PollTimeout::NONE) {
            Err(Errno::EINTR) => continue,
            answer => answer?,
        };
        // Whoever is broken is ready for everything: the next call on the socket will say what it is.
        let broken = PollFlags::POLLERR | PollFlags::POLLHUP | PollFlags::POLLNVAL;
        let answers: Vec<PollFlags> =
            list.iter().map(|entry| entry.revents().unwrap_or(broken)).collect();
        let mut ready = answers[1..].iter().map(|answer| Ready {
            input: answer.intersects(PollFlags::POLLIN | broken),
            output: answer.intersects(PollFlags::POLLOUT | broken),
        });
        // In the order of the list, whoever leaves; those who come now were not asked and join at the end.
        clients.retain_mut(|client| {
            ready.next().is_none_or(|r| client.advance(r) != Progress::Finished)
        });
        if !answers[0].is_empty() {
            listener.accept_all(&mut clients, RawFd::MAX);
        }
        // lab:stub // Who is in the list, and what is each one asked for? Which answers come without being asked for?
        // lab:stub // After the first client is dropped, do indices of the list still fit indices of `clients`?
        // lab:stub let _: (&mut Vec<Client>, &mut Listener) = (&mut clients, &mut listener);
        // lab:stub todo!("wait with poll; then advance the clients, and accept")
        // lab:end
    }
}
