//! Without the kernel's help: every client is asked, and asked again.

// lab:canary sandpiper-17-spin
use crate::client::{Client, Ready, Turn};
use crate::door::Door;
use std::io;
use std::os::fd::RawFd;
use std::time::Duration;

/// How long the server sleeps when nobody had anything for it.
const PAUSE: Duration = Duration::from_millis(2);

/// Serves whoever comes through the door, for ever.
pub fn serve(mut door: Door) -> io::Result<()> {
    let mut clients: Vec<Client> = Vec::new();
    loop {
        // lab:hole spin
        let mut moved = door.admit(&mut clients, RawFd::MAX);
        clients.retain_mut(|client| {
            let turn = client.turn(Ready { input: true, output: true });
            moved |= turn != Turn::Nothing;
            turn != Turn::Over
        });
        if !moved {
            std::thread::sleep(PAUSE);
        }
        // lab:stub // One round: the door, then a turn for everybody. And if nobody had anything?
        // lab:stub let _: (&mut Vec<Client>, &mut Door) = (&mut clients, &mut door);
        // lab:stub todo!("one round")
        // lab:end
    }
}
