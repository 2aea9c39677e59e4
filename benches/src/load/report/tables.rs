//! Tables of figures as rows of text, for the page and for the terminal.

use super::notes::Notes;
use super::sweeps::{closed, level};
use super::{
    Case, Comparison, Lane, Metric, NONE, Recording, ServerResult, Span, Timeline, errors, fullest,
    memory,
};
use crate::load::latencies::Latencies;
use crate::load::stats::{Difference, Direction, Ratio};
use crate::text::{self, bytes, digits, nanos, whole};
use std::collections::BTreeSet;
use std::fmt::Write as _;

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

/// Those of the columns for which some result has a figure.
pub(super) fn course_columns<'a>(
    results: impl Iterator<Item = &'a ServerResult> + Clone,
) -> impl Iterator<Item = Metric> {
    let filled = move |metric: &Metric| results.clone().any(|result| result.show(*metric) != NONE);
    COLUMNS.into_iter().filter(filled)
}

/// The ratio of a rate to that of the baseline; none for the baseline itself.
pub(super) fn case_ratio(case: &Case, result: &ServerResult, baseline: &str) -> Option<Ratio> {
    case.ratio(Metric::Rate, &result.server, baseline).filter(|_| result.server != baseline)
}

/// What a reader has to know of valid figures: the names of the rows that a note concerns, and the note. Notes of one
/// row that differ in their numbers alone are one; equal notes of several rows are one, too.
pub(super) fn notes_of<'a>(rows: &[(&'a str, &ServerResult)]) -> Vec<(Vec<&'a str>, String)> {
    let kind = |note: &str| note.replace(|c: char| c.is_ascii_digit() || c == '.', "");
    let mut all: Vec<(Vec<&str>, &str, String)> = Vec::new();
    for (name, result) in rows {
        let mut notes: Vec<(&str, usize)> = Vec::new();
        for note in result.runs().flat_map(|run| &run.notes) {
            match notes.iter_mut().find(|(known, _)| kind(known) == kind(note)) {
                Some((_, times)) => *times += 1,
                None => notes.push((note, 1)),
            }
        }
        for (note, times) in notes {
            let rounds = match result.rounds.len() {
                1 => String::new(),
                rounds => format!(" ({times} of {rounds} rounds)"),
            };
            match all.iter_mut().find(|(_, known, _)| *known == note) {
                Some((names, _, of)) => {
                    names.push(name);
                    // How many rounds it concerns differs between the rows.
                    of.clear();
                }
                None => all.push((vec![*name], note, rounds)),
            }
        }
    }
    all.into_iter().map(|(names, note, rounds)| (names, format!("{note}{rounds}"))).collect()
}

/// The percentiles of a run; the first row is their head.
pub(super) fn percentile_rows(run: &Recording) -> Vec<Vec<String>> {
    let of = |times: &Latencies| {
        [50.0, 90.0, 99.0, 99.9, 100.0].map(|p| match times.0.is_empty() {
            true => NONE.to_owned(),
            false => nanos(times.percentile(p) as f64),
        })
    };
    let metrics = [Metric::P50, Metric::P90, Metric::P99, Metric::P999, Metric::Max];
    let row = |name: &str, cells: [String; 5]| {
        std::iter::once(name.to_owned()).chain(cells).collect::<Vec<_>>()
    };
    let mut rows = vec![
        row("", metrics.map(|metric| metric.heading().to_owned())),
        row("response time", metrics.map(|metric| metric.show_of(std::iter::once(run)))),
        row("service time", of(&run.service_time)),
    ];
    // Nothing is planned in a closed loop, so nothing can be late.
    if !run.lag.0.is_empty() {
        rows.push(row("generator's lag", of(&run.lag)));
    }
    rows
}

