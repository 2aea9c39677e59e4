//! This program as a process: started again in another role, its descriptor limit, its signals.

use super::bare;
use crate::{Placement, Server, Variant, errln, find, tether, text};
use nix::sys::signal::{SigSet, Signal};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use std::ffi::OsString;
use std::io;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{self, Command, ExitCode};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI32, Ordering};
use std::thread;

/// A command that starts this program again in another [`role`]: the servers are part of it, so that they are built
/// with it.
///
/// # Errors
///
/// The path of this program is unknown.
pub(crate) fn myself(role: &str) -> io::Result<Command> {
    // Not by its path: a build that ends meanwhile has put another program there, or nothing for a moment.
    let mut command = Command::new("/proc/self/exe");
    command.arg0(std::env::current_exe()?).arg(role);
    Ok(command)
}

/// Runs this program in the role that its first argument names: `serve MODEL ...` is a server, `bare DIR` the bare
/// loop, `become PROGRAM ...` another program. Comes first in `main`; `None` if the argument is none of these.
pub fn role() -> Option<ExitCode> {
    let mut args = std::env::args_os().skip(1);
    match args.next()?.to_str()? {
        "serve" => {
            let name = args.next();
            let entry = name.as_ref().and_then(|name| name.to_str()).and_then(find);
            let rest: Vec<OsString> = args.collect();
            Some(entry.map_or(ExitCode::from(2), |entry| (entry.main)(rest)))
        }
        "bare" => Some(bare::main(args)),
        "become" => {
            let line: Vec<OsString> = args.collect();
            let error = tether::become_program(&line);
            let program = line.first().map_or("become".into(), |word| word.to_string_lossy());
            errln!("{program}: {}", text::error(&error));
            Some(ExitCode::FAILURE)
        }
        _ => None,
    }
}

/// Starts a variant of a model in this program's role `serve`, with room for so many clients.
///
/// # Errors
///
/// It cannot be started.
pub fn serve(
    variant: &Variant,
    root: &Path,
    connections: usize,
    placement: Placement,
) -> io::Result<Server> {
    let limit = (connections + 64).max(4096).to_string();
    let options = ["--max-connections", &limit, "--idle-timeout", "3600"];
    Server::start(myself("serve")?, variant, root, &options, placement).map_err(|error| {
        io::Error::other(format!("{} does not start: {}", variant.label, text::error(&error)))
    })
}

/// Raises the limit on descriptors to its maximum, for this process and for the servers, which inherit it: thousands of
/// clients are thousands of descriptors.
pub fn raise_descriptor_limit() {
    let maximum = getrlimit(Resource::Nofile).maximum;
    let _ = setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum });
}

/// Whether and how the user has ended a run early.
#[derive(Clone, Debug, Default)]
pub struct Interrupt {
    stop: Arc<AtomicBool>,
    signal: Arc<AtomicI32>,
}

impl Interrupt {
    /// A flag that is set at the first SIGINT or SIGTERM.
    pub fn flag(&self) -> &AtomicBool {
        &self.stop
    }

    /// Whether there was a signal.
    pub fn is_set(&self) -> bool {
        self.stop.load(Ordering::Acquire)
    }

    /// The exit code of an interrupted program, 128 plus the number of the signal; `None` if it was not interrupted.
    pub fn exit_code(&self) -> Option<ExitCode> {
        let signal = u8::try_from(self.signal.load(Ordering::Relaxed)).unwrap_or(0);
        self.is_set().then(|| ExitCode::from(128 + signal))
    }
}

/// Handles SIGINT and SIGTERM from now on: the first sets a flag, so that the caller can end and report what it has. The
/// second kills the servers, removes the temporary directories and exits at once, with 128 plus its number.
///
/// Comes before other threads start, so that they inherit the mask.
///
/// # Errors
///
/// The system refuses the mask or a thread.
pub fn stop_when_interrupted() -> io::Result<Interrupt> {
    let interrupt = Interrupt::default();
    let set = interrupt.clone();
    let signals = SigSet::from_iter([Signal::SIGINT, Signal::SIGTERM]);
    signals.thread_block()?;
    let wait = move || {
        while let Ok(signal) = signals.wait() {
            if set.is_set() {
                text::progress("");
                tether::end_all();
                process::exit(128 + signal as i32);
            }
            set.signal.store(signal as i32, Ordering::Relaxed);
            set.stop.store(true, Ordering::Release);
        }
    };
    thread::Builder::new().name("signals".into()).spawn(wait)?;
    Ok(interrupt)
}
