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
use std::process::ExitCode;
use std::time::Duration;

use ipc::process::{self, Process};
use ipc::signal::{Signal, SignalFd, queue, send};

mod story;

use story::{note, say};

fn main() -> ExitCode {
    process::main(&[("sender", sender)], story)
}

fn story() -> Result<(), Box<dyn Error>> {
    note!("-- signals as records --")?;
    let (low, high) = (Signal::realtime(1)?, Signal::realtime(2)?);
    let signals = SignalFd::new([Signal::USR1, low, high])?;
    say!("opens a signalfd, and reads nothing until both senders have ended")?;
    for (name, signal) in [("sender-1", high), ("sender-2", low)] {
        let arguments = [std::process::id().to_string(), signal.number().to_string()];
        let sender = Process::new("sender").name(name).daemon(true).args(arguments).start()?;
        story::join_all(&[sender])?;
    }
    say!("reads what has arrived:")?;
    while let Ok(got) = signals.try_read() {
        let pid = got.sender.map_or(0, |sender| sender.pid);
        let value = got.value.map_or("no value".to_owned(), |value| format!("value {value}"));
        say!("  {:<11} from process {pid} with {value}", got.signal.to_string())?;
    }
    match signals.read_timeout(Duration::from_millis(50)) {
        Err(ipc::Error::TimedOut { .. }) => say!("reads again, and nothing comes within 50 ms")?,
        Err(error) => return Err(error.into()),
        Ok(got) => return Err(format!("{} has come, too", got.signal).into()),
    }

    note!("\n-- the end of a child, reported by the kernel --")?;
    let children = SignalFd::new([Signal::CHLD])?;
    let child = Process::command("true").name("true").daemon(true).start()?;
    say!("has started the program true, process {}", child.pid())?;
    let got = children.read_timeout(story::LIMIT)?;
    let pid = got.sender.map_or(0, |sender| sender.pid);
    say!("reads {} about process {pid}", got.signal)?;
    story::join_all(&[child])?;

    note!(
        "\nNotice: the lower real-time signal comes first, with all its values; SIGUSR1 comes once."
    )?;
    note!("Without the signalfd: a handler would see them between any two instructions.")?;
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
    say!("sends {signal} with the values 1, 2 and 3, and SIGUSR1 twice")?;
    Ok(())
}
