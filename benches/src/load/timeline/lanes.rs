//! The lanes of a timeline: each client by what it noted itself, each worker by the trace.

use super::drive::Client;
use super::trace::{Event, Trace};
use crate::Variant;
use crate::load::report::{Lane, Span, Timeline};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::io;

/// Returns what the clients of a server waited for, and what its workers did.
///
/// Requests are numbered in the order in which they were sent. A request of the trace is that of the client whose address the
/// connection has, and the one after so many replies.
///
/// # Errors
///
/// The trace lacks a client's connection, or replies of it.
pub(super) fn timeline(
    variant: &Variant,
    clients: &[Client],
    trace: &Trace,
) -> io::Result<Timeline> {
    let numbers = numbers(clients);
    let zero = clients.iter().flat_map(|client| &client.asked).map(|asked| asked.since).min();
    let zero = zero.unwrap_or(trace.start);
    let mut timeline = Timeline { server: variant.label.into(), ..Timeline::default() };
    let mut workers: BTreeMap<(u32, u32), Vec<Span>> = BTreeMap::new();
    for (client, numbers) in clients.iter().zip(&numbers) {
        let span = |from: u64, to: u64, request, kind: &str| {
            let micros = |nanos: u64| nanos.saturating_sub(zero) / 1000;
            Span { start_us: micros(from), end_us: micros(to), request, kind: kind.into() }
        };
        let lacks =
            |what: &str| io::Error::other(format!("it lacks {what} of the {}", client.name));
        let is_accept = |event: &&Event| event.args.peer == Some(client.addr);
        let accept = trace.events.iter().find(is_accept).ok_or_else(|| lacks("the connection"))?;
        let of_client = |ph: &'static str| {
            let of_client =
                move |event: &&Event| event.ph == ph && event.connection() == accept.connection();
            trace.events.iter().filter(of_client)
        };
        let finishes = of_client("i").filter(|event| event.name == "finish");
        let finishes: Vec<u64> = finishes.map(|event| event.nanos().0).collect();
        if finishes.len() < client.asked.len() {
            return Err(lacks("replies"));
        }

        let kind = if client.is_slow { "slow" } else { "serve" };
        let accepted = trace.start + accept.nanos().0;
        let mut spans = Vec::new();
        for (n, (asked, number)) in client.asked.iter().zip(numbers).enumerate() {
            spans.push(span(asked.since, asked.first_byte, *number, "wait"));
            if n == 0 {
                spans.push(span(accepted, accepted, *number, "accept"));
            }
            spans.push(span(asked.first_byte, asked.done, *number, kind));
        }
        timeline.clients.push(Lane { name: client.name.clone(), spans });

        for slice in of_client("X") {
            let (start, end) = slice.nanos();
            // The last slice of a request ends at its finish.
            let before = finishes.iter().filter(|finish| **finish < end).count();
            if let Some(number) = numbers.get(before) {
                let span = span(trace.start + start, trace.start + end, *number, kind);
                workers.entry((slice.pid, slice.tid)).or_default().push(span);
            }
        }
    }
    let names = names(variant, &trace.events, &workers.keys().copied().collect());
    timeline.lanes = workers
        .into_iter()
        .map(|(worker, mut spans)| {
            spans.sort_by_key(|span| span.start_us);
            Lane { name: names[&worker].clone(), spans }
        })
        .collect();
    timeline.lanes.sort_by_cached_key(|lane| numbers_in(&lane.name));
    Ok(timeline)
}

/// The numbers in a name, by which lanes are in order: those of `process 2 worker 10` are 2 and 10.
fn numbers_in(name: &str) -> Vec<u64> {
    name.split(|c: char| !c.is_ascii_digit()).filter_map(|digits| digits.parse().ok()).collect()
}

/// Numbers the requests of each client in the order in which all were sent, from 1.
fn numbers(clients: &[Client]) -> Vec<Vec<u64>> {
    let all = clients.iter().enumerate().flat_map(|(c, client)| {
        client.asked.iter().enumerate().map(move |(n, asked)| (asked.since, c, n))
    });
    let mut all: Vec<_> = all.collect();
    all.sort_unstable();
    let mut numbers: Vec<Vec<u64>> =
        clients.iter().map(|client| vec![0; client.asked.len()]).collect();
    for ((_, client, request), number) in all.into_iter().zip(1..) {
        numbers[client][request] = number;
    }
    numbers
}

/// Names the workers as the trace does. The first thread of a server is named by what it does in this model.
fn names(
    variant: &Variant,
    events: &[Event],
    workers: &BTreeSet<(u32, u32)>,
) -> HashMap<(u32, u32), String> {
    let named = |what: &'static str| {
        let named = events.iter().filter(move |event| event.name == what);
        named.filter_map(|event| Some(((event.pid, event.tid), event.args.name.as_deref()?)))
    };
    let threads: HashMap<_, _> = named("thread_name").collect();
    let processes: HashMap<u32, &str> =
        named("process_name").map(|((pid, _), name)| (pid, name)).collect();
    let is_forked = |(pid, tid): (u32, u32)| {
        // A process of several threads: the name of a thread alone would not be unique.
        let name = processes.get(&pid)?.rsplit_once(" process ")?.1;
        (pid != tid).then(|| format!("process {name} "))
    };
    let name = |worker: (u32, u32)| {
        let name = match (threads.get(&worker), variant.model) {
            (Some(&"main"), "event_server" | "uring_server") => "loop 1",
            (Some(&"main") | None, _) => "worker 1",
            (Some(name), _) => name,
        };
        is_forked(worker).unwrap_or_default() + name
    };
    workers.iter().map(|worker| (*worker, name(*worker))).collect()
}
