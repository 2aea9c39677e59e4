//! The trace of a server, as a strip for the report: the same 50 requests to each model, with a slow
//! client among them.
//!
//! A server writes its trace when it is told to with `--trace`; see [`file_service::trace`].

use super::report::{Lane, Span, Timeline};
use crate::{Placement, Server, Variant, files};
use file_service::client::Client;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use serde::Deserialize;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::Command;
use std::thread;
use std::time::Duration;

/// How many requests the quick clients make, in all.
const REQUESTS: usize = 50;

/// How many quick clients there are. Each makes an equal share of the requests, one after the other.
const CLIENTS: usize = 5;

/// What a quick client asks for, in bytes.
const SMALL: u64 = 64 * 1024;

/// What the slow client asks for, in bytes: much more than the sockets' buffers hold.
const LARGE: u64 = 16 << 20;

/// How long the slow client pauses before each mebibyte that it reads.
const PAUSE: Timespec = Timespec { tv_sec: 0, tv_nsec: 6_000_000 };

/// How long any client waits for the server.
const PATIENCE: Duration = Duration::from_secs(60);

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
    args: Args,
}

#[derive(Clone, Debug, Default, Deserialize)]
struct Args {
    connection: Option<u64>,
    name: Option<String>,
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
    // What a slice says in short of other events: the queue that it ends, and a reply sent in one piece, whose
    // first byte and finish are at its end.
    let mut told = Vec::new();
    for slice in &events {
        let args = || Args { connection: slice.args.connection, ..Args::default() };
        let mut tell = |ph: &str, name: &str, ts| {
            let (ph, name) = (ph.to_owned(), name.to_owned());
            told.push(Event { ph, name, ts, dur: 0.0, args: args(), id: None, ..*slice });
        };
        if let Some(waited) = slice.args.waited {
            tell("b", "dispatch", slice.ts - waited);
            tell("e", "dispatch", slice.ts);
        }
        if slice.args.at_once {
            tell("i", "first byte", slice.end());
            tell("i", "finish", slice.end());
        }
    }
    events.extend(told);
    events.sort_by(|a, b| a.ts.total_cmp(&b.ts));
    Ok(events)
}

/// What the workers of `server` did, by a trace of it. The connections in `slow` are those of slow
/// clients.
///
/// A worker is a thread that has served a request; in a model whose processes have one client each, the
/// process. While a connection waits for a worker, that is shown in the lane of the one that it got.
pub fn strip(server: &str, events: &[Event], slow: &BTreeSet<u64>) -> Timeline {
    let mut lanes: BTreeMap<(u32, u32), Vec<Span>> = BTreeMap::new();
    let mut order = Vec::new();
    // Requests are counted as they begin. One that its worker had to let go is several slices.
    let mut open: HashMap<u64, u64> = HashMap::new();
    let mut waits: HashMap<u64, f64> = HashMap::new();
    let mut count = 0;
    let first = events.iter().find(|e| e.name == "accept").map_or(0.0, |event| event.ts);
    let span = |from: f64, to: f64, request, kind: &str| {
        let (start_us, end_us) = ((from - first).max(0.0) as u64, (to - first).max(0.0) as u64);
        Span { start_us, end_us, request, kind: kind.into() }
    };
    for event in events {
        let worker = (event.pid, event.tid);
        let Some(connection) = event.connection() else { continue };
        match (&event.ph[..], &event.name[..]) {
            ("b", "dispatch") => {
                waits.insert(connection, event.ts);
            }
            ("X", _) => {
                let request = *open.entry(connection).or_insert_with(|| {
                    count += 1;
                    count
                });
                if !lanes.contains_key(&worker) {
                    order.push(worker);
                }
                let lane = lanes.entry(worker).or_default();
                if let Some(since) = waits.remove(&connection) {
                    // What it waited while this worker served others is in the lane already.
                    let free = lane.iter().map(|s| s.end_us as f64 + first).fold(since, f64::max);
                    if free < event.ts {
                        lane.push(span(free, event.ts, request, "wait"));
                    }
                }
                let kind = if slow.contains(&connection) { "slow" } else { "serve" };
                lane.push(span(event.ts, event.end(), request, kind));
            }
            ("i", "finish") => {
                open.remove(&connection);
            }
            _ => {}
        }
    }
    let names: HashMap<(u32, u32), &str> = events
        .iter()
        .filter(|event| event.name == "thread_name")
        .filter_map(|event| Some(((event.pid, event.tid), event.args.name.as_deref()?)))
        .collect();
    let processes: BTreeSet<u32> = order.iter().map(|(pid, _)| *pid).collect();
    let lanes = order
        .iter()
        .enumerate()
        .map(|(at, worker)| {
            let what = if processes.len() > 1 { "process" } else { "thread" };
            let name = match names.get(worker) {
                Some(name) if name.starts_with("worker ") => (*name).to_owned(),
                _ => format!("{what} {}", at + 1),
            };
            Lane { name, spans: lanes.remove(worker).unwrap_or_default() }
        })
        .collect();
    Timeline { server: server.into(), lanes }
}