/// The figures of a run next to its rate and percentiles, by name.
pub(super) fn summary(run: &Recording) -> Vec<(&'static str, String)> {
    let show = |metric: Metric| metric.show_of(std::iter::once(run));
    let totals = &run.totals;
    let clients = format!(
        "{} of {} ({} connected at once), fairness {}",
        whole(totals.clients_served as f64),
        whole(totals.connections_asked as f64),
        whole(totals.connections_made as f64),
        show(Metric::Fairness)
    );
    let mut rows = vec![("errors", errors_by_kind(run)), ("clients served", clients)];
    if let (Some(rate), Some(most)) = (run.workload.arrivals.rate(), run.workload.in_flight()) {
        let most = whole(most as f64);
        rows.push(("arrivals", format!("{} planned, at most {most} in flight", text::rate(rate))));
    }
    if totals.dropped > 0 {
        let (dropped, planned) = (whole(totals.dropped as f64), whole(totals.planned as f64));
        rows.push(("arrivals dropped", format!("{dropped} of {planned} planned")));
    }
    let own = &run.generator;
    let waited = match own.waiting {
        Some(share) => format!("{} % of the time", digits(share * 100.0)),
        None => "for an unknown time".to_owned(),
    };
    let preempted = match own.involuntary {
        0 => "never".to_owned(),
        1 => "once".to_owned(),
        times => format!("{} times", whole(times as f64)),
    };
    let generator = format!(
        "{} s of CPU, {} % of its core; waited for its core {waited}, preempted {preempted}",
        digits(own.cpu_seconds),
        digits(own.share * 100.0)
    );
    rows.push(("generator", generator));
    if run.samples.is_empty() {
        rows.push(("server", "not watched: start it with --serve, or pass its --pid".to_owned()));
        return rows;
    }
    rows.push((
        "server per request",
        format!(
            "{} switches ({} voluntary), {} of CPU ({} in the kernel)",
            show(Metric::Switches),
            show(Metric::Voluntary),
            show(Metric::Cpu),
            show(Metric::System)
        ),
    ));
    rows.push(("server's memory", memory_text(run)));
    rows
}

pub(super) fn errors_by_kind(run: &Recording) -> String {
    let kinds = run.errors.iter().filter(|(_, count)| **count > 0);
    let kinds: Vec<String> =
        kinds.map(|(kind, count)| format!("{} {kind}", whole(*count as f64))).collect();
    match errors(run) {
        0 => "none".to_owned(),
        _ => kinds.join(", "),
    }
}

fn memory_text(run: &Recording) -> String {
    let Some(sample) = fullest(run) else { return NONE.to_owned() };
    let mut words = format!(
        "{} at most ({} its own, {} kernel stacks, {} page tables)",
        bytes(memory(sample) as f64),
        bytes(sample.pss as f64),
        bytes(sample.kernel_stacks as f64),
        bytes(sample.page_tables as f64)
    );
    if let (Some(empty), Some(each)) = (&run.empty, Metric::PerClient.of(run)) {
        let _ = write!(
            words,
            "; {} of it before the first client, so {} for each client",
            bytes(memory(empty) as f64),
            bytes(each)
        );
    }
    words
}

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
            false => ratio_text(case_ratio(case, result, baseline)),
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
    let head =
        ["at, s", "done", "errors", "p50", "p99", "max", "dropped"].map(str::to_owned).to_vec();
    let all = runs.iter().flat_map(|run| run.intervals.iter().map(|i| (run.since + i.at, i)));
    let rows = all.map(|(at, i)| {
        vec![
            digits(at),
            whole(i.done as f64),
            whole(i.errors as f64),
            of_interval(i.p50),
            of_interval(i.p99),
            of_interval(i.max),
            whole(i.dropped as f64),
        ]
    });
    std::iter::once(head).chain(rows).collect()
}

/// A percentile of an interval; it may fall among arrivals that were dropped.
fn of_interval(percentile: Option<u64>) -> String {
    percentile.map_or(NONE.to_owned(), |percentile| nanos(percentile as f64))
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
