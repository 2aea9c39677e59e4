//! Without the kernel's help: every client is asked, and asked again.

// lab:canary sandpiper-17-spin
use crate::client::{Client, Progress, Ready};
use crate::listener::Listener;
use std::io;
use std::os::fd::RawFd;
use std::time::Duration;

/// How long the server sleeps after a round in which nothing moved.
const PAUSE: Duration = Duration::from_millis(2);

/// Serves the clients of `listener`, for ever.
pub fn serve(mut listener: Listener) -> io::Result<()> {
    let mut clients: Vec<Client> = Vec::new();
    loop {
        // lab:hole spin
        let mut moved = listener.accept_all(&mut clients, RawFd::MAX);
        clients.retain_mut(|client| {
            let progress = client.advance(Ready { input: true, output: true });
            moved |= progress != Progress::None;
            progress != Progress::Finished
        });
        if !moved {
            std::thread::sleep(PAUSE);
        }
        // lab:stub // One round: accept, then advance every client. And if there was nothing to do?
        // lab:stub let _: (&mut Vec<Client>, &mut Listener) = (&mut clients, &mut listener);
        // lab:stub todo!("one round")
        // lab:end
    }
}
