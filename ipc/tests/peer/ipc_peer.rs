//! The other side in the tests: a process of its own, so that it can be killed, be slow, or hold what the
//! test wants.
//!
//! `ipc_peer MODULE WHAT [ARGUMENT...]`; each module's file lists what it can do. A peer prints one line
//! when it has reached the state that the test waits for, and ends when its standard input does, so that no
//! peer outlives its test.

mod event;
mod lock;
mod pipe;
mod process;
mod queue;
mod semaphore;
mod shared;
mod signal;
mod socket;

/// What a peer does; the arguments are those after its name.
type Run = fn(what: &str, arguments: &[String]) -> Result<(), Box<dyn std::error::Error>>;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    process::init();
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [module, what, rest @ ..] = &arguments[..] else {
        return Err("usage: ipc_peer MODULE WHAT [ARGUMENT...]".into());
    };
    let run: Run = match module.as_str() {
        "event" => event::run,
        "lock" => lock::run,
        "pipe" => pipe::run,
        "process" => process::run,
        "queue" => queue::run,
        "semaphore" => semaphore::run,
        "shared" => shared::run,
        "signal" => signal::run,
        "socket" => socket::run,
        other => return Err(format!("no module {other:?}").into()),
    };
    run(what, rest)
}
