//! Every server's command line, and the way from there to a running server.

use crate::listen::listen_for;
use crate::log;
use crate::memory::return_freed_blocks;
use crate::shutdown::{CUT_GRACE, block_signals, finish};
use clap::Parser;
use file_service::protocol::parse_number;
use file_service::{Model, Service, Settings, Store, Trace};
use std::ffi::OsString;
use std::fmt;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

/// Descriptors that are not for connections: the standard three, the listener, the root, files.
const RESERVED_DESCRIPTORS: usize = 64;

/// The options of a model that has none of its own.
#[derive(Clone, Copy, Debug, clap::Args)]
pub struct NoOptions {}

/// The options that all servers have.
#[derive(Clone, Debug, clap::Args)]
pub struct ServerOptions {
    /// Where to listen; port 0 picks a free one
    #[arg(long, value_name = "HOST:PORT", default_value = "127.0.0.1:9000")]
    pub addr: String,
    /// The served folder
    #[arg(long, value_name = "DIR", default_value = ".")]
    pub root: PathBuf,
    /// Refuse uploads
    #[arg(long)]
    pub read_only: bool,
    /// Flush every upload to disk before it is acknowledged
    #[arg(long)]
    pub sync: bool,
    /// How many clients may be connected at once, over all processes
    #[arg(long, value_name = "N", default_value_t = 1024, value_parser = parse_count)]
    pub max_connections: usize,
    /// The largest upload; suffixes KiB, MiB, GiB
    #[arg(long, value_name = "BYTES", default_value = "1GiB", value_parser = parse_bytes)]
    pub max_file_size: u64,
    /// How long a client may be silent between requests, in seconds
    #[arg(long, value_name = "S", default_value = "60", value_parser = parse_seconds)]
    pub idle_timeout: Duration,
    /// How long a request line may take from its first byte, in seconds
    #[arg(long, value_name = "S", default_value = "10", value_parser = parse_seconds)]
    pub header_timeout: Duration,
    /// How long a transfer may move no byte, in seconds
    #[arg(long, value_name = "S", default_value = "60", value_parser = parse_seconds)]
    pub transfer_timeout: Duration,
    /// How long transfers may go on after SIGTERM or SIGINT, in seconds
    #[arg(long, value_name = "S", default_value = "10", value_parser = parse_seconds_or_none)]
    pub drain_timeout: Duration,
    /// Read files into memory and send them from there: a file that is truncated meanwhile never shows zeros
    #[arg(long)]
    pub copy: bool,
    /// Record who does what when in FILE, a regular file, for trace viewers such as Perfetto
    #[arg(long, value_name = "FILE")]
    pub trace: Option<PathBuf>,
    /// Log connections; twice: requests as well
    #[arg(short, action = clap::ArgAction::Count)]
    pub verbose: u8,
    /// Write uploads to temporary names, as on a file system without O_TMPFILE
    #[arg(long, hide = true)]
    pub no_tmpfile: bool,
    /// Use no file locks, as on a file system without flock
    #[arg(long, hide = true)]
    pub no_flock: bool,
    /// How much memory the listings under way may take, before large ones wait
    #[arg(long, hide = true, default_value = "64MiB", value_parser = parse_bytes)]
    pub listing_room: u64,
}

/// Parses a count of at least 1.
///
/// # Errors
///
/// `text` is not a whole number from 1 up.
pub fn parse_count(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(0) | Err(_) => Err("a whole number from 1 up is wanted".into()),
        Ok(count) => Ok(count),
    }
}

/// Parses a number of bytes, with KiB, MiB or GiB behind it or nothing.
fn parse_bytes(text: &str) -> Result<u64, String> {
    let (digits, unit) = ["KiB", "MiB", "GiB"]
        .iter()
        .zip([1u64 << 10, 1 << 20, 1 << 30])
        .find_map(|(suffix, unit)| text.strip_suffix(suffix).map(|digits| (digits, unit)))
        .unwrap_or((text, 1));
    parse_number(digits.trim_end().as_bytes())
        .and_then(|n| n.checked_mul(unit))
        .filter(|&n| n <= i64::MAX as u64)
        .ok_or_else(|| "a number of bytes is wanted, such as 4096, 64KiB, 10MiB or 1GiB".into())
}

