//! The person's client of the file service: a prompt, and the same commands from the shell.
//!
//! ```text
//! file_client                                   a prompt on 127.0.0.1:9000
//! file_client --addr HOST:PORT list --json
//! file_client get 'logs/*.txt' -o backup/       quoted: the server's names are matched
//! file_client get big.iso --resume              goes on where an earlier try stopped
//! file_client get video.mkv -o -                standard output; a device or FIFO works, too
//! file_client put report.pdf --to incoming
//! file_client --udp get notes.txt               by datagram, asked until answered
//! echo 'hash big.iso' | file_client             commands from a pipe
//! ```
//!
//! What arrives is verified. A download lands under its name, by a rename, only after the server's
//! `HASH` agreed with the bytes received, and an upload is confirmed the same way. Where a
//! server does not know `HASH`, nothing is verified, and a line on standard error says so.
//!
//! Until it lands, a download has no name where the file system permits that, so nothing is left of it
//! however the client ends. With `--resume` it is in a partial file whose name holds a hash of the
//! server's address and of both names; no file of another name is continued or removed.
//!
//! | module | what it holds |
//! |---|---|
//! | `args` | the command line, which is also the grammar of the prompt |
//! | `commands` | what each command does, file by file |
//! | `transfer` | one download, one upload, each with its verification |
//! | `destination` | where a download lands: a file that is replaced, a device or FIFO that is written into |
//! | `partial` | what `--resume` keeps of a download |
//! | `names` | which names a pattern means, and which are safe to use here |
//! | `remote` | the connection, made again when the server has closed it |
//! | `prompt`, `complete`, `words` | the interactive side: lines, Tab, quoting |
//! | `interrupt` | a signal ends the transfer first and the program only after |
//! | `failure`, `text`, `progress` | exit codes and messages, numbers for people, the bar |

#![forbid(unsafe_code)]

mod args;
mod commands;
mod complete;
mod destination;
mod failure;
mod interrupt;
mod names;
mod partial;
mod progress;
mod prompt;
mod remote;
mod text;
mod transfer;
mod words;

use std::io::{self, IsTerminal};
use std::process::ExitCode;

pub use args::Args;

use remote::Remote;

/// Runs the command of `args`, or the prompt, or the commands on standard input.
///
/// To be called once, from a process that has no other thread yet: signals are blocked here so
/// that a thread of its own can take them.
pub fn run(args: Args) -> ExitCode {
    interrupt::watch();
    let mut remote = Remote::new(args.addr, args.timeout, args.udp);
    let code = match args.command {
        Some(command) => commands::run(&mut remote, command),
        // A prompt nobody sees, or that goes into a file, helps nobody.
        None if io::stdin().is_terminal() && io::stdout().is_terminal() => {
            prompt::interactive(remote)
        }
        None => prompt::scripted(&mut remote, io::stdin().lock()),
    };
    ExitCode::from(code)
}
