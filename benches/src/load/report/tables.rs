//! Tables of figures as rows of text, for the page and for the terminal.

use super::notes::Notes;
use super::sweeps::{closed, level};
use super::{Case, Comparison, Lane, Metric, NONE, Recording, ServerResult, Span, Timeline};
use crate::load::stats::{Difference, Direction, Ratio};
use crate::text::{self, digits, nanos, whole};
use std::collections::BTreeSet;

/// Stands beside a rate that is above half of what the generator itself can do.
pub const NEAR: &str = "^";

/// Whether a rate is so near to what the generator can do that the generator may be what is seen.
pub fn is_near(case: &Case, rate: Option<f64>) -> bool {
    matches!((case.ceiling, rate), (Some(ceiling), Some(rate)) if rate > 0.5 * ceiling)
}

/// A rate, marked where it is near to what the generator itself can do.
pub fn rate_cell(case: &Case, rate: Option<f64>) -> String {
    let mark = if is_near(case, rate) { NEAR } else { "" };
    Metric::Rate.show(rate) + mark
}

/// What the generator itself can do, and what that means for the others.
pub fn ceiling_note(ceiling: f64) -> String {
    format!(
        "The generator itself can do {} of these (null run). A rate above half of that is marked {NEAR}: the generator may be its limit.",
        text::rate(ceiling)
    )
}

/// The columns of a case's table, between the server and its mark.
pub(super) const COLUMNS: [Metric; 9] = [
    Metric::P50,
    Metric::P99,
    Metric::P999,
    Metric::Max,
    Metric::Errors,
    Metric::Served,
    Metric::Switches,
    Metric::Cpu,
    Metric::Memory,
];

/// The table of a case; the first row is its head. No server is ever left out.
pub fn case_rows(comparison: &Comparison, case: &Case) -> Vec<Vec<String>> {
    let baseline = comparison.baseline_of(case).unwrap_or_default();
    let mut head = vec!["server".to_owned(), "rate".to_owned(), format!("to {baseline}")];
    head.extend(COLUMNS.iter().map(|metric| metric.heading().to_owned()));
    head.push("rounds".to_owned());
    head.push("mark".to_owned());
    let mut rows = vec![head];
    for result in &case.results {
        let ratio = match result.server == baseline {
            true => "1".to_owned(),
            false => ratio_text(case.ratio(Metric::Rate, &result.server, baseline)),
        };
        let mut row =
            vec![result.server.clone(), rate_cell(case, result.median(Metric::Rate)), ratio];
        row.extend(COLUMNS.iter().map(|metric| result.show(*metric)));
        row.push(format!("{} of {}", result.runs().count(), result.rounds.len()));
        row.push(if result.is_invalid() { "INVALID".to_owned() } else { String::new() });
        rows.push(row);
    }
    rows
}

/// A ratio and its interval, or that no difference is shown, in a few words.
pub(crate) fn ratio_text(ratio: Option<Ratio>) -> String {
    let Some(ratio) = ratio else { return NONE.to_owned() };
    let Some((low, high)) = ratio.interval else {
        return format!("{} × (one round: no interval)", digits(ratio.value));
    };
    let interval = format!("{} to {}", digits(low), digits(high));
    match ratio.difference() {
        Difference::Shown(Direction::Higher | Direction::Lower) => {
            format!("{} × ({interval})", digits(ratio.value))
        }
        Difference::NotShown => format!("no difference shown ({interval})"),
    }
}

/// Every server, with its number and what came of it in a case.
pub(super) fn entries<'a>(
    servers: &'a [&'a str],
    case: &'a Case,
) -> impl Iterator<Item = (usize, &'a str, Option<&'a ServerResult>)> {
    servers.iter().enumerate().map(|(look, &name)| (look, name, case.result(name)))
}

/// A metric of every server in every case of a sweep.
pub(super) fn of_sweep(
    servers: &[&str],
    sweep: &[&Case],
    metric: Metric,
    notes: &Notes,
) -> Vec<Vec<String>> {
    let head = sweep.iter().map(|case| whole(level(case)));
    let what = match sweep.first().is_none_or(|case| closed(case)) {
        true => "connections",
        false => "planned per second",
    };
    let mut rows = vec![std::iter::once(what.to_owned()).chain(head).collect::<Vec<_>>()];
    for server in servers {
        let cells = sweep
            .iter()
            .map(|case| marked(cell(metric, case.result(server), case), server, case, notes));
        rows.push(std::iter::once((*server).to_owned()).chain(cells).collect());
    }
    if metric == Metric::Rate && sweep.iter().any(|case| case.ceiling.is_some()) {
        let ceilings = sweep.iter().map(|case| metric.show(case.ceiling));
        rows.push(std::iter::once("the generator itself".to_owned()).chain(ceilings).collect());
    }
    rows
}

fn cell(metric: Metric, result: Option<&ServerResult>, case: &Case) -> String {
    match (metric, result) {
        (_, None) => NONE.to_owned(),
        (Metric::Rate, Some(result)) => rate_cell(case, result.median(metric)),
        (_, Some(result)) => result.show(metric),
    }
}

