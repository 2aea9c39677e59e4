//! Being told of a message instead of waiting for it: mq_notify.
//!
//! A process with other things to do can ask for a signal when a message comes to an empty POSIX queue. The
//! rules have two traps (TLPI section 52.6):
//!
//! - The signal comes once. Who wants another one asks again.
//! - It comes only when the queue was empty before. So after a signal *all* messages must be taken out,
//!   without waiting. A message left behind would silence the queue for ever.
//!
//! Hence the order: first ask again, then empty the queue. In the other order, a message that comes between
//! the last look and the asking finds nobody who has asked. In the right order the worst is a signal too many: the
//! queue is empty when one looks.
//!
//! The signal is blocked and read from a descriptor, here a signalfd: no handler runs in the midst of
//! something else. (On Linux a queue is a descriptor as well, and `poll` waits for it without any signal.
//! That is simpler, but not portable.)
//!
//! Run it: `cargo run -p ipc --example queue_notify`
//!
//! Look at: how many messages each signal brings. The writer puts in three at a time, and the first
//! one sends the signal; how many of the others are there when the reader looks is chance.

use std::error::Error;
use std::os::fd::AsFd;
use std::process::ExitCode;

use ipc::process::{self, Process, Tracked, Tracker};
use ipc::queue::{PosixQueue, Queue};
use ipc::semaphore::{Semaphore, SharedSemaphore};
use ipc::signal::{Signal, SignalFd};

mod story;

use story::{LIMIT, note, say};

const BURSTS: usize = 3;
const MESSAGES: usize = 3;

fn main() -> ExitCode {
    process::main(&[("writer", writer)], reader)
}

fn reader() -> Result<(), Box<dyn Error>> {
    let name = format!("/{}", story::unique_name("mail"));
    let mut tracker = Tracker::start()?; // It removes the name if this process is killed.
    tracker.track(Tracked::PosixQueue(name.clone()))?;
    let signals = SignalFd::new([Signal::USR1])?;
    let queue = PosixQueue::create(&name, 8, 64)?;
    // By this the reader tells the writer that it has read everything, so that the next burst finds an
    // empty queue.
    let burst_read = SharedSemaphore::create(1)?;
    queue.notify(Signal::USR1)?;
    say!("reads {name}, and asks for SIGUSR1 when a message comes")?;
    let writer = Process::new("writer").name("writer").daemon(true).arg(&name);
    let writer = [writer.pass(story::copy(burst_read.as_fd())?).start()?];

    let (mut taken, mut signalled) = (0, 0);
    while taken < BURSTS * MESSAGES {
        let signal = story::while_alive(&writer, |step| signals.read_timeout(step))?;
        queue.notify(Signal::USR1)?; // First ask again,
        signalled += 1;
        let mut messages = Vec::new();
        while !queue.empty()? {
            messages.push(String::from_utf8(queue.try_get()?)?); // then take all.
        }
        taken += messages.len();
        say!("gets {}, asks for another one, and takes {messages:?}", signal.signal)?;
        if taken % MESSAGES == 0 && !messages.is_empty() {
            burst_read.release()?;
        }
    }
    story::join_all(&writer)?;
    note!(
        "\nNotice: {signalled} signals for {taken} messages; only a message to an empty queue sends one."
    )?;
    note!("Without taking all messages: the queue is never empty again, and no signal comes.")?;
    Ok(())
}

/// Puts the bursts in, each when the one before was read.
fn writer(arguments: &[String]) -> Result<(), Box<dyn Error>> {
    let queue = PosixQueue::open(&arguments[0])?;
    let burst_read = SharedSemaphore::from_fd(process::passed(0)?)?;
    for burst in 1..=BURSTS {
        burst_read.acquire_timeout(LIMIT)?;
        say!("puts messages {burst}.1 to {burst}.{MESSAGES} into the empty queue")?;
        for number in 1..=MESSAGES {
            queue.put_timeout(format!("{burst}.{number}").as_bytes(), LIMIT)?;
        }
    }
    Ok(())
}