fn parse_seconds(text: &str) -> Result<Duration, String> {
    parse_seconds_or_none(text)
        .ok()
        .filter(|duration| !duration.is_zero())
        .ok_or_else(|| "a number of seconds above 0 is wanted, such as 60 or 0.5".into())
}

fn parse_seconds_or_none(text: &str) -> Result<Duration, String> {
    text.parse()
        .ok()
        .and_then(|seconds| Duration::try_from_secs_f64(seconds).ok())
        // Beyond a century clocks overflow.
        .filter(|duration| *duration < Duration::from_secs(100 * 365 * 24 * 60 * 60))
        .ok_or_else(|| "a number of seconds is wanted, such as 60 or 0.5".into())
}

/// The host of `HOST:PORT`, if there is one.
fn host_of(addr: &str) -> Option<String> {
    let (host, _) = addr.rsplit_once(':')?;
    (!host.is_empty()).then(|| host.to_owned())
}

/// The socket that clients reach a server by: a listening socket, unless the model's options `O` ask for another
/// kind.
pub trait Endpoint<O>: Sized {
    /// Opens the socket on `addr`, the value of `--addr`.
    ///
    /// # Errors
    ///
    /// The address is taken, or is not an address of this machine.
    fn open(addr: &str, service: &Service, options: &O) -> io::Result<Self>;

    /// Returns the address that the socket is bound to.
    ///
    /// # Errors
    ///
    /// The system refuses to report it.
    fn local_addr(&self) -> io::Result<SocketAddr>;

    /// What follows the address in the line `listening on ADDRESS`; empty for a listening socket.
    fn remark(&self) -> &'static str {
        ""
    }
}

impl<O> Endpoint<O> for TcpListener {
    fn open(addr: &str, service: &Service, _: &O) -> io::Result<TcpListener> {
        listen_for(addr, service)
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        TcpListener::local_addr(self)
    }
}

#[derive(Parser)]
struct CommandLine<O: clap::Args> {
    #[command(flatten)]
    server: ServerOptions,
    #[command(flatten)]
    model: O,
}

/// The whole of a server's `main`: reads the command line of this process, then [`launch_from`].
pub fn launch<E: Endpoint<O>, O: clap::Args>(
    model: &Model,
    run: impl FnOnce(E, Service, O) -> io::Result<()>,
) -> ExitCode {
    launch_from(model, std::env::args_os().skip(1), run)
}

/// Parses `args`, opens the root, listens, says where, and calls `run`.
///
/// Exit codes: 0 after an orderly stop, 1 when `run` failed, 2 for a bad option, an unusable root or an
/// address that cannot be had, each with one line on standard error.
pub fn launch_from<E: Endpoint<O>, O: clap::Args>(
    model: &Model,
    args: impl IntoIterator<Item = OsString>,
    run: impl FnOnce(E, Service, O) -> io::Result<()>,
) -> ExitCode {
    let args = std::iter::once(OsString::from(model.name)).chain(args);
    let about = format!("A file server with {}", model.unit);
    let command = <CommandLine<O> as clap::CommandFactory>::command()
        .name(model.name)
        .about(about)
        .version(env!("CARGO_PKG_VERSION"));
    let matches = match command.try_get_matches_from(args) {
        Ok(matches) => matches,
        Err(error) => return complain(model, &error),
    };
    let options = match <CommandLine<O> as clap::FromArgMatches>::from_arg_matches(&matches) {
        Ok(options) => options,
        Err(error) => return complain(model, &error),
    };
    return_freed_blocks();
    log::start(options.server.verbose);
    let (endpoint, service) = match prepare(model, &options.server, &options.model) {
        Ok(ready) => ready,
        Err(error) => {
            log::line(format_args!("{}: {error}", model.name));
            return ExitCode::from(2);
        }
    };
    let outcome = run(endpoint, service.clone(), options.model);
    let code = match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            log::line(format_args!("{}: {error}", model.name));
            ExitCode::FAILURE
        }
    };
    if let Some(trace) = service.trace() {
        trace.wait_for_children(CUT_GRACE);
    }
    finish(&service);
    code
}

