//! A comparison as one page of HTML that needs no network: the plots, a sentence or two on each made from the figures
//! themselves, and every figure again as text.

use super::svg::{self, About, Axis, Bar, Point, Row, Series, Track, escape};
use super::{
    Case, Comparison, Figure, NONE, Recording, ServerResult, Strip, bytes, digits, fullest,
    is_idle, listed, nanos, plain, table, verdict, whole,
};
use crate::load::stats::{self, Difference, Direction, Ratio};
use crate::load::workload::{Arrivals, Profile};
use crate::text;
use std::fmt::Write as _;

const STYLE: &str = include_str!("style.css");
const SCRIPT: &str = include_str!("script.js");

/// A chapter of the page.
#[derive(Clone, Debug, Default)]
pub struct Chapter {
    /// Its anchor: letters, digits and hyphens.
    pub id: String,
    /// Its heading.
    pub title: String,
    /// What it is about, as plain text.
    pub intro: String,
    /// Its plots.
    pub plates: Vec<Plate>,
    /// Why figures in it are missing or not to be believed: the mark that stands beside them, and the reason.
    pub notes: Vec<(String, String)>,
}

/// A plot, what it says, and the same as a table.
#[derive(Clone, Debug, Default)]
pub struct Plate {
    /// Its heading.
    pub title: String,
    /// The drawing, as SVG; empty if there is none.
    pub svg: String,
    /// What the reader sees and why, as plain text.
    pub words: Vec<String>,
    /// The figures; the first row is the head.
    pub table: Vec<Vec<String>>,
    /// Whether it takes the whole width.
    pub wide: bool,
}

/// The page of a comparison and of what its workers did when.
pub fn page(comparison: &Comparison, strips: &[Strip]) -> String {
    page_with(comparison, strips, &[])
}

/// The same with further chapters.
pub fn page_with(comparison: &Comparison, strips: &[Strip], further: &[Chapter]) -> String {
    let mut chapters = chapters(comparison, strips);
    chapters.extend_from_slice(further);
    let mut html = String::with_capacity(1 << 19);
    let _ = write!(
        html,
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <title>Models of concurrency compared</title>\n<style>\n{STYLE}</style>\n</head>\n<body>\n"
    );
    header(&mut html, comparison, &chapters);
    html.push_str("<main>\n");
    for chapter in &chapters {
        write_chapter(&mut html, chapter);
    }
    all_figures(&mut html, comparison);
    let _ = write!(html, "</main>\n<script>\n{SCRIPT}</script>\n</body>\n</html>\n");
    html
}

/// The picture of a README: rate and 99th percentile against the load. It brings its own ground, light or dark, since
/// nobody knows what it will be shown on.
pub fn overview_svg(comparison: &Comparison) -> String {
    let servers = comparison.servers();
    let sweep = sweeps(comparison).into_iter().next().unwrap_or_default();
    let notes = Notes { notes: Vec::new() };
    let rate = rate_plot(comparison, &servers, &sweep, "overview-rate", &notes);
    let p99 = latency_plot(&servers, &sweep, Figure::P99, "overview-p99", &notes);
    let ((rate, left), (p99, right)) = (nested(&rate, 10.0), nested(&p99, 470.0));
    let height = left.max(right) + 72.0;
    let title = sweep.first().map_or(String::new(), |case| common_title(&sweep, case));
    let what = match sweep.first().is_none_or(|case| closed(case)) {
        true => "concurrent connections",
        false => "the planned rate",
    };
    let of = &comparison.environment;
    let begun = moment(of.started);
    let place = [of.machine.as_str(), begun.split(' ').next().unwrap_or_default()];
    let place = place.into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join("; ");
    // The style sheet is written for a page: `:root` is the drawing here.
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"920\" height=\"{height:.0}\" viewBox=\"0 0 920 {height:.0}\" \
         role=\"img\" aria-labelledby=\"overview-t\"><title id=\"overview-t\">Requests per second and 99th percentile \
         of the response time against {what}: {title}</title><style>{STYLE}</style>\
         <rect width=\"920\" height=\"{height:.0}\" rx=\"8\" style=\"fill:var(--card)\"/>\
         <text x=\"20\" y=\"28\" style=\"font-size:16px;font-weight:600\">{title}</text>{rate}{p99}\
         <text class=\"label\" x=\"20\" y=\"{foot:.0}\" style=\"font-size:11px\">{place}. Medians of interleaved rounds; \
         a hollow marker with ! is not to be believed, {NONE} is no figure.</text></svg>\n",
        title = escape(&title),
        place = escape(&place),
        foot = height - 12.0,
    )
}

/// The drawing as a part of another, and its height.
fn nested(svg: &str, x: f64) -> (String, f64) {
    let size = svg.split("viewBox=\"0 0 ").nth(1).and_then(|rest| rest.split_once('"'));
    let (width, height) = size.and_then(|(size, _)| size.split_once(' ')).unwrap_or(("440", "320"));
    let placed =
        format!("<svg x=\"{x}\" y=\"40\" width=\"{width}\" height=\"{height}\" class=\"panel\"");
    (svg.replacen("<svg class=\"plot\"", &placed, 1), height.parse().unwrap_or(350.0))
}

// What the chapters are.

fn chapters(comparison: &Comparison, strips: &[Strip]) -> Vec<Chapter> {
    let servers = comparison.servers();
    let sweeps = sweeps(comparison);
    let reference = reference(comparison, &sweeps);
    let crowded = sweeps.first().and_then(|sweep| sweep.last().copied()).or(reference);
    let mut chapters = Vec::new();
    if let Some(case) = reference.filter(|_| servers.len() > 1) {
        chapters.push(glance(comparison, &servers, case));
    }
    for (n, sweep) in sweeps.iter().enumerate() {
        chapters.push(concurrency(comparison, &servers, sweep, n));
    }
    let mut cases: Vec<&Case> = reference.into_iter().chain(crowded).collect();
    cases.dedup_by_key(|case| case.name.as_str());
    if !cases.is_empty() {
        chapters.push(distributions(&servers, &cases));
        chapters.push(costs(&servers, &cases));
    }
    if let Some(case) = crowded {
        chapters.push(fairness(&servers, case));
        // The steps of one run are one course.
        let in_steps = |case: &&Case| case.workload.profile != Profile::Steady;
        let steps: Vec<&Case> = comparison.cases.iter().filter(in_steps).collect();
        let whole = if steps.len() > 1 { steps } else { vec![case] };
        chapters.push(course(&servers, &whole));
    }
    let swept: Vec<&str> = sweeps.iter().flatten().map(|case| case.name.as_str()).collect();
    let others: Vec<&Case> =
        comparison.cases.iter().filter(|case| !swept.contains(&case.name.as_str())).collect();
    if !others.is_empty() {
        chapters.push(other_work(comparison, &servers, &others));
    }
    if !strips.is_empty() {
        chapters.push(timeline(strips));
    }
    chapters
}

/// How many levels of load the first curve of a comparison has; 0 without any.
pub fn levels(comparison: &Comparison) -> usize {
    sweeps(comparison).first().map_or(0, Vec::len)
}

/// How much load a case is: requests per second in an open loop, connections in a closed one.
fn level(case: &Case) -> f64 {
    case.workload.arrivals.rate().unwrap_or(case.workload.connections as f64)
}

/// The same in words.
fn load(level: f64, closed: bool) -> String {
    match closed {
        true if level == 1.0 => "1 connection".to_owned(),
        true => format!("{} connections", whole(level)),
        false => format!("{} requests a second", whole(level)),
    }
}

fn load_of(case: &Case) -> String {
    load(level(case), closed(case))
}

/// Cases that differ alone in the number of connections, or in the rate of an open loop, in its order.
fn sweeps(comparison: &Comparison) -> Vec<Vec<&Case>> {
    let alike = |a: &Case, b: &Case| {
        let mut workload = a.workload.clone();
        match (a.workload.arrivals.rate(), b.workload.arrivals.rate()) {
            (Some(_), Some(rate)) => workload.arrivals = workload.arrivals.at(rate),
            _ => workload.connections = b.workload.connections,
        }
        workload.duration = b.workload.duration;
        workload.warm_up = b.workload.warm_up;
        workload.seed = b.workload.seed;
        workload == b.workload
    };
    let mut sweeps: Vec<Vec<&Case>> = Vec::new();
    for case in &comparison.cases {
        match sweeps.iter_mut().find(|sweep| alike(sweep[0], case)) {
            Some(sweep) if sweep.iter().all(|other| level(other) != level(case)) => {
                sweep.push(case);
            }
            Some(_) => {}
            None => sweeps.push(vec![case]),
        }
    }
    sweeps.retain(|sweep| sweep.len() > 1);
    for sweep in &mut sweeps {
        sweep.sort_by(|a, b| level(a).total_cmp(&level(b)));
    }
    sweeps
}

