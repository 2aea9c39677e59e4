//! A process that uses what the command `ipc` looks at.

use std::error::Error;
use std::io::stdin;
use std::os::fd::AsFd;

use ipc::queue::PosixQueue;
use ipc::semaphore::NamedSemaphore;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use crate::print_line;

pub fn run(role: &str, _: &[String]) -> Result<(), Box<dyn Error>> {
    match role {
        "churn" => churn(),
        _ => Err(format!("nothing called {role:?}").into()),
    }
}

/// Makes a semaphore and a queue every millisecond until its input ends, and counts those whose names are gone although it
/// holds them all.
fn churn() -> Result<(), Box<dyn Error>> {
    /// The kernel lets a user have 256.
    const MOST_QUEUES: usize = 200;
    print_line("ready")?;
    let (mut semaphores, mut queues) = (Vec::new(), Vec::new());
    let next = || -> nix::Result<bool> {
        let stdin = stdin();
        let mut polled = [PollFd::new(stdin.as_fd(), PollFlags::POLLIN)];
        Ok(poll(&mut polled, PollTimeout::from(1_u8))? == 0)
    };
    while next()? {
        let name = format!("/ipc-churn-{}-{}", std::process::id(), semaphores.len());
        semaphores.push(NamedSemaphore::create(&name, 1)?);
        if queues.len() < MOST_QUEUES {
            queues.push(PosixQueue::create(&name, 1, 8)?);
        }
    }
    let lost_semaphores =
        semaphores.iter().filter(|made| NamedSemaphore::open(made.name()).is_err()).count();
    let lost_queues = queues.iter().filter(|made| PosixQueue::open(made.name()).is_err()).count();
    let (made, lost) = (semaphores.len() + queues.len(), lost_semaphores + lost_queues);
    print_line(&format!("{made} made, {lost} lost"))?;
    Ok(())
}
