//! The events of a server's trace.

use serde::Deserialize;
use std::io;
use std::path::Path;

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

    pub(super) fn end(&self) -> f64 {
        self.ts + self.dur
    }
}

/// The events of a trace file, in the order of time. The closing bracket may be missing.
///
/// # Errors
///
/// It cannot be read, or is no trace.
pub fn read(path: &Path) -> io::Result<Vec<Event>> {
    let text = std::fs::read_to_string(path)?;
    let text = text.trim_end();
    let closed = if text.ends_with(']') { text.to_owned() } else { format!("{text}]") };
    let mut events: Vec<Event> = serde_json::from_str(&closed)?;
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
    Ok(events)
}