/// The case that stands for all: that of the first sweep which is nearest to 64 connections, or of one over rates
/// the middle.
fn reference<'a>(comparison: &'a Comparison, sweeps: &[Vec<&'a Case>]) -> Option<&'a Case> {
    let distance =
        |case: &&&Case| ((case.workload.connections as f64 / 64.0).ln().abs() * 1e6) as u64;
    match sweeps.first() {
        Some(sweep) if sweep.iter().any(|case| !closed(case)) => {
            sweep.get(sweep.len() / 2).copied()
        }
        Some(sweep) => sweep.iter().min_by_key(distance).copied(),
        None => comparison.cases.first(),
    }
}

fn glance(comparison: &Comparison, servers: &[&str], case: &Case) -> Chapter {
    let notes = Notes::of(servers, &[case]);
    Chapter {
        id: "glance".to_owned(),
        title: "At a glance".to_owned(),
        intro: "Ratios are of servers that ran next to each other, round by round. The bar is the interval in which \
                the ratio lies with 95 % confidence. Where it holds 1 (a hollow marker), the rounds show no \
                difference, which is not the same as showing that there is none."
            .to_owned(),
        plates: vec![
            ratio_plate(comparison, servers, case, Figure::Rate, "glance-rate", &notes),
            ratio_plate(comparison, servers, case, Figure::P99, "glance-p99", &notes),
        ],
        notes: notes.said(),
    }
}

fn concurrency(comparison: &Comparison, servers: &[&str], sweep: &[&Case], n: usize) -> Chapter {
    let common = common_title(sweep, sweep[0]);
    let id = |what: &str| format!("sweep{n}-{what}");
    let reference = reference(comparison, &[sweep.to_vec()]).unwrap_or(sweep[0]);
    let crowded = sweep[sweep.len() - 1];
    let notes = Notes::of(servers, sweep);
    let table = |figure: Figure| sweep_table(servers, sweep, figure, &notes);
    let latency = |figure: Figure, title: &str, what: &str, words: Vec<String>| Plate {
        title: title.to_owned(),
        svg: latency_plot(servers, sweep, figure, &id(what), &notes),
        words,
        table: table(figure),
        wide: false,
    };
    let mut plates = vec![
        Plate {
            title: "Requests per second".to_owned(),
            svg: rate_plot(comparison, servers, sweep, &id("rate"), &notes),
            words: rate_words(comparison, sweep, reference)
                .into_iter()
                .chain(near(sweep))
                .collect(),
            table: table(Figure::Rate),
            wide: false,
        },
        latency(Figure::P50, "Median of the response time", "p50", queue_words(crowded)),
        latency(
            Figure::P99,
            "99th percentile",
            "p99",
            tail_words(comparison, crowded, Figure::P99),
        ),
        latency(Figure::Max, "The slowest request", "max", slowest_words(crowded)),
    ];
    let weighed = |result: &ServerResult| result.median(Figure::Memory).is_some();
    let by_rate = !closed(sweep[0]);
    if !by_rate && sweep.iter().flat_map(|case| &case.results).any(weighed) {
        plates.push(memory_plate(servers, sweep, &id("memory"), &notes));
    }
    let title = if by_rate { "More and more requests" } else { "More and more clients" };
    Chapter {
        id: format!("sweep{n}"),
        title: format!("{title}: {common}"),
        intro: "Both axes of latency and memory, and that of connections, go up in equal factors. Points are medians \
                of the rounds, the pale bars behind them reach from the least round to the greatest."
            .to_owned(),
        plates,
        notes: notes.said(),
    }
}

/// Who comes near to what the generator itself can do.
fn near(sweep: &[&Case]) -> Option<String> {
    let mut names: Vec<&str> = Vec::new();
    for case in sweep {
        for result in &case.results {
            let known = names.contains(&result.server.as_str());
            if !known && table::is_near(case, result.median(Figure::Rate)) {
                names.push(&result.server);
            }
        }
    }
    let ceilings: Vec<f64> = sweep.iter().filter_map(|case| case.ceiling).collect();
    let least = ceilings.iter().copied().reduce(f64::min)?;
    let most = ceilings.iter().copied().fold(0.0, f64::max);
    let range = match text::rate(least) == text::rate(most) {
        true => text::rate(most),
        false => format!("{} to {}", text::rate(least), text::rate(most)),
    };
    let who = match names.is_empty() {
        true => "nobody comes near to that".to_owned(),
        false => format!(
            "more than half of that is reached by {} (marked {} in the table), who may be better than can be seen here",
            listed(&names),
            table::NEAR
        ),
    };
    Some(format!("The generator itself can do {range} against a reply that costs nothing; {who}."))
}

/// Why figures of a chapter are missing or not to be believed: one note for a server, whose number stands beside its
/// figures.
struct Notes<'a> {
    notes: Vec<(&'a str, Vec<String>)>,
}

impl<'a> Notes<'a> {
    fn of(servers: &[&'a str], cases: &[&'a Case]) -> Notes<'a> {
        let notes = servers.iter().filter_map(|&server| {
            let reasons = reasons(server, cases);
            (!reasons.is_empty()).then_some((server, reasons))
        });
        Notes { notes: notes.collect() }
    }

    /// What stands beside a figure of a server in a case: nothing, if there is one that is to be believed.
    fn mark(&self, server: &str, case: &Case) -> String {
        match case.result(server).is_some_and(is_noted) {
            true => self.number(server),
            false => String::new(),
        }
    }

    /// The number of a server's note, raised.
    fn number(&self, server: &str) -> String {
        self.notes
            .iter()
            .position(|(name, _)| *name == server)
            .map_or(String::new(), |at| raised(at + 1))
    }

    /// As they stand at the end of a chapter.
    fn said(&self) -> Vec<(String, String)> {
        let said = |(at, (server, reasons)): (usize, &(&str, Vec<String>))| {
            (raised(at + 1), format!("{server}: {}.", reasons.join("; ")))
        };
        self.notes.iter().enumerate().map(said).collect()
    }
}

/// Whether a result is not whole, or not to be believed.
fn is_noted(result: &ServerResult) -> bool {
    result.is_invalid() || result.rounds.is_empty() || result.rounds.iter().any(Option::is_none)
}

/// A number in small raised digits.
fn raised(number: usize) -> String {
    const DIGITS: [char; 10] = ['⁰', '¹', '²', '³', '⁴', '⁵', '⁶', '⁷', '⁸', '⁹'];
    let digits = number.to_string();
    digits.bytes().map(|digit| DIGITS[usize::from(digit - b'0') % 10]).collect()
}

/// All that is to be said against the figures of a server; what is the same in several cases but for its figures is
/// said once.
fn reasons(server: &str, cases: &[&Case]) -> Vec<String> {
    let kind = |why: &str| why.replace(|c: char| c.is_ascii_digit() || matches!(c, '.' | ','), "");
    let mut all: Vec<(String, Vec<&Case>)> = Vec::new();
    for &case in cases {
        let Some(result) = case.result(server).filter(|result| is_noted(result)) else { continue };
        let missing = result.rounds.iter().filter(|round| round.is_none()).count();
        let failure = result.failure.as_deref().unwrap_or("no reason given");
        let failure = match (missing, result.rounds.len()) {
            (_, 0) => Some(failure.to_owned()),
            (0, _) => None,
            (missing, rounds) => Some(format!("{failure} ({missing} of {rounds} rounds)")),
        };
        let invalid = result.invalid().into_iter().map(|why| format!("INVALID: {why}"));
        for why in invalid.chain(failure) {
            match all.iter_mut().find(|(known, _)| kind(known) == kind(&why)) {
                Some((_, concerned)) => concerned.push(case),
                None => all.push((why, vec![case])),
            }
        }
    }
    let sweep = cases.len() > 1 && cases.iter().all(|case| closed(case) == closed(cases[0]));
    let alike = sweep && sweep_like(cases);
    let said = all.into_iter().map(|(why, concerned)| {
        if cases.len() == 1 {
            return why;
        }
        let titles: Vec<String> = match alike {
            true => concerned.iter().map(|case| whole(level(case))).collect(),
            false => concerned.iter().map(|case| case.title.clone()).collect(),
        };
        match alike && closed(cases[0]) {
            true if concerned.len() == cases.len() => format!("{why}, everywhere"),
            true => format!("{why}, at {} connections", listed(&titles)),
            false => format!("{why}, at {}", listed(&titles)),
        }
    });
    said.collect()
}

/// Whether all cases differ in their level.
fn sweep_like(cases: &[&Case]) -> bool {
    let mut levels: Vec<f64> = cases.iter().map(|case| level(case)).collect();
    levels.sort_by(f64::total_cmp);
    levels.windows(2).all(|pair| pair[0] < pair[1])
        && cases.iter().all(|case| case.workload.sizes == cases[0].workload.sizes)
}

fn distributions(servers: &[&str], cases: &[&Case]) -> Chapter {
    let notes = Notes::of(servers, cases);
    Chapter {
        id: "distribution".to_owned(),
        title: "How long requests take".to_owned(),
        intro: "From left to right ever fewer requests are left: half of them, one in ten, one in a thousand. A flat \
                line is a server that treats all alike; where a line climbs, the unlucky few wait for something."
            .to_owned(),
        plates: cases.iter().map(|case| distribution_plate(servers, case, &notes)).collect(),
        notes: notes.said(),
    }
}

