//! The same 50 requests to each model, a slow client among them, as a timeline for the report.
//!
//! Two sources, one clock: each client notes when it sent and when the reply came, since a server cannot see a client that waits
//! to be accepted; and the server's trace has what its workers did. A server writes its trace when it is started with `--trace`;
//! see [`file_service::trace`]. The trace counts from its first event, which has that moment by `CLOCK_MONOTONIC`.

mod drive;
mod lanes;
mod trace;

#[cfg(test)]
mod tests;

pub use trace::{Event, Trace, read};

use super::report::Timeline;
use crate::{Placement, Server, Variant, files};
use std::io;
use std::process::Command;

/// Has a server answer 50 requests, one of them from a slow client. Returns what its clients waited for and what its workers
/// did.
///
/// `serve` is a command that takes a model's name and its options, as the `serve` binary does.
///
/// # Errors
///
/// The server cannot be started, does not answer, or leaves no trace of each client.
pub fn record(serve: Command, variant: &Variant) -> io::Result<Timeline> {
    let directory = crate::tether::Scratch::new("timeline-")?;
    let root = directory.path().join("root");
    std::fs::create_dir(&root)?;
    files::make_file(&root.join("small"), drive::SMALL)?;
    files::make_file(&root.join("large"), drive::LARGE)?;
    let trace = directory.path().join("trace.json");
    let path = trace.to_str().ok_or(io::ErrorKind::InvalidFilename)?;
    let within = |what: &'static str| move |error| io::Error::other(format!("{what}: {error}"));
    let server = Server::start(serve, variant, &root, &["--trace", path], Placement::Unpinned)
        .map_err(within("it does not start"))?;
    let clients = drive::drive(server.addr()).map_err(within("its clients"))?;
    drop(server); // stops it in order, so the file is complete
    let timeline = read(&trace).and_then(|trace| lanes::timeline(variant, &clients, &trace));
    timeline.map_err(within("its trace"))
}
