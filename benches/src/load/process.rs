//! This program as a process: started again in another role, its descriptor limit, its signals.

use super::bare;
use crate::{Placement, Server, Variant, find, tether};
use nix::sys::signal::{SigSet, Signal};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use std::ffi::OsString;
use std::fs;
use std::io;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{self, Command, ExitCode};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
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
            eprintln!("{}: {error}", line.first().map_or("become".into(), |l| l.to_string_lossy()));
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
    Server::start(myself("serve")?, variant, root, &options, placement)
}

/// Raises the limit on descriptors to its maximum, for this process and for the servers, which inherit it: thousands of
/// clients are thousands of descriptors.
pub fn raise_descriptor_limit() {
    let maximum = getrlimit(Resource::Nofile).maximum;
    let _ = setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum });
}

/// Returns a flag that is set at SIGINT or SIGTERM, so that the caller can end and report what it has. The second
/// signal removes `directory` and exits at once with 128 plus its number.
///
/// Comes before other threads start, so that they inherit the mask.
///
/// # Errors
///
/// The system refuses the mask or a thread.
pub fn stop_when_interrupted(directory: PathBuf) -> io::Result<Arc<AtomicBool>> {
    let stop = Arc::new(AtomicBool::new(false));
    let set = stop.clone();
    let signals = SigSet::from_iter([Signal::SIGINT, Signal::SIGTERM]);
    signals.thread_block()?;
    let wait = move || {
        while let Ok(signal) = signals.wait() {
            if set.swap(true, Ordering::Relaxed) {
                let _ = fs::remove_dir_all(&directory);
                process::exit(128 + signal as i32);
            }
        }
    };
    thread::Builder::new().name("signals".into()).spawn(wait)?;
    Ok(stop)
}