fn costs(servers: &[&str], cases: &[&Case]) -> Chapter {
    let notes = Notes::of(servers, cases);
    let mut plates = Vec::new();
    for case in cases {
        plates.push(switches_plate(servers, case, &notes));
        plates.push(cpu_plate(servers, case, &notes));
    }
    Chapter {
        id: "costs".to_owned(),
        title: "What a request costs the server".to_owned(),
        intro: "Counted over the server's whole process tree from outside, children that have exited included, and \
                divided by the requests that were answered meanwhile. Switches of workers that live for less than a \
                tenth of a second are not seen, so theirs are a lower bound."
            .to_owned(),
        plates,
        notes: notes.said(),
    }
}

fn fairness(servers: &[&str], case: &Case) -> Chapter {
    let notes = Notes::of(servers, &[case]);
    let rows: Vec<Bar> = entries(servers, case)
        .map(|(look, name, result)| {
            let value = result.and_then(|r| r.median(Figure::Fairness));
            let served = result.and_then(|r| r.median(Figure::Served));
            let text = match value {
                None => NONE.to_owned(),
                _ => format!(
                    "{} ({} served)",
                    Figure::Fairness.show(value),
                    Figure::Served.show(served)
                ),
            };
            bar((look, name), result, value.map(|v| vec![v]), text, notes.mark(name, case))
        })
        .collect();
    let axis = Axis::linear("Jain's index: 1 is the same for all", [1.0].into_iter(), plain);
    let title = format!("Fairness: {}", case.title);
    Chapter {
        id: "fairness".to_owned(),
        title: "Whether all clients are served alike".to_owned(),
        intro: "Jain's index of the requests that each client got done: 1 if all had the same, 1/n if one of n had \
                everything. A server that leaves clients waiting for the whole run shows splendid percentiles, since \
                only finished requests have a response time: so count the clients."
            .to_owned(),
        plates: vec![Plate {
            title: case.title.clone(),
            svg: svg::bars(about("fairness-plot", &title, &fairness_words(case)), &axis, &[], &rows),
            words: fairness_words(case),
            table: figure_table(
                servers,
                case,
                &[Figure::Fairness, Figure::Served, Figure::Rate],
                &notes,
            ),
            wide: false,
        }],
        notes: notes.said(),
    }
}

fn other_work(comparison: &Comparison, servers: &[&str], cases: &[&Case]) -> Chapter {
    let notes = Notes::of(servers, cases);
    let plate = |(n, case): (usize, &&Case)| {
        let id = format!("other{n}");
        match is_idle(&case.workload) {
            true => idle_plate(servers, case, &id, &notes),
            false => {
                let mut plate = ratio_plate(comparison, servers, case, Figure::Rate, &id, &notes);
                plate.words.extend(near(&[case]));
                plate
            }
        }
    };
    Chapter {
        id: "other".to_owned(),
        title: "Other work".to_owned(),
        intro: "The same servers under other requests: a model that wins with many small files need not win here."
            .to_owned(),
        plates: cases.iter().enumerate().map(plate).collect(),
        notes: notes.said(),
    }
}

fn timeline(strips: &[Strip]) -> Chapter {
    let end = strips.iter().flat_map(|s| &s.lanes).flat_map(|l| &l.spans).map(|s| s.end_us).max();
    let plates = strips.iter().enumerate().map(|(n, strip)| {
        let id = format!("strip{n}");
        let title = format!("Timeline of {}", strip.server);
        let words = strip_words(strip);
        let spans =
            strip.lanes.iter().flat_map(|lane| lane.spans.iter().map(move |span| (lane, span)));
        let head = ["worker", "request", "what", "from", "to"].map(str::to_owned).to_vec();
        let rows = spans.take(400).map(|(lane, span)| {
            vec![
                lane.name.clone(),
                span.request.to_string(),
                span.kind.clone(),
                nanos(span.start_us as f64 * 1e3),
                nanos(span.end_us as f64 * 1e3),
            ]
        });
        Plate {
            title: strip.server.clone(),
            svg: svg::strip(about(&id, &title, &words), strip, end.unwrap_or(1)),
            words,
            table: std::iter::once(head).chain(rows).collect(),
            wide: true,
        }
    });
    Chapter {
        id: "timeline".to_owned(),
        title: "Who did what, and when".to_owned(),
        intro: "The same requests against every model, a slow client among them. One lane is one worker; full boxes \
                are requests being served, boxes of the second colour those of the slow client, dashed boxes requests \
                that wait for a worker. All strips have the same axis of time."
            .to_owned(),
        plates: plates.collect(),
        notes: Vec::new(),
    }
}

// The plots.

fn rate_plot(
    comparison: &Comparison,
    servers: &[&str],
    sweep: &[&Case],
    id: &str,
    notes: &Notes,
) -> String {
    let series = sweep_series(servers, sweep, Figure::Rate, notes);
    let y = Axis::linear("requests per second", values(&series), |v| match v {
        v if v >= 1000.0 => format!("{} k", plain(v / 1e3)),
        v => plain(v),
    });
    let words =
        reference(comparison, &[sweep.to_vec()]).map(|case| rate_words(comparison, sweep, case));
    svg::lines(
        about(id, "Requests per second against connections", &words.unwrap_or_default()),
        &connections(sweep),
        &y,
        &series,
    )
}

fn latency_plot(
    servers: &[&str],
    sweep: &[&Case],
    figure: Figure,
    id: &str,
    notes: &Notes,
) -> String {
    let series = sweep_series(servers, sweep, figure, notes);
    let (title, label) = match figure {
        Figure::P50 => ("Median of the response time against connections", "response time, median"),
        Figure::P99 => ("99th percentile against connections", "response time, 99th percentile"),
        _ => ("Slowest request against connections", "response time of the slowest"),
    };
    let y = Axis::log(label, values(&series), short_nanos);
    svg::lines(about(id, title, &[]), &connections(sweep), &y, &series)
}

fn memory_plate(servers: &[&str], sweep: &[&Case], id: &str, notes: &Notes) -> Plate {
    let series = sweep_series(servers, sweep, Figure::Memory, notes);
    let y = in_mib(Axis::log, "memory in MiB, with the kernel's share", values(&series));
    let words = memory_words(sweep);
    Plate {
        title: "Memory".to_owned(),
        svg: svg::lines(
            about(id, "Memory against connections", &words),
            &connections(sweep),
            &y,
            &series,
        ),
        words,
        table: sweep_table(servers, sweep, Figure::Memory, notes),
        wide: false,
    }
}

fn idle_plate(servers: &[&str], case: &Case, id: &str, notes: &Notes) -> Plate {
    let parts = |result: &ServerResult| -> Option<Vec<f64>> {
        let part = |of: fn(&crate::load::recording::Sample) -> u64| {
            stats::median_of(result.runs().map(|run| fullest(run).map(|sample| of(sample) as f64)))
        };
        Some(vec![part(|s| s.pss)?, part(|s| s.kernel_stacks)?, part(|s| s.page_tables)?])
    };
    let rows: Vec<Bar> = entries(servers, case)
        .map(|(look, name, result)| {
            let text = Figure::Memory.show(result.and_then(|r| r.median(Figure::Memory)));
            bar((look, name), result, result.and_then(parts), text, notes.mark(name, case))
        })
        .collect();
    let sums = rows.iter().map(|row| row.parts.iter().flatten().sum());
    let axis = in_mib(Axis::linear, "memory in MiB", sums);
    let words = idle_words(case);
    let legend = ["its own (PSS)", "kernel stacks", "page tables"];
    Plate {
        title: case.title.clone(),
        svg: svg::bars(
            about(id, &format!("Memory: {}", case.title), &words),
            &axis,
            &legend,
            &rows,
        ),
        words,
        table: figure_table(servers, case, &[Figure::Memory, Figure::PerClient], notes),
        wide: false,
    }
}

fn distribution_plate(servers: &[&str], case: &Case, notes: &Notes) -> Plate {
    let nines = [0.0, 50.0, 90.0, 99.0, 99.9, 99.99, 99.999];
    let most =
        case.results.iter().flat_map(|r| r.runs().map(|run| run.response_time.0.len())).max();
    // Beyond the one slowest of all there is nothing to draw.
    let last = nines
        .iter()
        .rposition(|p| (1.0 - p / 100.0) * most.unwrap_or(1) as f64 >= 10.0)
        .unwrap_or(1);
    let nines = &nines[..=last.max(2)];
    let left_over = |p: f64| 1.0 / (1.0 - p / 100.0);
    let steps: Vec<f64> = nines.iter().map(|&p| left_over(p)).collect();
    let mut x =
        Axis::steps("share of the requests that are done by then", &steps, |_| String::new());
    for (tick, p) in x.ticks.iter_mut().zip(nines) {
        tick.1 = format!("{p} %");
    }
    let decades = x.high.log10();
    let series: Vec<Series> = entries(servers, case)
        .map(|(look, name, result)| {
            let all = stats::merged(
                result.into_iter().flat_map(|r| r.runs().map(|run| &run.response_time)),
            );
            let points = (0..=120).map(|n| {
                let left = 10f64.powf(decades * f64::from(n) / 120.0);
                let percentile = 100.0 * (1.0 - 1.0 / left);
                Point {
                    x: left,
                    y: (!all.0.is_empty()).then(|| all.percentile(percentile) as f64),
                    spread: None,
                    invalid: false,
                    tip: String::new(),
                }
            });
            let points = if all.0.is_empty() {
                points.take(1).map(|p| Point { tip: format!("{name}: no figure"), ..p }).collect()
            } else {
                points.collect()
            };
            let note = notes.mark(name, case);
            Series { look, name: name.to_owned(), note, markers: false, points }
        })
        .collect();
    let y = Axis::log("response time", values(&series), short_nanos);
    let words = spread_words(case);
    let title = format!("Distribution of the response time: {}", case.title);
    let id = format!("distribution-{}", anchor(&case.name));
    Plate {
        title: case.title.clone(),
        svg: svg::lines(about(&id, &title, &words), &x, &y, &series),
        words,
        table: figure_table(
            servers,
            case,
            &[Figure::P50, Figure::P90, Figure::P99, Figure::P999, Figure::Max],
            notes,
        ),
        wide: false,
    }
}

