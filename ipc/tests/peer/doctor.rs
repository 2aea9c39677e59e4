//! A process that uses what the command `ipc` looks at.

use std::collections::VecDeque;
use std::error::Error;
use std::io::stdin;
use std::os::fd::AsFd;

use ipc::queue::PosixQueue;
use ipc::semaphore::NamedSemaphore;
use ipc::shared::Value;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use crate::print_line;

pub fn run(role: &str, _: &[String]) -> Result<(), Box<dyn Error>> {
    match role {
        "churn" => churn(),
        _ => Err(format!("nothing called {role:?}").into()),
    }
}

/// One of each object that has a name.
type Objects = (NamedSemaphore, PosixQueue, Value<u32>);

/// Makes objects until its input ends, holds the newest 16 of each kind, and counts those whose names are gone while it
/// holds them.
fn churn() -> Result<(), Box<dyn Error>> {
    print_line("ready")?;
    let (mut held, mut made, mut lost) = (VecDeque::<Objects>::new(), 0, 0);
    let count_lost = |objects: &Objects| -> u32 {
        let (semaphore, queue, value) = objects;
        u32::from(NamedSemaphore::open(semaphore.name()).is_err())
            + u32::from(PosixQueue::open(queue.name()).is_err())
            + u32::from(Value::<u32>::open(value.memory().name()).is_err())
    };
    let ended = || -> nix::Result<bool> {
        let stdin = stdin();
        let mut polled = [PollFd::new(stdin.as_fd(), PollFlags::POLLIN)];
        Ok(poll(&mut polled, PollTimeout::ZERO)? == 1)
    };
    while !ended()? {
        let name = format!("/ipc-churn-{}-{made}", std::process::id());
        held.push_back((
            NamedSemaphore::create(&name, 1)?,
            PosixQueue::create(&name, 1, 8)?,
            Value::create(format!("{name}-value"), 1)?,
        ));
        made += 3;
        if held.len() > 16 {
            lost += held.pop_front().as_ref().map_or(0, count_lost);
        }
    }
    lost += held.iter().map(count_lost).sum::<u32>();
    print_line(&format!("{made} made, {lost} lost"))?;
    Ok(())
}
