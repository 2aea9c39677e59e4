//! Signals read like a file: who sent them, in what order, and with what number.
//!
//! A handler interrupts the program anywhere and may do next to nothing. With a signalfd, signals wait
//! until they are *read*, as records that also tell the sender. So one `poll` waits for signals and
//! everything else; this is how a server notices SIGTERM and the end of its children.
//!
//! The signals must be blocked, or they take their usual course and never reach the descriptor. The mask
//! is inherited over fork and exec: a child of `std::process::Command` would start with them blocked.
//! `ipc::process` starts its children with nothing blocked.
//!
//! Real-time signals can carry a number and are queued, each one, lowest signal first. Standard signals are
//! not: the same one sent again while it waits is lost.
//!
//! Run it: `cargo run -p ipc --example signalfd`
//!
//! Look at: what the senders sent and what of it arrives, in which order; the pid in each record.

use std::error::Error;
use std::time::Duration;

use ipc::process::{self, Process};
use ipc::signal::{Signal, SignalFd, queue, send};

fn main() -> Result<(), Box<dyn Error>> {
    process::init(&[("sender", sender)]);
    let (low, high) = (Signal::realtime(1)?, Signal::realtime(2)?);
    let signals = SignalFd::new([Signal::USR1, low, high])?;
    println!(
        "main:   my pid is {}; I read nothing until the senders have ended",
        std::process::id()
    );

    let senders = [high, low].map(|signal| {
        let arguments = [std::process::id().to_string(), signal.number().to_string()];
        Process::new("sender").args(arguments).start()
    });
    for sender in senders {
        sender?.join()?;
    }
    println!("main:   what arrived:");
    while let Ok(got) = signals.try_read() {
        let pid = got.sender.map_or(0, |sender| sender.pid);
        let value = got.value.map_or("nothing".to_owned(), |value| value.to_string());
        println!(
            "main:     {:<11} {:<7} from {pid} with {value}",
            got.signal,
            format!("{:?}", got.cause)
        );
    }
    println!("main:   and then: {}", signals.read_timeout(Duration::from_millis(50)).unwrap_err());

    println!("\nmain:   the end of a child, reported by the kernel");
    let children = SignalFd::new([Signal::CHLD])?;
    let child = Process::command("true").start()?;
    let got = children.read()?;
    println!("main:   {} is about {:?}", got.signal, got.sender);
    println!("main:   it ended with {}", child.join()?);
    Ok(())
}

/// Sends its signal three times with a number, and twice SIGUSR1.
fn sender(arguments: &[String]) -> Result<(), Box<dyn Error>> {
    let (pid, signal) = (arguments[0].parse()?, Signal::new(arguments[1].parse()?)?);
    for value in 1..=3 {
        queue(pid, signal, value)?;
    }
    send(pid, Signal::USR1)?;
    send(pid, Signal::USR1)?;
    println!("sender: {} sent {signal} with 1, 2, 3, and SIGUSR1 twice", std::process::id());
    Ok(())
}