fn switches_plate(servers: &[&str], case: &Case, notes: &Notes) -> Plate {
    let words = switch_words(case);
    split_plate(
        (servers, notes),
        case,
        (Figure::Switches, Figure::Voluntary),
        ("Context switches per request", "switches per request", &["waited", "time was up"]),
        words,
    )
}

fn cpu_plate(servers: &[&str], case: &Case, notes: &Notes) -> Plate {
    let words = cpu_words(case);
    split_plate(
        (servers, notes),
        case,
        (Figure::Cpu, Figure::System),
        ("Processor time per request", "µs per request", &["in the kernel", "in the program"]),
        words,
    )
}

/// A figure as bars of two parts: one that is known, and the rest.
fn split_plate(
    (servers, notes): (&[&str], &Notes),
    case: &Case,
    (whole, part): (Figure, Figure),
    (title, label, legend): (&str, &str, &[&str]),
    words: Vec<String>,
) -> Plate {
    let rows: Vec<Bar> = entries(servers, case)
        .map(|(look, name, result)| {
            let sum = result.and_then(|r| r.median(whole));
            let part = result.and_then(|r| r.median(part)).unwrap_or(0.0);
            let parts = sum.map(|sum| vec![part.min(sum), (sum - part).max(0.0)]);
            bar((look, name), result, parts, whole.show(sum), notes.mark(name, case))
        })
        .collect();
    let sums = rows.iter().map(|row| row.parts.iter().flatten().sum());
    let axis = Axis::linear(label, sums, plain);
    let id = format!("{}-{}", anchor(title), anchor(&case.name));
    Plate {
        title: format!("{title}: {}", case.title),
        svg: svg::bars(about(&id, title, &words), &axis, legend, &rows),
        words,
        table: figure_table(servers, case, &[whole, part], notes),
        wide: false,
    }
}

fn ratio_plate(
    comparison: &Comparison,
    servers: &[&str],
    case: &Case,
    figure: Figure,
    id: &str,
    notes: &Notes,
) -> Plate {
    let baseline = comparison.baseline_of(case).unwrap_or_default();
    let rows: Vec<Row> = entries(servers, case)
        .map(|(look, name, result)| {
            let itself = name == baseline;
            let ratio = case.ratio(figure, name, baseline).filter(|_| !itself);
            let value = figure.show(result.and_then(|r| r.median(figure)));
            Row {
                look,
                name: name.to_owned(),
                value: ratio.map(|r| r.value).or_else(|| (itself && value != NONE).then_some(1.0)),
                interval: ratio.and_then(|r| r.interval),
                shown: itself || ratio.is_some_and(|r| r.difference() != Difference::NotShown),
                text: match itself {
                    true => format!("{value} (the baseline)"),
                    false if ratio.is_none() => value,
                    false => format!("{value}, {}", ratio_text(ratio)),
                },
                note: notes.mark(name, case),
                invalid: result.is_some_and(ServerResult::is_invalid),
            }
        })
        .collect();
    let ends = rows.iter().flat_map(|row| {
        let (low, high) = row.interval.unwrap_or((1.0, 1.0));
        [low, high, row.value.unwrap_or(1.0)]
    });
    // An interval of two noisy rounds may reach anywhere; the axis need not.
    let ends = ends.map(|v| v.clamp(0.02, 50.0)).chain([0.8, 1.25]);
    let (what, better) = match figure {
        Figure::Rate => ("Requests per second", "more is better"),
        _ => ("99th percentile of the response time", "less is better"),
    };
    let axis = Axis::log(&format!("times that of {baseline}; {better}"), ends, plain);
    let words = ratio_words(comparison, case, figure);
    let title = format!("{what}: {}", case.title);
    Plate {
        svg: svg::ratios(about(id, &title, &words), &axis, &rows),
        title,
        words,
        table: ratio_table(comparison, servers, case, figure, notes),
        wide: false,
    }
}

/// A ratio and its interval, whatever they show.
fn ratio_text(ratio: Option<Ratio>) -> String {
    let Some(ratio) = ratio else { return NONE.to_owned() };
    match ratio.interval {
        Some((low, high)) => {
            format!("{} × ({} to {})", digits(ratio.value), digits(low), digits(high))
        }
        None => format!("{} × (one round)", digits(ratio.value)),
    }
}

fn course(servers: &[&str], cases: &[&Case]) -> Chapter {
    let notes = Notes::of(servers, cases);
    // The last run of each case, one after the other where it was one run.
    let runs: Vec<(usize, &str, Vec<&Recording>)> = servers
        .iter()
        .enumerate()
        .map(|(look, &name)| {
            let runs = cases.iter().filter_map(|case| case.result(name)?.runs().last());
            (look, name, runs.filter(|run| run.intervals.len() > 1).collect())
        })
        .filter(|(_, _, runs): &(usize, &str, Vec<&Recording>)| !runs.is_empty())
        .collect();
    let courses: Vec<(usize, &str, Vec<Track>)> =
        runs.iter().map(|(look, name, runs)| (*look, *name, tracks_of(runs))).collect();
    let seconds = runs.iter().flat_map(|(_, _, runs)| runs).map(|run| run.since + run.seconds);
    let seconds = seconds.fold(0.0, f64::max);
    let title = match cases {
        [case] => case.title.clone(),
        _ => "all steps".to_owned(),
    };
    let mut time =
        Axis::linear("seconds since the measurement began", [seconds].into_iter(), plain);
    time.high = seconds.max(0.1);
    time.ticks.retain(|(at, _)| *at <= seconds * 1.001);
    let plates = courses.iter().zip(&runs).map(|((look, name, tracks), (_, _, runs))| {
        let tracks: Vec<Track> = tracks
            .iter()
            .enumerate()
            .map(|(n, track)| Track { axis: common_axis(n, &courses), lines: track.lines.clone() })
            .collect();
        let words = match runs[..] {
            [run] => course_words(name, run),
            _ => vec!["Between two steps lies a warm-up, which is not drawn as it was.".to_owned()],
        };
        let about_it = format!("{name} over time: {title}");
        let id = format!("course-{look}");
        let invalid = runs.iter().any(|run| !run.invalid.is_empty());
        let mark = if invalid { format!(" !{}", notes.number(name)) } else { String::new() };
        Plate {
            title: format!("{name}{mark}"),
            svg: svg::tracks(about(&id, &about_it, &words), *look, &time, &tracks),
            words,
            table: course_table(runs),
            wide: false,
        }
    });
    let plates: Vec<Plate> = plates.collect();
    Chapter {
        id: "course".to_owned(),
        title: format!("Both sides over time: {title}"),
        intro: "One run of each server, the last. What the clients saw stands above what the server did at the same \
                moment, and all servers have the same axes."
            .to_owned(),
        plates,
        notes: notes.said(),
    }
}

/// What each track of a course shows, in the order of [`tracks_of`].
const TRACKS: [&str; 5] = [
    "requests per second",
    "response time",
    "processor cores busy in the server",
    "threads that waited for a core, on average",
    "memory in MiB, with the kernel's share",
];

fn tracks_of(runs: &[&Recording]) -> Vec<Track> {
    let rate = runs.iter().flat_map(|run| {
        let mut before = 0.0;
        run.intervals.iter().map(move |i| {
            let length = (i.at - before).max(1e-3);
            before = i.at;
            (run.since + i.at, i.done as f64 / length)
        })
    });
    let rate: Vec<(f64, f64)> = rate.collect();
    let latency = |of: fn(&crate::load::recording::Interval) -> u64| -> Vec<(f64, f64)> {
        let answered = |run: &&Recording| -> Vec<(f64, f64)> {
            let answered = run.intervals.iter().filter(|i| i.done > 0);
            answered.map(|i| (run.since + i.at, of(i) as f64)).collect()
        };
        runs.iter().flat_map(answered).collect()
    };
    let growth = |of: fn(&crate::load::recording::Sample) -> f64| -> Vec<(f64, f64)> {
        let of_run = |run: &&Recording| -> Vec<(f64, f64)> {
            let steps = run.samples.windows(2).filter(|pair| pair[1].at > pair[0].at);
            let step = |pair: &[crate::load::recording::Sample]| {
                let grown = of(&pair[1]) - of(&pair[0]);
                (run.since + pair[1].at, (grown / (pair[1].at - pair[0].at)).max(0.0))
            };
            steps.map(step).collect()
        };
        runs.iter().flat_map(of_run).collect()
    };
    let samples = runs.iter().flat_map(|run| run.samples.iter().map(|s| (run.since + s.at, s)));
    let memory = samples.map(|(at, s)| (at, super::memory(s) as f64)).collect();
    let one = |points| vec![(String::new(), points)];
    let lines = [
        one(rate),
        vec![
            ("p50".to_owned(), latency(|i| i.p50)),
            ("p99".to_owned(), latency(|i| i.p99)),
            ("max".to_owned(), latency(|i| i.max)),
        ],
        one(growth(|s| s.user + s.system)),
        one(growth(|s| s.run_queue_wait)),
        one(memory),
    ];
    let axis = || Axis { label: String::new(), log: false, low: 0.0, high: 1.0, ticks: Vec::new() };
    lines.into_iter().map(|lines| Track { axis: axis(), lines }).collect()
}

