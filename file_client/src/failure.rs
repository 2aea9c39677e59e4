//! What can go wrong, as the person reads it and as the shell sees it.

use std::io::{self, ErrorKind, Write};
use std::path::Path;

use file_service::client;

use crate::text::printable;

/// Why a command, or its part for one file, was not done.
#[derive(Debug)]
pub(crate) enum Failure {
    /// The server refused, or a local file cannot be used.
    Refused(String),
    /// The arguments make no sense together.
    Usage(String),
    /// The connection broke or verification failed, for this file.
    Broken(String),
    /// No server can be reached; the next file would fail, too.
    Unreachable(String),
    /// This signal ended the program.
    Interrupted(u8),
    /// The reader of standard output has closed it: `file_client list | head`.
    OutputClosed,
}

/// The exit code of a refusal.
pub(crate) const REFUSED: u8 = 1;
/// The exit code of wrong usage.
pub(crate) const USAGE: u8 = 2;
/// The exit code of a lost connection or a failed verification.
pub(crate) const BROKEN: u8 = 3;

impl Failure {
    /// An error of the client library, met while busy with `what`.
    pub(crate) fn of_server(what: &str, error: client::Error) -> Failure {
        match error {
            client::Error::Refused { code, message } => {
                let message = printable(message.as_bytes());
                Failure::Refused(format!("{what}: {message} ({code})"))
            }
            client::Error::Unanswered { .. } => Failure::Unreachable(format!(
                "{what}: {error}; does a server with --udp run there?"
            )),
            // Connections are made elsewhere: this is the network's answer to a datagram.
            client::Error::Connect(error) => Failure::Unreachable(format!(
                "{what}: {}; does a server with --udp run there?",
                reason(&error)
            )),
            other => Failure::Broken(format!("{what}: {other}")),
        }
    }

    /// A local file that cannot be used: `doing` says for what.
    pub(crate) fn of_file(doing: &str, path: &Path, error: &io::Error) -> Failure {
        let path = printable(path.as_os_str().as_encoded_bytes());
        Failure::Refused(format!("cannot {doing} {path}: {}", reason(error)))
    }

    /// Standard output that cannot be written.
    pub(crate) fn of_output(error: &io::Error) -> Failure {
        match error.kind() {
            ErrorKind::BrokenPipe => Failure::OutputClosed,
            _ => Failure::Refused(format!("cannot write to standard output: {}", reason(error))),
        }
    }

    /// The exit code of the program.
    pub(crate) fn exit_code(&self) -> u8 {
        match self {
            Failure::Refused(_) => REFUSED,
            Failure::Usage(_) => USAGE,
            Failure::Broken(_) | Failure::Unreachable(_) => BROKEN,
            Failure::Interrupted(signal) => 128 + signal,
            // A reader who has seen enough is no failure.
            Failure::OutputClosed => 0,
        }
    }

    /// Whether going on with the next file is pointless or unwanted.
    pub(crate) fn is_final(&self) -> bool {
        matches!(self, Failure::Unreachable(_) | Failure::Interrupted(_) | Failure::OutputClosed)
    }

    /// Prints the message, if there is one.
    pub(crate) fn report(&self) {
        match self {
            Failure::Refused(message)
            | Failure::Usage(message)
            | Failure::Broken(message)
            | Failure::Unreachable(message) => eprint_line(&format!("error: {message}")),
            Failure::Interrupted(_) => eprint_line("interrupted"),
            Failure::OutputClosed => {}
        }
    }
}

/// Prints a line on standard error; an error of that is ignored.
pub(crate) fn eprint_line(line: &str) {
    let _ = writeln!(io::stderr(), "{line}");
}

/// The reason in words, without the number of the operating system where words exist.
pub(crate) fn reason(error: &io::Error) -> String {
    let text = error.to_string();
    match text.split_once(" (os error ") {
        Some((words, _)) => words.to_lowercase(),
        None => text,
    }
}