/// A cell with its mark, if it needs one, and the number of the note that says why.
fn marked(text: String, server: &str, case: &Case, notes: &Notes) -> String {
    let invalid = case.result(server).is_some_and(ServerResult::is_invalid);
    let mark = if invalid && text != NONE { " !" } else { "" };
    format!("{text}{mark}{}", notes.mark(server, case))
}

/// Several metrics of every server in a case.
pub(super) fn of_metrics(
    servers: &[&str],
    case: &Case,
    metrics: &[Metric],
    notes: &Notes,
) -> Vec<Vec<String>> {
    let head = metrics.iter().map(|metric| metric.heading().to_owned());
    let mut rows = vec![std::iter::once("server".to_owned()).chain(head).collect::<Vec<_>>()];
    for (_, name, result) in entries(servers, case) {
        let cells = metrics.iter().enumerate().map(|(n, metric)| {
            let text = cell(*metric, result, case);
            // Once in a row is enough.
            if n == 0 { marked(text, name, case, notes) } else { text }
        });
        rows.push(std::iter::once(name.to_owned()).chain(cells).collect());
    }
    rows
}

/// A metric of every server, and its ratio to the baseline.
pub(super) fn of_ratios(
    comparison: &Comparison,
    servers: &[&str],
    case: &Case,
    metric: Metric,
    notes: &Notes,
) -> Vec<Vec<String>> {
    let baseline = comparison.baseline_of(case).unwrap_or_default();
    let heading = metric.heading().to_owned();
    let mut rows =
        vec![vec!["server".to_owned(), heading, format!("to {baseline}"), "pairs".to_owned()]];
    for (_, name, result) in entries(servers, case) {
        let ratio = case.ratio(metric, name, baseline).filter(|_| name != baseline);
        let text = cell(metric, result, case);
        rows.push(vec![
            name.to_owned(),
            marked(text, name, case, notes),
            if name == baseline { "1".to_owned() } else { ratio_text(ratio) },
            ratio.map_or(NONE.to_owned(), |r| r.rounds.to_string()),
        ]);
    }
    rows
}

/// What each tenth of a second of some runs came to.
pub(super) fn of_intervals(runs: &[&Recording]) -> Vec<Vec<String>> {
    let head = ["at, s", "done", "errors", "p50", "p99", "max"].map(str::to_owned).to_vec();
    let all = runs.iter().flat_map(|run| run.intervals.iter().map(|i| (run.since + i.at, i)));
    let rows = all.map(|(at, i)| {
        vec![
            digits(at),
            whole(i.done as f64),
            whole(i.errors as f64),
            nanos(i.p50 as f64),
            nanos(i.p99 as f64),
            nanos(i.max as f64),
        ]
    });
    std::iter::once(head).chain(rows).collect()
}

/// The requests of a timeline: their clients' measurements, and what the trace has of their workers.
pub(super) fn of_timeline(timeline: &Timeline) -> Vec<Vec<String>> {
    let all = timeline.clients.iter().chain(&timeline.lanes);
    let requests: BTreeSet<u64> = all.flat_map(|lane| &lane.spans).map(|s| s.request).collect();
    let micros = |us: Option<u64>| us.map_or(NONE.to_owned(), |us| nanos(us as f64 * 1e3));
    let row = |request: u64| {
        let of_request = |lane: &'_ Lane| -> Vec<Span> {
            lane.spans.iter().filter(|span| span.request == request).cloned().collect()
        };
        let client = timeline.clients.iter().find(|lane| !of_request(lane).is_empty());
        let own = client.map(of_request).unwrap_or_default();
        let wait = own.iter().find(|span| span.kind == "wait");
        let accept = own.iter().find(|span| span.kind == "accept");
        let workers: Vec<&Lane> =
            timeline.lanes.iter().filter(|lane| !of_request(lane).is_empty()).collect();
        let slices: Vec<Span> = workers.iter().flat_map(|lane| of_request(lane)).collect();
        let busy = slices.iter().map(|span| span.end_us.saturating_sub(span.start_us)).sum();
        let names: Vec<&str> = workers.iter().map(|lane| lane.name.as_str()).collect();
        vec![
            request.to_string(),
            client.map_or(NONE.to_owned(), |lane| lane.name.clone()),
            micros(wait.map(|span| span.start_us)),
            micros(accept.map(|span| span.start_us)),
            micros(wait.map(|span| span.end_us)),
            micros(own.iter().map(|span| span.end_us).max()),
            micros(wait.map(|span| span.end_us.saturating_sub(span.start_us))),
            if names.is_empty() { NONE.to_owned() } else { names.join(", ") },
            micros(slices.iter().map(|span| span.start_us).min()),
            micros(slices.iter().map(|span| span.end_us).max()),
            micros((!slices.is_empty()).then_some(busy)),
        ]
    };
    let head = [
        "request",
        "client",
        "sent (client)",
        "accepted (trace)",
        "first byte (client)",
        "last byte (client)",
        "waited (client)",
        "workers (trace)",
        "begun (trace)",
        "ended (trace)",
        "busy (trace)",
    ];
    let head = head.map(str::to_owned).to_vec();
    std::iter::once(head).chain(requests.into_iter().map(row)).collect()
}