fn common_axis(track: usize, courses: &[(usize, &str, Vec<Track>)]) -> Axis {
    let lines =
        courses.iter().filter_map(|(_, _, tracks)| tracks.get(track)).flat_map(|t| &t.lines);
    let values = lines.flat_map(|(_, points)| points.iter().map(|point| point.1));
    match track {
        0 => Axis::linear(TRACKS[0], values, |v| {
            if v >= 1e3 { format!("{} k", plain(v / 1e3)) } else { plain(v) }
        }),
        1 => Axis::log(TRACKS[1], values, short_nanos),
        4 => in_mib(Axis::log, TRACKS[4], values),
        n => Axis::linear(TRACKS[n], values, plain),
    }
}

fn connections(sweep: &[&Case]) -> Axis {
    let steps: Vec<f64> = sweep.iter().map(|case| level(case)).collect();
    let label = match sweep.first().is_none_or(|case| closed(case)) {
        true => "concurrent connections",
        false => "requests planned per second",
    };
    Axis::steps(label, &steps, whole)
}

fn sweep_series(servers: &[&str], sweep: &[&Case], figure: Figure, notes: &Notes) -> Vec<Series> {
    let series = servers.iter().enumerate().map(|(look, &name)| {
        let points = sweep.iter().filter_map(|case| {
            let result = case.result(name)?;
            let all: Vec<f64> = result.runs().filter_map(|run| figure.of(run)).collect();
            let value = result.median(figure);
            let low = all.iter().copied().fold(f64::INFINITY, f64::min);
            let high = all.iter().copied().fold(0.0, f64::max);
            let invalid = if result.is_invalid() { ", INVALID" } else { "" };
            let tip = match (value, &result.failure) {
                (None, Some(why)) => format!("{name}, {}: {why}", case.title),
                (value, _) => format!("{name}, {}: {}{invalid}", case.title, figure.show(value)),
            };
            Some(Point {
                x: level(case),
                y: value,
                spread: (all.len() > 1).then_some((low, high)),
                invalid: result.is_invalid(),
                tip,
            })
        });
        let note = notes.number(name);
        Series { look, name: name.to_owned(), note, markers: true, points: points.collect() }
    });
    series.filter(|series| !series.points.is_empty()).collect()
}

fn values(series: &[Series]) -> impl Iterator<Item = f64> {
    let points = series.iter().flat_map(|line| &line.points);
    points.flat_map(|point| {
        let (low, high) = point.spread.map_or((None, None), |(low, high)| (Some(low), Some(high)));
        [point.y, low, high].into_iter().flatten()
    })
}

fn entries<'a>(
    servers: &'a [&'a str],
    case: &'a Case,
) -> impl Iterator<Item = (usize, &'a str, Option<&'a ServerResult>)> {
    servers.iter().enumerate().map(|(look, &name)| (look, name, case.result(name)))
}

fn bar(
    (look, name): (usize, &str),
    result: Option<&ServerResult>,
    parts: Option<Vec<f64>>,
    text: String,
    note: String,
) -> Bar {
    let invalid = result.is_some_and(ServerResult::is_invalid);
    Bar { look, name: name.to_owned(), parts, text, note, invalid }
}

// The words: all of them follow from figures.

/// A server and its figure.
type Ranked<'a> = (&'a str, f64);

/// Servers and their figure, the greatest first.
fn ranked(case: &Case, figure: Figure) -> Vec<(&str, f64)> {
    let with_figure = |result: &'_ ServerResult| result.median(figure);
    let mut ranked: Vec<(&str, f64)> = case
        .results
        .iter()
        .filter_map(|result| Some((result.server.as_str(), with_figure(result)?)))
        .collect();
    ranked.sort_by(|a, b| b.1.total_cmp(&a.1));
    ranked
}

/// The same of those servers that have served all their clients, if there are two: the latencies of one that has let
/// clients wait for the whole run are not the better for it.
fn ranked_served(case: &Case, figure: Figure) -> Vec<(&str, f64)> {
    let all = ranked(case, figure);
    let serves_all = |name: &str| {
        case.result(name).and_then(|r| r.median(Figure::Served)).is_some_and(|share| share > 0.99)
    };
    let fair: Vec<(&str, f64)> = all.iter().copied().filter(|(name, _)| serves_all(name)).collect();
    if fair.len() > 1 && closed(case) { fair } else { all }
}

/// The greatest and the least, if there are two.
fn extremes<'a>(ranked: &[Ranked<'a>]) -> Option<(Ranked<'a>, Ranked<'a>)> {
    match ranked {
        [first, .., last] => Some((*first, *last)),
        _ => None,
    }
}

fn rate_words(comparison: &Comparison, sweep: &[&Case], case: &Case) -> Vec<String> {
    let ranking = ranked(case, Figure::Rate);
    let Some(((best, most), (worst, least))) = extremes(&ranking) else {
        return lonely(&ranking, Figure::Rate);
    };
    let n = load_of(case);
    let equal: Vec<&str> = ranking[1..]
        .iter()
        .map(|&(name, _)| name)
        .filter(|name| {
            case.ratio(Figure::Rate, best, name)
                .is_none_or(|r| r.difference() == Difference::NotShown)
        })
        .collect();
    let mut words = Vec::new();
    if equal.contains(&worst) {
        words.push(format!(
            "At {n} the medians reach from {} ({worst}) to {} ({best}), and no difference is shown between \
             the two.",
            text::rate(least),
            text::rate(most)
        ));
    } else {
        let mut sentence = format!(
            "At {n} {best} answers most, {}, and {worst} least, {}.",
            text::rate(most),
            text::rate(least)
        );
        if !equal.is_empty() {
            let _ =
                write!(sentence, " Between {best} and {} no difference is shown.", listed(&equal));
        }
        words.push(sentence);
    }
    if !equal.contains(&worst) {
        words.extend(cost_explains(case, (best, most), (worst, least)));
    }
    let falling: Vec<String> =
        comparison.servers().into_iter().filter_map(|name| falls(sweep, name)).collect();
    if !falling.is_empty() {
        words.push(format!("More load costs throughput: {}.", falling.join("; ")));
    }
    words
}

/// Whether processor time accounts for a difference in rates.
fn cost_explains(
    case: &Case,
    (best, most): (&str, f64),
    (worst, least): (&str, f64),
) -> Option<String> {
    let cost = |name| case.result(name)?.median(Figure::Cpu);
    let (cheap, dear) = (cost(best)?, cost(worst)?);
    if least <= 0.0 || cheap <= 0.0 {
        return None;
    }
    let (rates, costs) = (most / least, dear / cheap);
    let begin = format!(
        "A request costs {best} {} of processor time and {worst} {}: {} times as much, where the rates differ {} \
         times",
        Figure::Cpu.show(Some(cheap)),
        Figure::Cpu.show(Some(dear)),
        digits(costs),
        digits(rates)
    );
    Some(if costs > 1.1 && (costs / rates).ln().abs() < 0.3 {
        format!("{begin}, so the cost of a request accounts for the difference.")
    } else if costs > rates {
        format!(
            "{begin}; so the server did not need all of its core, or something else held it back."
        )
    } else {
        format!("{begin}; the rest was spent waiting, not working.")
    })
}

/// What a server loses from its best step to the last, if it is more than a tenth and no round says otherwise.
fn falls(sweep: &[&Case], name: &str) -> Option<String> {
    let rounds = |case: &Case| -> Option<Vec<f64>> {
        Some(case.result(name)?.runs().filter_map(|run| Figure::Rate.of(run)).collect())
    };
    let rates: Vec<(f64, f64, Vec<f64>)> = sweep
        .iter()
        .filter_map(|case| {
            let median = case.result(name)?.median(Figure::Rate)?;
            Some((level(case), median, rounds(case)?))
        })
        .collect();
    let best = rates.iter().max_by(|a, b| a.1.total_cmp(&b.1))?;
    let last = rates.last()?;
    let apart = last.2.iter().all(|late| best.2.iter().all(|early| late < early));
    (last.1 < best.1 * 0.9 && apart).then(|| {
        format!(
            "{name} has its best at {} and {} of that at {}",
            whole(best.0),
            digits(last.1 / best.1),
            whole(last.0)
        )
    })
}

