//! What can go wrong, as the person reads it and as the shell sees it.

use std::io::{self, ErrorKind, Write};
use std::path::Path;

use file_service::client;

use crate::text::printable;

/// Why a command, or its part for one file, was not done.
#[derive(Debug)]
pub(crate) enum Failure {
    /// The server said no, or a local file is not to be had.
    Refused(String),
    /// The words make no sense together.
    Usage(String),
    /// The connection broke or verification failed, for this file.
    Broken(String),
    /// There is no server to talk to; the next file would fare no better.
    Unreachable(String),
    /// The person, or the system, told the program to stop with this signal.
    Interrupted(u8),
    /// Whoever read standard output has left: `file_client list | head`.
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

    /// What the shell is told.
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
    pub(crate) fn ends_all(&self) -> bool {
        matches!(self, Failure::Unreachable(_) | Failure::Interrupted(_) | Failure::OutputClosed)
    }

    /// Prints the message, if there is anything to say.
    pub(crate) fn report(&self) {
        match self {
            Failure::Refused(message)
            | Failure::Usage(message)
            | Failure::Broken(message)
            | Failure::Unreachable(message) => tell(&format!("error: {message}")),
            Failure::Interrupted(_) => tell("interrupted"),
            Failure::OutputClosed => {}
        }
    }
}

/// One line on standard error; a closed standard error is nobody's problem.
pub(crate) fn tell(line: &str) {
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
