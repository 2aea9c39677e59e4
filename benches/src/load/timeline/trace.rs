//! The events of a server's trace.

use serde::Deserialize;
use std::io;
use std::net::SocketAddr;
use std::path::Path;

/// A trace that was read.
#[derive(Clone, Debug)]
pub struct Trace {
    /// When its clock began, in nanoseconds of `CLOCK_MONOTONIC`.
    pub start: u64,
    /// What happened, in the order of time.
    pub events: Vec<Event>,
}

/// One event of a trace.
#[derive(Clone, Debug, Deserialize)]
pub struct Event {
    /// Its kind in the trace event format: `X` a slice, `i` an instant, `b` and `e` the ends of an
    /// asynchronous span, `B` and `E` those of a slice, `M` metadata.
    pub ph: String,
    /// What it is about.
    pub name: String,
    /// When, in microseconds since the start of the server.
    #[serde(default)]
    pub ts: f64,
    /// For how long, in microseconds; of a slice.
    #[serde(default)]
    pub dur: f64,
    /// The process.
    pub pid: u32,
    /// The thread.
    pub tid: u32,
    /// The connection, as the asynchronous events have it.
    id: Option<String>,
    #[serde(default)]
    pub(super) args: Args,
}

#[derive(Clone, Debug, Default, Deserialize)]
pub(super) struct Args {
    connection: Option<u64>,
    pub(super) name: Option<String>,
    /// The client's address, of an `accept`.
    pub(super) peer: Option<SocketAddr>,
    /// The trace's zero by `CLOCK_MONOTONIC`, in nanoseconds; of the `clock`.
    start_ns: Option<String>,
    #[serde(default)]
    at_once: bool,
    /// How long the slice's worker was waited for, in microseconds.
    waited: Option<f64>,
}

impl Event {
    /// Which connection it concerns.
    pub fn connection(&self) -> Option<u64> {
        self.args.connection.or_else(|| self.id.as_ref()?.parse().ok())
    }

    fn end(&self) -> f64 {
        self.ts + self.dur
    }

    /// When it began and when it ended, in nanoseconds since the trace's zero.
    pub(super) fn nanos(&self) -> (u64, u64) {
        let nanos = |micros: f64| (micros * 1e3).round().max(0.0) as u64;
        let start = nanos(self.ts);
        (start, start + nanos(self.dur))
    }
}

/// Reads a trace file. The closing bracket may be missing, as in that of a killed server.
///
/// # Errors
///
/// It cannot be read, or is not a trace of a server of this workspace.
pub fn read(path: &Path) -> io::Result<Trace> {
    let text = std::fs::read_to_string(path)?;
    let text = text.trim_end();
    let closed = if text.ends_with(']') { text.to_owned() } else { format!("{text}]") };
    let mut events: Vec<Event> = serde_json::from_str(&closed)?;
    let clock = events.iter().find(|event| event.name == "clock");
    let start = clock.and_then(|event| event.args.start_ns.as_ref()?.parse().ok());
    let start = start.ok_or_else(|| io::Error::other("it has no clock event with start_ns"))?;
    // Events that a slice stands for: the queue that it ends, and a reply sent in one piece, whose
    // first byte and finish are at its end.
    let mut derived = Vec::new();
    for slice in &events {
        let args = || Args { connection: slice.args.connection, ..Args::default() };
        let mut derive = |ph: &str, name: &str, ts| {
            let (ph, name) = (ph.to_owned(), name.to_owned());
            derived.push(Event { ph, name, ts, dur: 0.0, args: args(), id: None, ..*slice });
        };
        if let Some(waited) = slice.args.waited {
            derive("b", "dispatch", slice.ts - waited);
            derive("e", "dispatch", slice.ts);
        }
        if slice.args.at_once {
            derive("i", "first byte", slice.end());
            derive("i", "finish", slice.end());
        }
    }
    events.extend(derived);
    events.sort_by(|a, b| a.ts.total_cmp(&b.ts));
    Ok(Trace { start, events })
}
