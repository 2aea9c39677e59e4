//! The chapters of the page: which figures a comparison has, and in which order.

use super::figures;
use super::notes::Notes;
use super::page::Chapter;
use super::sweeps::{closed, common_title, reference, sweeps};
use super::{Case, Comparison, Metric, ServerResult, Timeline, is_idle, run};
use crate::load::workload::Profile;

/// The chapters of a comparison, and of the timelines of its servers.
pub(super) fn chapters(comparison: &Comparison, timelines: &[Timeline]) -> Vec<Chapter> {
    if run::is_alone(comparison) {
        return run::chapters(comparison);
    }
    let servers = comparison.servers();
    let sweeps = sweeps(comparison);
    let reference = reference(comparison, &sweeps);
    let crowded = sweeps.first().and_then(|sweep| sweep.last().copied()).or(reference);
    let mut chapters = Vec::new();
    if let Some(case) = reference.filter(|_| servers.len() > 1) {
        chapters.push(glance(comparison, &servers, case));
    }
    for (n, sweep) in sweeps.iter().enumerate() {
        chapters.push(concurrency(&servers, sweep, n));
    }
    let mut cases: Vec<&Case> = reference.into_iter().chain(crowded).collect();
    cases.dedup_by_key(|case| case.name.as_str());
    if !cases.is_empty() {
        chapters.push(distributions(&servers, &cases));
        chapters.push(costs(&servers, &cases));
    }
    if let Some(case) = crowded {
        chapters.push(fairness(&servers, case));
        // The steps of one run are one time series.
        let in_steps = |case: &&Case| case.workload.profile != Profile::Steady;
        let steps: Vec<&Case> = comparison.cases.iter().filter(in_steps).collect();
        let whole = if steps.len() > 1 { steps } else { vec![case] };
        chapters.push(time_series(&servers, &whole));
    }
    let swept: Vec<&str> = sweeps.iter().flatten().map(|case| case.name.as_str()).collect();
    let others: Vec<&Case> =
        comparison.cases.iter().filter(|case| !swept.contains(&case.name.as_str())).collect();
    if !others.is_empty() {
        chapters.push(other_work(comparison, &servers, &others));
    }
    if !timelines.is_empty() {
        chapters.push(workers(timelines));
    }
    chapters.retain(|chapter| !chapter.figures.is_empty());
    chapters
}

fn glance(comparison: &Comparison, servers: &[&str], case: &Case) -> Chapter {
    let notes = Notes::of(servers, &[case]);
    let ratio = |metric, id| figures::ratio(comparison, servers, case, metric, id, &notes);
    Chapter {
        id: "glance".to_owned(),
        title: "At a glance".to_owned(),
        intro: "Ratios are of servers that ran next to each other, round by round. The bar is the interval in which \
                the ratio lies with 95 % confidence. Where it holds 1 (a hollow marker), the rounds show no \
                difference, which is not the same as showing that there is none."
            .to_owned(),
        figures: vec![ratio(Metric::Rate, "glance-rate"), ratio(Metric::P99, "glance-p99")],
        notes: notes.list(),
    }
}

fn concurrency(servers: &[&str], sweep: &[&Case], n: usize) -> Chapter {
    let common = common_title(sweep, sweep[0]);
    let id = |what: &str| format!("sweep{n}-{what}");
    let notes = Notes::of(servers, sweep);
    let latency = |metric, what| figures::latency(servers, sweep, metric, &id(what), &notes);
    let mut figures = vec![
        figures::rate(servers, sweep, &id("rate"), &notes),
        latency(Metric::P50, "p50"),
        latency(Metric::P99, "p99"),
        latency(Metric::Max, "max"),
    ];
    let weighed = |result: &ServerResult| result.median(Metric::Memory).is_some();
    let by_rate = !closed(sweep[0]);
    if !by_rate && sweep.iter().flat_map(|case| &case.results).any(weighed) {
        figures.push(figures::memory(servers, sweep, &id("memory"), &notes));
    }
    let title = if by_rate { "More and more requests" } else { "More and more clients" };
    Chapter {
        id: format!("sweep{n}"),
        title: format!("{title}: {common}"),
        intro: "Both axes of latency and memory, and that of connections, go up in equal factors. Points are medians \
                of the rounds, the pale bars behind them reach from the least round to the greatest."
            .to_owned(),
        figures,
        notes: notes.list(),
    }
}

