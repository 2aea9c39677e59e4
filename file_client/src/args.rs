//! The command line. The prompt reads its lines with the same grammar.

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Parser, Subcommand};

/// Talks to a file server: lists, fetches, stores and checks files.
///
/// Without a command: a prompt on a terminal, else one command per line from standard input.
#[derive(Debug, Parser)]
#[command(name = "file_client", version, after_help = EXIT_CODES)]
pub struct Args {
    /// The server's address.
    #[arg(
        long,
        global = true,
        value_name = "HOST:PORT",
        default_value = "127.0.0.1:9000",
        value_parser = address
    )]
    pub(crate) addr: String,

    /// Give up on a server that stays silent for so many seconds; 0 waits for ever.
    #[arg(
        long,
        global = true,
        value_name = "SECONDS",
        default_value = "120",
        value_parser = seconds
    )]
    pub(crate) timeout: Duration,

    /// Ask by datagram, as `iterative_server --udp` serves: list, hash, and get of files up to 1 MiB.
    #[arg(long, global = true)]
    pub(crate) udp: bool,

    #[command(subcommand)]
    pub(crate) command: Option<Command>,
}

const EXIT_CODES: &str = "\
Exit codes:
  0  done
  1  the server refused, or a local file cannot be read or written
  2  wrong usage
  3  no connection, connection lost, or verification failed
  128+N  ended by signal N
With several files the rest is still done, and the first failure decides.";

const HASH_HELP: &str = "\
A name that exists is taken literally, even if it looks like a pattern.";

const GET_HELP: &str = "\
A name that exists is taken literally, even if it looks like a pattern.

What FILE is decides what happens to it:
  regular file    replaced in one step, when everything has arrived and is
                  verified; it keeps its mode, its access control list and,
                  where permitted, its owner and group. Further hard links of
                  the old file keep the old content.
  symbolic link   followed: the file it points to is replaced or created
  device, FIFO    written into. The opening of a FIFO waits for a reader.
Bytes written to a device, a FIFO or standard output cannot be taken back: if
verification fails afterwards, an error says so.

With --resume, NAME.HASH.part next to FILE keeps what arrived. HASH stands for
the server's address, the file's name there and its name here.";

const PUT_HELP: &str = "\
A name that exists is taken literally, even if it looks like a pattern.
Files whose content the kernel makes up, as in /proc, are stored as they read.";

const PROMPT_HELP: &str = "\
`help get` tells more about get. Names with spaces go in quotes: get 'my file.txt'.
Tab completes commands, options and names. Ctrl-C ends a transfer, Ctrl-D the session.";

/// What can be asked, from the shell and at the prompt.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Show a folder of the server.
    #[command(visible_alias = "ls")]
    List {
        /// Which one; the served root if absent.
        dir: Option<OsString>,
        /// Print a JSON array of objects with name, encoded (the exact name, percent-encoded), kind, size and mtime.
        #[arg(long)]
        json: bool,
    },
    /// Fetch files; each lands under its name only when complete and verified.
    #[command(after_help = GET_HELP)]
    Get {
        /// Names on the server; * ? and [...] match there.
        #[arg(required = true, value_name = "NAME")]
        names: Vec<OsString>,
        /// Save as FILE or into folder DIR; - is standard output.
        #[arg(short, long, value_name = "FILE|DIR")]
        output: Option<PathBuf>,
        /// Keep what arrived for the next try, and go on from it.
        #[arg(long)]
        resume: bool,
    },
    /// Store files, verified afterwards.
    #[command(after_help = PUT_HELP)]
    Put {
        /// Local files; patterns that the shell left alone are matched here.
        #[arg(required = true, value_name = "FILE")]
        files: Vec<PathBuf>,
        /// The name on the server, for a single file.
        #[arg(long = "as", value_name = "NAME", conflicts_with = "dir")]
        name: Option<OsString>,
        /// The folder on the server.
        #[arg(long = "to", value_name = "DIR")]
        dir: Option<OsString>,
    },
    /// Print the SHA-256 of files, computed by the server.
    #[command(after_help = HASH_HELP)]
    Hash {
        /// Names on the server; * ? and [...] match there.
        #[arg(required = true, value_name = "NAME")]
        names: Vec<OsString>,
    },
}

/// One line at the prompt.
#[derive(Debug, Parser)]
#[command(
    multicall = true,
    disable_version_flag = true,
    subcommand_required = true,
    about = "What you can say here:",
    after_help = PROMPT_HELP,
    help_template = "{about}\n\n{subcommands}{after-help}"
)]
pub(crate) struct Line {
    #[command(subcommand)]
    pub(crate) command: LineCommand,
}

/// What can be said at the prompt only, beside everything else.
#[derive(Debug, Subcommand)]
pub(crate) enum LineCommand {
    #[command(flatten)]
    Command(Command),
    /// Leave; so does Ctrl-D.
    #[command(visible_alias = "exit")]
    Quit,
}

fn address(text: &str) -> Result<String, String> {
    match text.rsplit_once(':') {
        Some((host, port)) if !host.is_empty() && port.parse::<u16>().is_ok() => {
            Ok(text.to_string())
        }
        _ => Err("expected HOST:PORT, for example 127.0.0.1:9000".to_string()),
    }
}

fn seconds(text: &str) -> Result<Duration, String> {
    let seconds: u32 = text.parse().map_err(|_| "expected whole seconds".to_string())?;
    Ok(Duration::from_secs(u64::from(seconds)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn grammars_are_consistent() {
        Args::command().debug_assert();
        Line::command().debug_assert();
    }

    #[test]
    fn address_needs_a_port() {
        for good in ["127.0.0.1:9000", "localhost:0", "[::1]:65535"] {
            assert!(address(good).is_ok(), "{good}");
        }
        for bad in ["", "localhost", ":9000", "host:", "host:65536", "host:-1"] {
            assert!(address(bad).is_err(), "{bad}");
        }
    }
}