fn queue_words(case: &Case) -> Vec<String> {
    let ranking = ranked_served(case, Figure::P50);
    let Some(((worst, longest), (best, shortest))) = extremes(&ranking) else {
        return lonely(&ranking, Figure::P50);
    };
    let n = case.workload.connections as f64;
    let mut words = vec![format!(
        "At {} half of the requests are done within {} in {best} and {} in {worst}.",
        load_of(case),
        nanos(shortest),
        nanos(longest)
    )];
    // Little's law holds for a closed loop in which every client is served.
    let rate = case.result(worst).filter(|r| r.median(Figure::Served).is_some_and(|s| s > 0.99));
    if let Some(rate) =
        rate.and_then(|r| r.median(Figure::Rate)).filter(|rate| *rate > 0.0 && closed(case))
    {
        words.push(format!(
            "Most of it is queueing: {} clients who share {} wait {} on average, whatever the model (Little's law).",
            whole(n),
            text::rate(rate),
            nanos(n / rate * 1e9)
        ));
    }
    words.extend(unserved(case));
    words
}

fn tail_words(comparison: &Comparison, case: &Case, figure: Figure) -> Vec<String> {
    let ranking = ranked_served(case, figure);
    let Some(((worst, longest), (best, shortest))) = extremes(&ranking) else {
        return lonely(&ranking, figure);
    };
    let n = case.workload.connections as f64;
    let shown =
        case.ratio(figure, worst, best).is_some_and(|r| r.difference() != Difference::NotShown);
    let mut words = vec![match shown {
        true => format!(
            "At {} one request in a hundred takes longer than {} in {best} and than {} in {worst}, {} times as long.",
            load_of(case),
            nanos(shortest),
            nanos(longest),
            digits(longest / shortest)
        ),
        false => format!(
            "At {} the 99th percentiles reach from {} ({best}) to {} ({worst}); the rounds scatter so much that no \
             difference is shown.",
            load_of(case),
            nanos(shortest),
            nanos(longest)
        ),
    }];
    let mean = |name: &str| Some(n / case.result(name)?.median(Figure::Rate)? * 1e9);
    if let Some(mean) = mean(worst).filter(|mean| closed(case) && longest > 4.0 * mean) {
        words.push(format!(
            "That is {} times the mean of {worst}: some of its clients wait while others are served again and again.",
            digits(longest / mean)
        ));
    }
    words.extend(waiting_for_core(comparison, case));
    words.extend(unserved(case));
    words
}

/// Which server's threads waited longest for a core, if that is worth telling.
fn waiting_for_core(comparison: &Comparison, case: &Case) -> Option<String> {
    let waiting = |run: &Recording| {
        let (first, last) = (run.samples.first()?, run.samples.last()?);
        let seconds = last.at - first.at;
        (seconds > 0.0).then(|| (last.run_queue_wait - first.run_queue_wait) / seconds)
    };
    let all = comparison.servers().into_iter().filter_map(|name| {
        let result = case.result(name)?;
        Some((name, stats::median_of(result.runs().map(waiting))?))
    });
    let (name, threads) = all.max_by(|a, b| a.1.total_cmp(&b.1))?;
    (threads > 2.0).then(|| {
        format!("In {name} {} threads on average were ready and waited for a core: the queue is the scheduler's.", digits(threads))
    })
}

fn slowest_words(case: &Case) -> Vec<String> {
    let ranking = ranked_served(case, Figure::Max);
    let Some(((worst, longest), (best, shortest))) = extremes(&ranking) else {
        return lonely(&ranking, Figure::Max);
    };
    vec![format!(
        "At {} the slowest request of a round took {} in {worst} and {} in {best} (medians of the rounds). A \
         maximum rests on one request and scatters more than all other figures: read it as a hint, not as a measure.",
        load_of(case),
        nanos(longest),
        nanos(shortest)
    )]
}

fn memory_words(sweep: &[&Case]) -> Vec<String> {
    let (Some(first), Some(last)) = (sweep.first(), sweep.last()) else { return Vec::new() };
    let more = (last.workload.connections - first.workload.connections) as f64;
    let mut growth: Vec<(&str, f64)> = last
        .results
        .iter()
        .filter_map(|result| {
            let before = first.result(&result.server)?.median(Figure::Memory)?;
            Some((result.server.as_str(), (result.median(Figure::Memory)? - before) / more))
        })
        .collect();
    growth.sort_by(|a, b| b.1.total_cmp(&a.1));
    let Some(((worst, most), (best, least))) = extremes(&growth) else { return Vec::new() };
    let mut words = vec![format!(
        "From {} to {} connections each further one costs {worst} {} and {best} {}.",
        whole(first.workload.connections as f64),
        whole(last.workload.connections as f64),
        bytes(most.max(0.0)),
        bytes(least.max(0.0))
    )];
    let sample = last.result(worst).and_then(|r| r.runs().last()).and_then(fullest);
    if let Some(sample) = sample {
        let kernel =
            (sample.page_tables + sample.kernel_stacks) as f64 / super::memory(sample) as f64;
        words.push(format!(
            "{} % of what {worst} holds at the end is the kernel's, page tables and stacks of its {} processes and {} \
             threads, which no count of the program's own memory shows.",
            digits(kernel * 100.0),
            whole(sample.processes as f64),
            whole(sample.threads as f64)
        ));
    }
    words
}

fn idle_words(case: &Case) -> Vec<String> {
    let ranking = ranked(case, Figure::Memory);
    let Some(((worst, most), (best, least))) = extremes(&ranking) else {
        return lonely(&ranking, Figure::Memory);
    };
    let mut words = vec![format!(
        "With {} connections {worst} holds {} and {best} {}.",
        whole(case.workload.connections as f64),
        bytes(most),
        bytes(least)
    )];
    if let Some(((dear, most), (cheap, least))) = extremes(&ranked(case, Figure::PerClient)) {
        words.push(format!(
            "Beyond what the same server held before anybody came, a client costs {dear} {} and {cheap} {}, the kernel's \
             share in it.",
            bytes(most),
            bytes(least)
        ));
    }
    words
}

fn spread_words(case: &Case) -> Vec<String> {
    // A percentile with fewer than ten requests beyond it is a matter of luck.
    let fewest =
        case.results.iter().flat_map(|r| r.runs().map(|run| run.response_time.0.len())).min();
    let (figure, few, percentile) = match fewest {
        Some(10_000..) => (Figure::P999, "one request in a thousand", "99.9th"),
        _ => (Figure::P99, "one request in a hundred", "99th"),
    };
    let middles = ranked_served(case, Figure::P50).into_iter().filter(|(_, middle)| *middle > 0.0);
    let mut tails: Vec<(&str, f64, f64)> = middles
        .filter_map(|(name, middle)| Some((name, middle, case.result(name)?.median(figure)?)))
        .collect();
    tails.sort_by(|a, b| (b.2 / b.1).total_cmp(&(a.2 / a.1)));
    let (Some(steep), Some(flat)) = (tails.first(), tails.last()) else { return Vec::new() };
    let say = |(name, middle, tail): &(&str, f64, f64)| {
        format!("{name} ({} and {}, {} times)", nanos(*middle), nanos(*tail), digits(tail / middle))
    };
    let mut words = match tails.len() {
        1 => vec![format!("Median and {percentile} percentile of {}.", say(steep))],
        _ => vec![format!(
            "The median and what {few} exceeds lie furthest apart in {}, and closest in {}.",
            say(steep),
            say(flat)
        )],
    };
    words.extend(unserved(case));
    words
}

fn switch_words(case: &Case) -> Vec<String> {
    let ranking = ranked(case, Figure::Switches);
    let Some(((worst, most), (best, least))) = extremes(&ranking) else {
        return lonely(&ranking, Figure::Switches);
    };
    let mut words = vec![format!(
        "{worst} switches {} times for a request, {best} {} times.",
        digits(most),
        digits(least)
    )];
    let sleeping: Vec<&str> = case
        .results
        .iter()
        .filter(|r| r.median(Figure::Voluntary).is_some_and(|v| v >= 0.8))
        .map(|r| r.server.as_str())
        .collect();
    let busy: Vec<&str> = ranking.iter().filter(|(_, v)| *v < 0.2).map(|(name, _)| *name).collect();
    if !sleeping.is_empty() {
        words.push(format!(
            "About one switch or more by its own will means that a worker goes to sleep after each request until its \
             client sends the next: {}.",
            listed(&sleeping)
        ));
    }
    if !busy.is_empty() {
        words.push(format!(
            "Far fewer than one means that a worker which is done finds the next request ready, and does not sleep: {}.",
            listed(&busy)
        ));
    }
    words
}

