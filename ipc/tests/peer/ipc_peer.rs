//! The other side in the tests: a process of its own, so that it can be killed, be slow, or hold what the
//! test wants.
//!
//! `ipc_peer MODULE ROLE [ARGUMENT...]`; each module's file lists what it can do. A peer prints one line
//! when it has reached the state that the test waits for, and ends when its standard input does, so that no
//! peer outlives its test.

use std::error::Error;
use std::io::{Read, Write, stdin, stdout};
use std::sync::atomic::{AtomicU32, Ordering};

use ipc::signal::{Blocked, Handler};
use nix::sys::signal::{SaFlags, SigAction, SigHandler, SigSet, Signal, sigaction};

mod doctor;
mod event;
mod kills;
mod limits;
mod lock;
mod owner;
mod pipe;
mod process;
mod queue;
mod semaphore;
mod shared;
mod signal;
mod socket;
mod tracker;

/// What a peer does; the arguments are those after its name.
type Run = fn(role: &str, arguments: &[String]) -> Result<(), Box<dyn Error>>;

fn main() -> Result<(), Box<dyn Error>> {
    process::init();
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [module, role, rest @ ..] = &arguments[..] else {
        return Err("usage: ipc_peer MODULE ROLE [ARGUMENT...]".into());
    };
    let run: Run = match module.as_str() {
        "doctor" => doctor::run,
        "event" => event::run,
        "kills" => kills::run,
        "limits" => limits::run,
        "lock" => lock::run,
        "owner" => owner::run,
        "pipe" => pipe::run,
        "process" => process::run,
        "queue" => queue::run,
        "semaphore" => semaphore::run,
        "shared" => shared::run,
        "signal" => signal::run,
        "socket" => socket::run,
        "tracker" => tracker::run,
        other => return Err(format!("no module {other:?}").into()),
    };
    run(role, rest)
}

/// Prints a line at once, although standard output is a pipe.
fn print_line(line: &str) -> std::io::Result<()> {
    let mut stdout = stdout().lock();
    writeln!(stdout, "{line}")?;
    stdout.flush()
}

/// Tells a tracer that the part which it is to look at begins, or ends; does nothing without one.
fn mark() {
    nix::sys::signal::raise(Signal::SIGURG).expect("a process may signal itself");
}

/// Waits until the test writes a line.
fn next_line() -> Result<(), Box<dyn Error>> {
    stdin().read_line(&mut String::new())?;
    Ok(())
}

/// Waits until the test closes standard input.
fn wait_for_eof() -> Result<(), Box<dyn Error>> {
    stdin().lock().read_to_end(&mut Vec::new())?;
    Ok(())
}

/// Installs a handler for SIGUSR1 that counts, and has system calls interrupted.
fn count_sigusr1() -> nix::Result<&'static AtomicU32> {
    static SIGNALS: AtomicU32 = AtomicU32::new(0);
    extern "C" fn count(_: libc::c_int) {
        SIGNALS.fetch_add(1, Ordering::Relaxed);
    }
    let handler = SigAction::new(SigHandler::Handler(count), SaFlags::empty(), SigSet::empty());
    // SAFETY: the handler does nothing but add to an atomic number.
    unsafe { sigaction(Signal::SIGUSR1, &handler)? };
    Ok(&SIGNALS)
}

/// Runs `read` while signals interrupt it, by a handler without `SA_RESTART`; prints what it returns.
fn read_interrupted(read: impl FnOnce() -> std::io::Result<String>) -> Result<(), Box<dyn Error>> {
    let handler = Handler::interrupting(ipc::signal::Signal::USR1)?;
    std::thread::scope(|scope| {
        let blocked = Blocked::new([ipc::signal::Signal::USR1])?; // the thread inherits this
        scope.spawn(|| {
            let mut seen = 0;
            // What was reported counts, not `count`, which may be ahead of it.
            while seen < 3 {
                seen += handler.wait().unwrap_or(3);
                println!("handled");
            }
        });
        drop(blocked);
        println!("reading");
        println!("{}", read()?);
        Ok(())
    })
}