fn distributions(servers: &[&str], cases: &[&Case]) -> Chapter {
    let notes = Notes::of(servers, cases);
    Chapter {
        id: "distribution".to_owned(),
        title: "How long requests take".to_owned(),
        intro: "The horizontal axis is the share of the requests that took at most that long: half of them, nine in \
                ten, 999 in 1,000. A flat line is a server that treats all alike; where a line climbs, the slowest \
                requests waited."
            .to_owned(),
        figures: cases.iter().map(|case| figures::distribution(servers, case, &notes)).collect(),
        notes: notes.list(),
    }
}

fn costs(servers: &[&str], cases: &[&Case]) -> Chapter {
    let notes = Notes::of(servers, cases);
    let both = |case: &&Case| {
        [figures::switches(servers, case, &notes), figures::cpu(servers, case, &notes)]
    };
    Chapter {
        id: "costs".to_owned(),
        title: "What a request costs the server".to_owned(),
        intro: "Counted over the server's whole process tree from outside, children that have exited included, and \
                divided by the requests that were answered meanwhile. Switches of workers that live for less than a \
                tenth of a second are not seen, so theirs are a lower bound."
            .to_owned(),
        figures: cases.iter().flat_map(both).collect(),
        notes: notes.list(),
    }
}

fn fairness(servers: &[&str], case: &Case) -> Chapter {
    let notes = Notes::of(servers, &[case]);
    Chapter {
        id: "fairness".to_owned(),
        title: "Whether all clients are served alike".to_owned(),
        intro: "Jain's index of the requests that each client got done: 1 if all had the same, 1/n if one of n had \
                everything. A server that leaves clients waiting for the whole run shows splendid percentiles, since \
                only finished requests have a response time: so count the clients."
            .to_owned(),
        figures: vec![figures::fairness(servers, case, &notes)],
        notes: notes.list(),
    }
}

fn time_series(servers: &[&str], cases: &[&Case]) -> Chapter {
    let notes = Notes::of(servers, cases);
    let title = match cases {
        [case] => case.title.clone(),
        _ => "all steps".to_owned(),
    };
    Chapter {
        id: "course".to_owned(),
        title: format!("Both sides over time: {title}"),
        intro: "One run of each server, the last. What the clients saw stands above what the server did at the same \
                moment, and all servers have the same axes."
            .to_owned(),
        figures: figures::time_series(servers, cases, &title, &notes),
        notes: notes.list(),
    }
}

fn other_work(comparison: &Comparison, servers: &[&str], cases: &[&Case]) -> Chapter {
    let notes = Notes::of(servers, cases);
    let figure = |(n, case): (usize, &&Case)| {
        let id = format!("other{n}");
        match is_idle(&case.workload) {
            true => figures::idle(servers, case, &id, &notes),
            false => figures::other(comparison, servers, case, &id, &notes),
        }
    };
    Chapter {
        id: "other".to_owned(),
        title: "Other work".to_owned(),
        intro: "The same servers under other requests: a model that wins with many small files need not win here."
            .to_owned(),
        figures: cases.iter().enumerate().map(figure).collect(),
        notes: notes.list(),
    }
}

fn workers(timelines: &[Timeline]) -> Chapter {
    Chapter {
        id: "timeline".to_owned(),
        title: "Timelines of clients and workers".to_owned(),
        intro: "The same 50 requests to every model: one of a slow client, which the server is sending to when the \
                others come, and 49 of seven quick clients. Above the line each client has a lane, from its own \
                measurement: a dashed box is the time from sending a request, or from beginning to connect, to the \
                first byte of the reply; a full box the time from there to the last byte; a tick the moment at which \
                the server accepted the connection, from the server's trace. Below the line each worker has a lane, \
                from the trace: a full box is the time for which the worker was busy with a request. The slow \
                client's boxes have the second colour. The number in a box is that of the request; the table below \
                has the same figures. At most 64 workers are drawn. All timelines have the same axis of time."
            .to_owned(),
        figures: figures::timelines(timelines),
        notes: Vec::new(),
    }
}