/// Prints an error of the command line in one line, or the help that was asked for; returns the exit code.
fn complain(model: &Model, error: &clap::Error) -> ExitCode {
    if !error.use_stderr() {
        // A reader that has gone away (`--help | head -1`) is no failure.
        let _ = error.print();
        return ExitCode::SUCCESS;
    }
    let text = error.to_string();
    let mut lines = text.lines().map(str::trim).take_while(|line| !line.is_empty());
    let first = lines.next().unwrap_or_default().trim_start_matches("error: ").to_owned();
    let line = lines.fold(first, |line, more| line + " " + more);
    log::line(format_args!("{}: {line} (see --help)", model.name));
    ExitCode::from(2)
}

/// A step between the options and `run` that has failed, and its error.
struct Unusable(String, io::Error);

impl fmt::Display for Unusable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Unusable(what, error) = self;
        write!(f, "{what}: {error}")
    }
}

fn prepare<E: Endpoint<O>, O>(
    model: &Model,
    options: &ServerOptions,
    own: &O,
) -> Result<(E, Service), Unusable> {
    block_signals().map_err(|error| Unusable("cannot block signals".into(), error))?;
    let max_connections = options.max_connections.min(descriptors_for_connections());
    if max_connections < options.max_connections {
        tracing::warn!(
            "--max-connections {} lowered to {max_connections}: the descriptor limit allows no more",
            options.max_connections
        );
    }
    let open = if options.no_flock { Store::open_without_locks } else { Store::open };
    let store = open(&options.root, !options.read_only, options.sync)
        .map_err(|error| Unusable(format!("cannot serve the folder {:?}", options.root), error))?;
    let store = if options.no_tmpfile { store.without_anonymous_files() } else { store };
    let trace = options.trace.as_ref().map(|path| {
        Trace::create(path, model.name)
            .map_err(|error| Unusable(format!("cannot write the trace {path:?}"), error))
    });
    let service = Service::traced(
        store,
        Settings {
            max_file_size: options.max_file_size,
            max_connections,
            idle_timeout: options.idle_timeout,
            header_timeout: options.header_timeout,
            transfer_timeout: options.transfer_timeout,
            drain_timeout: options.drain_timeout,
            copy: options.copy,
            listing_room: options.listing_room,
            host: host_of(&options.addr),
            model: Some(*model),
        },
        trace.transpose()?,
    );
    let cannot_listen = |error: io::Error| {
        let what = format!("cannot listen on {}", options.addr.escape_debug());
        let hint = match error.kind() {
            io::ErrorKind::AddrInUse => {
                "; stop the other server, or pass --addr HOST:0 for a free port"
            }
            _ => "",
        };
        Unusable(what, io::Error::new(error.kind(), format!("{error}{hint}")))
    };
    let endpoint = E::open(&options.addr, &service, own).map_err(cannot_listen)?;
    let addr = endpoint.local_addr().map_err(cannot_listen)?;
    let remark = endpoint.remark();
    log::print(&format!("listening on {addr}{remark}\n"));
    Ok((endpoint, service))
}

/// Raises the soft limit on descriptors to the hard one; returns how many are left for connections.
fn descriptors_for_connections() -> usize {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    let raised = setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum }).is_ok();
    match if raised { maximum } else { current } {
        None => usize::MAX,
        Some(limit) => {
            usize::try_from(limit).unwrap_or(usize::MAX).saturating_sub(RESERVED_DESCRIPTORS).max(1)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_host_of_an_address() {
        for (addr, host) in [
            ("box.lan:9000", Some("box.lan")),
            ("[::1]:9000", Some("[::1]")),
            (":9000", None),
            ("9000", None),
            ("", None),
        ] {
            assert_eq!(host_of(addr).as_deref(), host, "{addr}");
        }
    }
}