/// Has a server answer 50 requests, with a slow client among them, and gives what its workers did.
///
/// `serve` is a command that takes a model's name and its options, as the `serve` binary does.
///
/// # Errors
///
/// The server cannot be started, does not answer, or leaves no trace.
pub fn record(serve: Command, variant: &Variant) -> io::Result<Timeline> {
    let folder = tempfile::tempdir()?;
    let root = folder.path().join("root");
    std::fs::create_dir(&root)?;
    files::make_file(&root.join("small"), SMALL)?;
    files::make_file(&root.join("large"), LARGE)?;
    let trace = folder.path().join("trace.json");
    let path = trace.to_str().ok_or(io::ErrorKind::InvalidFilename)?;
    let within = |what: &'static str| move |error| io::Error::other(format!("{what}: {error}"));
    let server = Server::start(serve, variant, &root, &["--trace", path], Placement::Unpinned)
        .map_err(within("it does not start"))?;
    drive(server.addr()).map_err(within("its clients"))?;
    drop(server); // stops it in order, so the file is complete
    let events = read(&trace).map_err(within("its trace"))?;
    let slow = events
        .iter()
        .filter(|event| event.ph == "X" && event.name == "GET large")
        .filter_map(Event::connection)
        .collect();
    Ok(strip(variant.label, &events, &slow))
}

/// The slow client is being served when the quick ones come.
fn drive(addr: SocketAddr) -> io::Result<()> {
    let mut slow = TcpStream::connect(addr)?;
    slow.set_read_timeout(Some(PATIENCE))?;
    slow.write_all(b"GET large\n")?;
    slow.read_exact(&mut [0])?;
    thread::scope(|scope| {
        let quick: Vec<_> = (0..CLIENTS).map(|_| scope.spawn(|| read_quickly(addr))).collect();
        let mut outcome = read_slowly(&mut slow);
        drop(slow);
        for client in quick {
            let failed = || Err(io::Error::other("a client has panicked"));
            outcome = outcome.and(client.join().unwrap_or_else(|_| failed()));
        }
        outcome
    })
}

fn read_quickly(addr: SocketAddr) -> io::Result<()> {
    let mut client = Client::connect_timeout(addr, PATIENCE).map_err(io::Error::other)?;
    client.set_timeout(Some(PATIENCE))?;
    for _ in 0..REQUESTS / CLIENTS {
        client.get("small").map_err(io::Error::other)?;
    }
    Ok(()) // without a farewell, which would be one request more
}

fn read_slowly(slow: &mut TcpStream) -> io::Result<()> {
    let mut chunk = vec![0; 1 << 20];
    let mut left = LARGE;
    while left > 0 {
        // Nothing is waited for but the end of the pause, or of the server.
        poll(&mut [PollFd::new(&*slow, PollFlags::empty())], Some(&PAUSE))?;
        let wanted = left.min(1 << 20) as usize;
        slow.read_exact(&mut chunk[..wanted])?;
        left -= wanted as u64;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(text: &str) -> Event {
        serde_json::from_str(text).unwrap()
    }

    #[test]
    fn slices_become_spans_and_queues_become_waits() {
        let events = [
            event(r#"{"ph":"M","name":"thread_name","pid":1,"tid":3,"args":{"name":"worker 0"}}"#),
            event(r#"{"ph":"i","name":"accept","ts":100,"pid":1,"tid":2,"args":{"connection":1}}"#),
            event(r#"{"ph":"b","name":"dispatch","ts":101,"pid":1,"tid":3,"id":"1"}"#),
            event(
                r#"{"ph":"X","name":"GET a","ts":110,"dur":5,"pid":1,"tid":3,"args":{"connection":1}}"#,
            ),
            event(
                r#"{"ph":"X","name":"GET a","ts":120.5,"dur":5,"pid":1,"tid":4,"args":{"connection":1}}"#,
            ),
            event(
                r#"{"ph":"i","name":"finish","ts":125.5,"pid":1,"tid":4,"args":{"connection":1}}"#,
            ),
            event(
                r#"{"ph":"X","name":"GET b","ts":130,"dur":1,"pid":1,"tid":3,"args":{"connection":1}}"#,
            ),
        ];
        let strip = strip("pool", &events, &BTreeSet::new());
        let span = |start_us, end_us, request, kind: &str| Span {
            start_us,
            end_us,
            request,
            kind: kind.into(),
        };
        let first = [span(1, 10, 1, "wait"), span(10, 15, 1, "serve"), span(30, 31, 2, "serve")];
        assert_eq!(strip.lanes[0], Lane { name: "worker 0".into(), spans: first.into() });
        let second = Lane { name: "thread 2".into(), spans: vec![span(20, 25, 1, "serve")] };
        assert_eq!(strip.lanes[1], second);
    }

    #[test]
    fn what_is_no_trace_is_an_error() {
        let file = tempfile::NamedTempFile::new().unwrap();
        assert!(read(file.path()).is_err());
        std::fs::write(file.path(), "[\n{\"ph\":\"M\",\"name\":\"x\",\"pid\":1,\"tid\":1}\n")
            .unwrap();
        assert_eq!(read(file.path()).unwrap().len(), 1);
    }
}