fn cpu_words(case: &Case) -> Vec<String> {
    let ranking = ranked(case, Figure::Cpu);
    let Some(((worst, most), (best, least))) = extremes(&ranking) else {
        return lonely(&ranking, Figure::Cpu);
    };
    let kernel = |name| case.result(name)?.median(Figure::System);
    let shown = case
        .ratio(Figure::Cpu, worst, best)
        .is_some_and(|r| r.difference() != Difference::NotShown);
    let mut words = vec![match shown {
        true => format!(
            "A request costs {worst} {} and {best} {}, {} times as much.",
            Figure::Cpu.show(Some(most)),
            Figure::Cpu.show(Some(least)),
            digits(most / least)
        ),
        false => format!(
            "Between {} ({best}) and {} ({worst}) no difference is shown.",
            Figure::Cpu.show(Some(least)),
            Figure::Cpu.show(Some(most))
        ),
    }];
    if let Some(kernel) = kernel(worst) {
        words.push(format!(
            "In {worst} {} % of it is spent in the kernel. This figure holds even where the generator, not the server, \
             was the limit.",
            digits(kernel / most * 100.0)
        ));
    }
    words
}

fn fairness_words(case: &Case) -> Vec<String> {
    let ranking = ranked(case, Figure::Fairness);
    let Some(((best, most), (worst, least))) = extremes(&ranking) else {
        return lonely(&ranking, Figure::Fairness);
    };
    let mut words = vec![match least > 0.95 {
        true => format!(
            "All serve their clients nearly alike: from {} ({worst}) to {} ({best}).",
            digits(least),
            digits(most)
        ),
        false => format!(
            "{best} is fairest with {}, {worst} least fair with {}.",
            digits(most),
            digits(least)
        ),
    }];
    words.extend(unserved(case));
    words
}

/// Which servers have left clients without any answer.
fn unserved(case: &Case) -> Option<String> {
    // In an open loop a connection may have had nothing to ask.
    if !closed(case) {
        return None;
    }
    let left: Vec<String> = case
        .results
        .iter()
        .filter_map(|result| {
            let run = result.runs().min_by_key(|run| run.totals.clients_served)?;
            let (served, asked) = (run.totals.clients_served, run.totals.connections_asked);
            let short = |run: &Recording| run.totals.clients_served < run.totals.connections_asked;
            let always = result.runs().all(short);
            (served < asked).then(|| {
                format!(
                    "{} served {} of {} clients{}",
                    result.server,
                    whole(served as f64),
                    whole(asked as f64),
                    if always { "" } else { " in its worst round" }
                )
            })
        })
        .collect();
    let whose = if left.len() == 1 { "its" } else { "their" };
    (!left.is_empty()).then(|| {
        format!(
            "{}: {whose} percentiles speak for those alone, the others waited in vain.",
            listed(&left)
        )
    })
}

fn ratio_words(comparison: &Comparison, case: &Case, figure: Figure) -> Vec<String> {
    let Some(baseline) = comparison.baseline_of(case) else { return Vec::new() };
    let (mut higher, mut lower, mut not_shown, mut single) = (vec![], vec![], vec![], vec![]);
    for result in case.results.iter().filter(|r| r.server != baseline) {
        let Some(ratio) = case.ratio(figure, &result.server, baseline) else { continue };
        let said = format!("{} ({} ×)", result.server, digits(ratio.value));
        match ratio.difference() {
            _ if ratio.interval.is_none() => single.push(said),
            Difference::Shown(Direction::Higher) => higher.push(said),
            Difference::Shown(Direction::Lower) => lower.push(said),
            Difference::NotShown => not_shown.push(result.server.clone()),
        }
    }
    let (more, less) = match figure {
        Figure::Rate => ("More requests per second than", "Fewer than"),
        _ => ("A longer 99th percentile than", "A shorter one than"),
    };
    let mut words = Vec::new();
    let mut say = |begin: &str, names: &[String]| {
        if !names.is_empty() {
            words.push(format!("{begin} {baseline}: {}.", listed(names)));
        }
    };
    say(more, &higher);
    say(less, &lower);
    say("No difference shown from", &not_shown);
    say("One pair of rounds only, which shows nothing, against", &single);
    words.extend(unserved(case));
    words
}

fn course_words(name: &str, run: &Recording) -> Vec<String> {
    let Some(worst) = run.intervals.iter().max_by_key(|i| i.p99) else { return Vec::new() };
    let rates: Vec<f64> = run.intervals.iter().map(|i| i.done as f64).collect();
    let (middle, least) =
        (stats::median(&rates), rates.iter().copied().fold(f64::INFINITY, f64::min));
    let mut words = vec![format!(
        "The worst tenth of a second of {name} ends at {} s, with a 99th percentile of {}.",
        digits(worst.at),
        nanos(worst.p99 as f64)
    )];
    words.push(match least < middle * 0.5 {
        true => format!(
            "Its rate falls to {} of the median in the slowest interval.",
            if least == 0.0 { "nothing".to_owned() } else { digits(least / middle) }
        ),
        false => "Its rate never falls below half of the median: the run was steady.".to_owned(),
    });
    words
}

fn strip_words(strip: &Strip) -> Vec<String> {
    let spans = || strip.lanes.iter().flat_map(|lane| &lane.spans);
    let requests: std::collections::BTreeSet<u64> = spans().map(|span| span.request).collect();
    let working =
        strip.lanes.iter().filter(|lane| lane.spans.iter().any(|span| span.kind != "wait")).count();
    let end = spans().map(|span| span.end_us).max().unwrap_or(0);
    let mut words = vec![format!(
        "{} worker{} served {} requests in {}.",
        whole(working as f64),
        if working == 1 { "" } else { "s" },
        whole(requests.len() as f64),
        nanos(end as f64 * 1e3)
    )];
    let waits =
        spans().filter(|span| span.kind == "wait").map(|s| s.end_us.saturating_sub(s.start_us));
    if let Some(longest) = waits.max() {
        words.push(format!("The longest wait for a worker was {}.", nanos(longest as f64 * 1e3)));
    }
    let during = spans().find(|span| span.kind == "slow").map(|slow| {
        let meanwhile = spans().filter(|span| {
            span.kind != "slow"
                && span.kind != "wait"
                && span.end_us > slow.start_us
                && span.start_us < slow.end_us
        });
        let others: std::collections::BTreeSet<u64> = meanwhile.map(|span| span.request).collect();
        (nanos((slow.end_us - slow.start_us.min(slow.end_us)) as f64 * 1e3), others.len())
    });
    match during {
        Some((time, 0)) => words.push(format!(
            "The slow client held it for {time}, and nobody else was served meanwhile."
        )),
        Some((time, n)) => words.push(format!(
            "The slow client took {time}, in which {} other request{} served.",
            whole(n as f64),
            if n == 1 { " was" } else { "s were" }
        )),
        None => {}
    }
    if svg::undrawn(strip) > 0 {
        words.push(format!("{} more workers are not drawn.", whole(svg::undrawn(strip) as f64)));
    }
    words
}

fn lonely(ranking: &[(&str, f64)], figure: Figure) -> Vec<String> {
    match ranking {
        [(name, value)] => {
            vec![format!(
                "{name} has {}; there is no other to compare it with.",
                figure.show(Some(*value))
            )]
        }
        _ => vec!["No server has a figure here.".to_owned()],
    }
}

fn closed(case: &Case) -> bool {
    case.workload.arrivals == Arrivals::Closed
}

// The page around the plots.

fn header(html: &mut String, comparison: &Comparison, chapters: &[Chapter]) {
    let environment = &comparison.environment;
    html.push_str("<header>\n<h1>Models of concurrency compared</h1>\n<dl>");
    let mut entry = |name: &str, value: &str| {
        if !value.is_empty() {
            let _ = write!(html, "<dt>{name}</dt><dd>{}</dd>", escape(value));
        }
    };
    entry("Machine", &environment.machine);
    entry("Placement", &environment.placement);
    entry("Command", &environment.command);
    entry("Begun", &moment(environment.started));
    entry("Ratios to", comparison.baseline.as_deref().unwrap_or("the first server of each case"));
    let rounds = comparison.cases.iter().flat_map(|c| &c.results).map(|r| r.rounds.len()).max();
    entry("Rounds", &rounds.unwrap_or(0).to_string());
    html.push_str("</dl>\n<p>Only ratios taken in one interleaved run count. The absolute figures are those of this machine in this hour, and no promise.</p>\n");
    let results = || comparison.cases.iter().flat_map(|case| &case.results);
    let noted = results().filter(|result| is_noted(result)).count();
    if noted > 0 {
        let _ = writeln!(
            html,
            "<p>{} of {} results are missing ({NONE}) or not to be believed (!). The small numbers beside them are those \
             of the reasons at the end of each chapter.</p>",
            whole(noted as f64),
            whole(results().count() as f64)
        );
    }
    html.push_str("<nav aria-label=\"Chapters\"><ul>");
    for chapter in chapters {
        let _ = write!(
            html,
            "<li><a href=\"#{}\">{}</a></li>",
            anchor(&chapter.id),
            escape(&chapter.title)
        );
    }
    html.push_str("<li><a href=\"#figures\">All figures</a></li></ul></nav>\n</header>\n<ul class=\"legend\" aria-label=\"Servers\">");
    for (look, server) in comparison.servers().iter().enumerate() {
        let _ =
            write!(html, "<li data-series=\"{look}\">{}{}</li>", svg::key(look), escape(server));
    }
    html.push_str("</ul>\n");
}

