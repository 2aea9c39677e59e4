//! Signals: a handler, ignoring, the default, the alarm, and a pause that misses nothing.
//!
//! A child arranges what signals do to it, and the parent sends them. The child tells over a pipe when it is
//! ready: a signal that comes too early would have its default effect, which is death.
//!
//! The hard part is waiting. "If it has not come yet, wait for it" are two steps, and the signal can come
//! between them. Then the plain `pause` waits for a signal that has been there already. The cure is to
//! block the signal, check, and let it in and wait in *one* step (sigsuspend). The child stands between
//! the two steps here, and lets the parent send its signal exactly then.
//!
//! Run it: `cargo run -p ipc --example signals`
//!
//! Look at: five signals sent while they are blocked, which arrive as one; the exit of the child in the end.

use std::error::Error;
use std::io::{Read, Write};
use std::time::Duration;

use ipc::Wait;
use ipc::process::{self, Process};
use ipc::signal::{
    Blocked, Handler, PidFd, Signal, alarm, alarm_cancel, alarm_every, default, ignore,
};
use ipc::socket::Stream;

fn main() -> Result<(), Box<dyn Error>> {
    process::init(&[("child", child)]);
    alarms()?;

    println!("\n-- signals from another process --");
    let (mut line, other) = Stream::pair()?;
    let child = Process::new("child").pass(other).start()?;
    let target = PidFd::open(child.pid())?; // this process, never a later one with its pid
    await_byte(&line)?;
    target.send(Signal::USR1)?;

    await_byte(&line)?;
    println!("parent: five times SIGUSR1, while the child blocks it");
    for _ in 0..5 {
        target.send(Signal::USR1)?;
    }
    line.write_all(b".")?; // a message behind the signals, on which the child waits

    await_byte(&line)?;
    println!("parent: SIGTERM, which the child ignores");
    target.send(Signal::TERM)?;

    await_byte(&line)?;
    println!("parent: SIGTERM again");
    target.send(Signal::TERM)?;
    println!("parent: the child ended with {}", child.join()?);
    println!("parent: once more: {}", target.send(Signal::TERM).unwrap_err());
    Ok(())
}

fn alarms() -> ipc::Result<()> {
    println!("-- the alarm --");
    let blocked = Blocked::new([Signal::ALRM])?;
    alarm(Duration::from_secs(3600))?;
    let left = alarm(Duration::from_millis(50))?;
    println!("parent: one alarm replaces the other, of which there was left: {left:?}");
    println!("parent: {} came from the {:?}", Signal::ALRM, blocked.wait()?.cause);
    alarm_every(Duration::from_millis(10), Duration::from_millis(20))?;
    for count in 1..=3 {
        blocked.wait()?;
        println!("parent: tick {count}");
    }
    alarm_cancel()?;
    Ok(())
}

/// The child says what it has arranged, and waits for the parent to act.
fn send_byte(mut line: &Stream) -> Result<(), Box<dyn Error>> {
    Ok(line.write_all(b".")?)
}

fn await_byte(mut line: &Stream) -> Result<(), Box<dyn Error>> {
    Ok(line.read_exact(&mut [0])?)
}

fn child(_: &[String]) -> Result<(), Box<dyn Error>> {
    let line = Stream::from_fd(process::passed(0)?)?;

    let handler = Handler::new(Signal::USR1)?; // counts, and nothing else: it may interrupt anything
    send_byte(&line)?;
    handler.wait()?;
    println!("child:  the handler ran {} time", handler.count());

    let blocked = Blocked::new([Signal::USR1])?;
    println!("child:  checked: {} so far. Now the signal comes before I pause", handler.count());
    send_byte(&line)?;
    await_byte(&line)?; // only here, to be sure that it is the bad moment
    blocked.pause_until(|| handler.count() > 1)?; // returns at once; a plain pause would wait for ever
    println!("child:  the pause was over; the handler ran {} more time", handler.count() - 1);
    drop(blocked);

    let mut stream = &line;
    let ignored = ignore(Signal::TERM)?;
    send_byte(&line)?;
    stream.set_wait(Wait::Forever, Wait::AtMost(Duration::from_millis(100)));
    let _ = stream.read(&mut [0]); // time for the signal to have no effect
    println!("child:  I ignore SIGTERM, and am still here");
    drop(ignored);

    let _default = default(Signal::TERM)?;
    println!("child:  now it has its default effect again");
    send_byte(&line)?;
    stream.set_wait(Wait::Forever, Wait::Forever);
    let _ = stream.read(&mut [0]);
    Ok(())
}
