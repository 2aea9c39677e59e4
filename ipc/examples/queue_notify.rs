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
use std::time::Duration;

use ipc::process::{self, Process};
use ipc::queue::{PosixQueue, Queue};
use ipc::semaphore::{NamedSemaphore, Semaphore};
use ipc::signal::{Signal, SignalFd};

const BURSTS: usize = 3;
const MESSAGES: usize = 3;

/// Far longer than anything here takes; only the death of the other side reaches it.
const TIMEOUT: Duration = Duration::from_secs(10);

fn main() -> Result<(), Box<dyn Error>> {
    process::init(&[("writer", writer)]);

    let name = format!("/ipc-example-{}", std::process::id());
    let queue = PosixQueue::create(&name, 8, 64)?;
    // By this the reader tells the writer that it has read everything, so that the next burst finds an
    // empty queue.
    let burst_read = NamedSemaphore::create(&name, 1)?;
    let signals = SignalFd::new([Signal::USR1])?;
    queue.notify(Signal::USR1)?;
    let writer = Process::new("writer").arg(&name).start()?;

    let mut taken = 0;
    while taken < BURSTS * MESSAGES {
        let signal = signals.read_timeout(TIMEOUT)?;
        queue.notify(Signal::USR1)?; // First ask again,
        let before = taken;
        while let Ok(message) = queue.try_get() {
            taken += 1; // then take all.
            println!("reader: {:?}", String::from_utf8_lossy(&message));
            if taken % MESSAGES == 0 {
                burst_read.release()?;
            }
        }
        println!("reader: that was {}, with {} messages", signal.signal, taken - before);
    }
    println!("reader: the writer ended with {}", writer.join()?);
    Ok(())
}

/// Puts the bursts in, each when the one before was read.
fn writer(arguments: &[String]) -> Result<(), Box<dyn Error>> {
    let queue = PosixQueue::open(&arguments[0])?;
    let burst_read = NamedSemaphore::open(&arguments[0])?;
    for burst in 1..=BURSTS {
        burst_read.acquire_timeout(TIMEOUT)?;
        for number in 1..=MESSAGES {
            queue.put(format!("message {number} of burst {burst}").as_bytes())?;
        }
    }
    Ok(())
}
