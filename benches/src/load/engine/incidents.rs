//! What happened to the connections of a phase, as notes on its figures.

use super::target;
use crate::load::recording::{ErrorKind, Recording, Totals};
use std::net::SocketAddr;

/// The note where no connection had a byte of a reply.
const NO_REPLY: &str = "the server closed every connection without a reply; it may speak a protocol other than --protocol";

/// The note where the server expects TLS at `addr`.
fn tls_note(addr: impl std::fmt::Display) -> String {
    format!("{addr} speaks TLS; loadgen speaks plain HTTP: put the server's plain port into --addr")
}

/// Explains recordings without any byte of a reply, if the server at `addr` speaks TLS. One that does so closes at once.
pub(super) fn explain_silence(recordings: &mut [Recording], addr: SocketAddr) {
    let lost = ErrorKind::Lost.as_str();
    let silent = |run: &Recording| run.totals.bytes_in == 0 && run.errors.contains_key(lost);
    if recordings.iter().all(silent) && target::speaks_tls(addr) {
        for recording in recordings {
            recording.notes.retain(|note| note != NO_REPLY);
            recording.notes.push(tls_note(addr));
        }
    }
}

/// What happened to the connections of one phase.
#[derive(Debug, Default)]
pub(super) struct Incidents {
    /// How often a client paused for the time that the workload sets, in nanoseconds.
    pauses: u64,
    pause: u64,
    /// How often it paused for as long as the server asked for, and the shortest and longest such pause.
    asked: u64,
    asked_range: (u64, u64),
    outages: Vec<Outage>,
    /// The first line of the first reply that was an error.
    first_error: Option<String>,
    /// The address at which the server expects TLS.
    expects_tls: Option<String>,
}

/// A time in which connections were refused. Times are nanoseconds since the phase began to be measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Outage {
    pub(super) from: u64,
    pub(super) length: u64,
    /// Whether no client had a connection.
    pub(super) total: bool,
}

impl Incidents {
    /// A client pauses after an error, `length` nanoseconds; because the server asked for that, or else the workload.
    pub(super) fn pause(&mut self, length: u64, asked: bool) {
        if !asked {
            self.pauses += 1;
            self.pause = length;
            return;
        }
        let (least, most) = if self.asked == 0 { (length, length) } else { self.asked_range };
        self.asked_range = (least.min(length), most.max(length));
        self.asked += 1;
    }

    /// New connections were refused for a time.
    pub(super) fn outage(&mut self, outage: Outage) {
        self.outages.push(outage);
    }

    /// When the last time began in which no client had a connection.
    pub(super) fn away_since(&self) -> Option<u64> {
        self.outages.iter().rev().find(|outage| outage.total).map(|outage| outage.from)
    }

    /// A reply was an error: its first line is made by `line`. The server expects TLS at this address, if at any.
    pub(super) fn error(&mut self, line: impl FnOnce() -> String, expects_tls: Option<String>) {
        if self.first_error.is_none() {
            self.first_error = Some(line());
        }
        self.expects_tls = self.expects_tls.take().or(expects_tls);
    }

    /// All that a reader has to know, a sentence each.
    pub(super) fn notes(&self, totals: &Totals, lost: u64) -> Vec<String> {
        let mut notes = Vec::new();
        let time = |nanos: u64| format!("{} s", nanos as f64 / 1e9);
        if self.pauses > 0 {
            let errors = plural(self.pauses, "error", "each of", "errors");
            notes.push(format!("clients paused {} after {errors}", time(self.pause)));
        }
        if self.asked > 0 {
            let (least, most) = self.asked_range;
            let range = match least == most {
                true => time(least),
                false => format!("{} to {}", time(least), time(most)),
            };
            let errors = plural(self.asked, "error", "each of", "errors");
            notes.push(format!(
                "clients paused {range} after {errors}, as Retry-After of the server asked"
            ));
        }
        for (total, what) in
            [(true, "the server was away"), (false, "new connections were refused")]
        {
            let outages: Vec<&Outage> =
                self.outages.iter().filter(|outage| outage.total == total).collect();
            let all: u64 = outages.iter().map(|outage| outage.length).sum();
            match outages[..] {
                [] => {}
                [one] => notes.push(format!(
                    "{what} once, for {:.1} s from {:.1} s on",
                    one.length as f64 / 1e9,
                    one.from as f64 / 1e9
                )),
                [first, ..] => notes.push(format!(
                    "{what} {} times, for {:.1} s in all, first from {:.1} s on",
                    outages.len(),
                    all as f64 / 1e9,
                    first.from as f64 / 1e9
                )),
            }
        }
        if let Some(addr) = &self.expects_tls {
            notes.push(tls_note(addr));
        }
        if totals.done == 0 {
            match &self.first_error {
                Some(line) => notes.push(format!("first refusal: {line}")),
                None if lost > 0 && totals.bytes_in == 0 => notes.push(NO_REPLY.into()),
                None => {}
            }
        }
        notes
    }
}

fn plural(count: u64, one: &str, each: &str, many: &str) -> String {
    match count {
        1 => format!("1 {one}"),
        count => format!("{each} {count} {many}"),
    }
}
