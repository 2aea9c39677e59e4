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
use std::process::ExitCode;
use std::time::Duration;

use ipc::Wait;
use ipc::process::{self, Exit, Process};
use ipc::signal::{
    Blocked, Cause, Handler, PidFd, Signal, alarm, alarm_cancel, alarm_every, default, ignore,
};
use ipc::socket::Stream;

mod story;

use story::{note, say};

fn main() -> ExitCode {
    process::main(&[("child", child)], story)
}

fn story() -> Result<(), Box<dyn Error>> {
    note!("-- the alarm --")?;
    alarms()?;

    note!("\n-- signals from another process --")?;
    let (line, other) = Stream::pair()?;
    let child = Process::new("child").name("child").daemon(true).pass(other).start()?;
    let target = PidFd::open(child.pid())?; // this process, never a later one with its pid
    let sent = send_signals(&target, line);
    let exit = child.join_timeout(story::LIMIT)?;
    say!("sees the child end with {exit}")?;
    if exit != Exit::Signal(Signal::TERM.number()) {
        return Err(format!("child[{}] ended with {exit}, not by SIGTERM", child.pid()).into());
    }
    sent?;
    say!("sends SIGTERM once more, to a process that has ended:")?;
    say!("  {}", target.send(Signal::TERM).unwrap_err())?;

    note!(
        "\nNotice: five signals that are blocked arrive as one; the last signal ends the child."
    )?;
    note!("Without the one step of unblocking and waiting: the child would wait forever,")?;
    note!("since its signal has come between the check and the pause.")?;
    Ok(())
}

fn alarms() -> Result<(), Box<dyn Error>> {
    let blocked = Blocked::new([Signal::ALRM])?;
    alarm(Duration::from_secs(3600))?;
    let left = alarm(Duration::from_millis(50))?.ok_or("the first alarm is gone")?;
    let cause = blocked.wait()?.cause;
    say!("sets an alarm for one hour, then one for 50 ms, which replaces it")?;
    say!("reads that the first had {} s left", left.as_secs_f64().round())?;
    say!("waits for {}, which is sent by the kernel: {}", Signal::ALRM, cause == Cause::Kernel)?;

    alarm_every(Duration::from_millis(10), Duration::from_millis(20))?;
    for _ in 0..3 {
        blocked.wait()?;
    }
    alarm_cancel()?;
    let _ = blocked.try_wait(); // a fourth may have come: unblocked, it would end this process
    say!("waits for three ticks of an alarm that repeats, and cancels it")?;
    Ok(())
}

/// Closes its end of the line, on which the child waits in the end.
fn send_signals(target: &PidFd, mut line: Stream) -> Result<(), Box<dyn Error>> {
    await_byte(&line)?;
    say!("sends SIGUSR1")?;
    target.send(Signal::USR1)?;

    await_byte(&line)?;
    say!("sends SIGUSR1 five times, while the child blocks it")?;
    for _ in 0..5 {
        target.send(Signal::USR1)?;
    }
    line.write_all(b".")?; // a message behind the signals, on which the child waits

    await_byte(&line)?;
    say!("sends SIGTERM, which the child ignores")?;
    target.send(Signal::TERM)?;
    line.write_all(b".")?;

    await_byte(&line)?;
    say!("sends SIGTERM again")?;
    target.send(Signal::TERM)?;
    let _ = line.read(&mut [0]); // the end of the child
    Ok(())
}

/// The child has arranged something, and waits for the parent to act.
fn send_byte(mut line: &Stream) -> Result<(), Box<dyn Error>> {
    Ok(line.write_all(b".")?)
}

fn await_byte(mut line: &Stream) -> Result<(), Box<dyn Error>> {
    line.set_wait(Wait::Forever, Wait::AtMost(story::LIMIT));
    Ok(line.read_exact(&mut [0])?)
}

fn child(_: &[String]) -> Result<(), Box<dyn Error>> {
    let line = Stream::from_fd(process::passed(0)?)?;

    let handler = Handler::new(Signal::USR1)?; // counts, and nothing else: it may interrupt anything
    say!("has a handler for SIGUSR1, and waits")?;
    send_byte(&line)?;
    handler.wait_timeout(story::LIMIT)?;
    say!("sees that the handler ran {} time", handler.count())?;

    let blocked = Blocked::new([Signal::USR1])?;
    say!(
        "blocks SIGUSR1, and checks: {} so far; now they come, before it pauses",
        handler.count()
    )?;
    send_byte(&line)?;
    await_byte(&line)?; // only here, to be sure that it is the bad moment
    blocked.pause_until(|| handler.count() > 1)?; // returns at once; a plain pause would wait forever
    say!("pauses, and goes on: the handler ran {} more time", handler.count() - 1)?;
    drop(blocked);

    let ignored = ignore(Signal::TERM)?;
    say!("ignores SIGTERM")?;
    send_byte(&line)?;
    await_byte(&line)?; // comes behind the signal
    say!("is still here")?;
    drop(ignored);

    let _default = default(Signal::TERM)?;
    say!("lets SIGTERM have its default effect again")?;
    send_byte(&line)?;
    await_byte(&line) // which does not come
}
