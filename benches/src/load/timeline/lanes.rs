//! What each worker did when, from the events of a trace.

use super::trace::Event;
use crate::load::report::{Lane, Span, Timeline};
use std::collections::{BTreeMap, BTreeSet, HashMap};

/// What the workers of `server` did, from its trace. The connections in `slow` are those of slow clients.
///
/// A worker is a thread that has served a request; in a model whose processes have one client each, the
/// process. While a connection waits for a worker, that is shown in the lane of the one that it got.
pub(super) fn timeline(server: &str, events: &[Event], slow: &BTreeSet<u64>) -> Timeline {
    let mut lanes: BTreeMap<(u32, u32), Vec<Span>> = BTreeMap::new();
    let mut order = Vec::new();
    // Requests are counted as they begin. A request that its worker has set aside is several slices.
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