fn write_chapter(html: &mut String, chapter: &Chapter) {
    let _ = write!(
        html,
        "<section id=\"{}\">\n<h2>{}</h2>\n<p>{}</p>\n<div class=\"plates\">\n",
        anchor(&chapter.id),
        escape(&chapter.title),
        escape(&chapter.intro)
    );
    for plate in &chapter.plates {
        let class = if plate.wide { " class=\"wide\"" } else { "" };
        let _ = write!(html, "<figure{class}>\n<figcaption><h3>{}</h3>", escape(&plate.title));
        if !plate.words.is_empty() {
            let _ = write!(html, "<p>{}</p>", escape(&plate.words.join(" ")));
        }
        html.push_str("</figcaption>\n");
        let _ = writeln!(html, "<div class=\"scroll\">{}</div>", plate.svg);
        if !plate.table.is_empty() {
            html.push_str("<details><summary>The same as a table</summary>");
            write_table(html, &plate.table);
            html.push_str("</details>\n");
        }
        html.push_str("</figure>\n");
    }
    html.push_str("</div>\n");
    write_notes(html, &chapter.notes);
    html.push_str("</section>\n");
}

/// The reasons behind the marks of a chapter.
fn write_notes(html: &mut String, notes: &[(String, String)]) {
    if notes.is_empty() {
        return;
    }
    html.push_str(
        "<ul class=\"notes\" aria-label=\"Why figures are missing or not to be believed\">",
    );
    for (mark, why) in notes {
        let _ = write!(html, "<li>{} {}</li>", escape(mark), escape(why));
    }
    html.push_str("</ul>\n");
}

fn write_table(html: &mut String, rows: &[Vec<String>]) {
    html.push_str("<div class=\"scroll\" tabindex=\"0\"><table>");
    for (n, row) in rows.iter().enumerate() {
        html.push_str("<tr>");
        for cell in row {
            let _ = match n {
                0 => write!(html, "<th scope=\"col\">{}</th>", escape(cell)),
                _ if cell.chars().count() > 48 => {
                    write!(html, "<td class=\"long\">{}</td>", escape(cell))
                }
                _ => write!(html, "<td>{}</td>", escape(cell)),
            };
        }
        html.push_str("</tr>");
    }
    html.push_str("</table></div>");
}

fn all_figures(html: &mut String, comparison: &Comparison) {
    let (servers, cases) = (comparison.servers(), comparison.cases.iter().collect::<Vec<_>>());
    let notes = Notes::of(&servers, &cases);
    html.push_str("<section id=\"figures\">\n<h2>All figures</h2>\n<p>Medians of the rounds; - is a figure that there is not.</p>\n");
    for case in &comparison.cases {
        let _ = write!(
            html,
            "<details><summary>{} ({})</summary>",
            escape(&case.title),
            escape(&case.name)
        );
        let mut rows = table::case_rows(comparison, case);
        for (result, row) in case.results.iter().zip(rows.iter_mut().skip(1)) {
            if let Some(mark) = row.last_mut() {
                *mark = mark.replace("INVALID", "!") + &notes.mark(&result.server, case);
            }
        }
        write_table(html, &rows);
        if let Some(ceiling) = case.ceiling {
            let _ = write!(html, "<p>{}</p>", escape(&table::ceiling_words(ceiling)));
        }
        html.push_str("</details>\n");
    }
    write_notes(html, &notes.said());
    html.push_str("</section>\n");
}

fn sweep_table(
    servers: &[&str],
    sweep: &[&Case],
    figure: Figure,
    notes: &Notes,
) -> Vec<Vec<String>> {
    let head = sweep.iter().map(|case| whole(level(case)));
    let what = match sweep.first().is_none_or(|case| closed(case)) {
        true => "connections",
        false => "planned per second",
    };
    let mut rows = vec![std::iter::once(what.to_owned()).chain(head).collect::<Vec<_>>()];
    for server in servers {
        let cells = sweep.iter().map(|case| {
            let value = case.result(server).and_then(|r| r.median(figure));
            marked(cell(figure, value, case), server, case, notes)
        });
        rows.push(std::iter::once((*server).to_owned()).chain(cells).collect());
    }
    if figure == Figure::Rate && sweep.iter().any(|case| case.ceiling.is_some()) {
        let ceilings = sweep.iter().map(|case| figure.show(case.ceiling));
        rows.push(std::iter::once("the generator itself".to_owned()).chain(ceilings).collect());
    }
    rows
}

fn cell(figure: Figure, value: Option<f64>, case: &Case) -> String {
    match figure {
        Figure::Rate => table::rate_cell(case, value),
        _ => figure.show(value),
    }
}

/// A cell with its mark, if it needs one, and the number of the note that says why.
fn marked(text: String, server: &str, case: &Case, notes: &Notes) -> String {
    let invalid = case.result(server).is_some_and(ServerResult::is_invalid);
    let mark = if invalid && text != NONE { " !" } else { "" };
    format!("{text}{mark}{}", notes.mark(server, case))
}

fn figure_table(
    servers: &[&str],
    case: &Case,
    figures: &[Figure],
    notes: &Notes,
) -> Vec<Vec<String>> {
    let head = figures.iter().map(|figure| table::heading(*figure).to_owned());
    let mut rows = vec![std::iter::once("server".to_owned()).chain(head).collect::<Vec<_>>()];
    for (_, name, result) in entries(servers, case) {
        let cells = figures.iter().enumerate().map(|(n, figure)| {
            let text = cell(*figure, result.and_then(|r| r.median(*figure)), case);
            // Once in a row is enough.
            if n == 0 { marked(text, name, case, notes) } else { text }
        });
        rows.push(std::iter::once(name.to_owned()).chain(cells).collect());
    }
    rows
}

fn ratio_table(
    comparison: &Comparison,
    servers: &[&str],
    case: &Case,
    figure: Figure,
    notes: &Notes,
) -> Vec<Vec<String>> {
    let baseline = comparison.baseline_of(case).unwrap_or_default();
    let heading = table::heading(figure).to_owned();
    let mut rows =
        vec![vec!["server".to_owned(), heading, format!("to {baseline}"), "pairs".to_owned()]];
    for (_, name, result) in entries(servers, case) {
        let ratio = case.ratio(figure, name, baseline).filter(|_| name != baseline);
        let text = cell(figure, result.and_then(|r| r.median(figure)), case);
        rows.push(vec![
            name.to_owned(),
            marked(text, name, case, notes),
            if name == baseline { "1".to_owned() } else { verdict(ratio) },
            ratio.map_or(NONE.to_owned(), |r| r.rounds.to_string()),
        ]);
    }
    rows
}

fn course_table(runs: &[&Recording]) -> Vec<Vec<String>> {
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

/// What the titles of a sweep's cases have in common, without the connections that differ.
fn common_title(sweep: &[&Case], first: &Case) -> String {
    let parts: Vec<&str> = first.title.split(", ").collect();
    let everywhere =
        |part: &&&str| sweep.iter().all(|case| case.title.split(", ").any(|other| other == **part));
    let common: Vec<&str> = parts.iter().filter(everywhere).copied().collect();
    if common.is_empty() { first.title.clone() } else { common.join(", ") }
}

fn about<'a>(id: &'a str, title: &'a str, words: &'a [String]) -> About<'a> {
    About {
        id,
        title,
        description: words.first().map_or("The figures stand in the table below.", String::as_str),
    }
}

/// A name that may stand in an address.
fn anchor(name: &str) -> String {
    let kept =
        name.chars().map(|c| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '-' });
    kept.collect()
}

fn short_nanos(value: f64) -> String {
    match value {
        v if v < 1e3 => format!("{v:.0} ns"),
        v if v < 1e6 => format!("{:.0} µs", v / 1e3),
        v if v < 1e9 => format!("{:.0} ms", v / 1e6),
        v => format!("{:.0} s", v / 1e9),
    }
}

/// An axis of bytes with round numbers of MiB.
fn in_mib<V: Iterator<Item = f64>>(
    make: impl Fn(&str, std::iter::Map<V, fn(f64) -> f64>, fn(f64) -> String) -> Axis,
    label: &str,
    bytes: V,
) -> Axis {
    const MIB: f64 = 1024.0 * 1024.0;
    let axis = make(label, bytes.map(|v| v / MIB), plain);
    let ticks = axis.ticks.into_iter().map(|(at, text)| (at * MIB, text));
    Axis { low: axis.low * MIB, high: axis.high * MIB, ticks: ticks.collect(), ..axis }
}

/// Seconds since 1970 as a date and a time of day, UTC (Howard Hinnant's civil_from_days).
fn moment(seconds: u64) -> String {
    if seconds == 0 {
        return String::new();
    }
    let (days, rest) = ((seconds / 86_400) as i64 + 719_468, seconds % 86_400);
    let era = days / 146_097;
    let day_of_era = days % 146_097;
    let year_of_era =
        (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted + 2) / 5 + 1;
    let month = if shifted < 10 { shifted + 3 } else { shifted - 9 };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    format!("{year}-{month:02}-{day:02} {:02}:{:02} UTC", rest / 3600, rest % 3600 / 60)
}
