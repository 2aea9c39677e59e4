//! The page of one run of one server: its figures first, then the plots for which there is data.

use super::figures;
use super::notes::Notes;
use super::page::{
    Chapter, begin, moment, write_chapter, write_entry, write_links, write_list, write_table,
};
use super::sweeps::{closed, sweeps};
use super::tables::{
    course_columns, errors_by_kind, notes_of, percentile_rows, rate_cell, summary,
};
use super::{Case, Comparison, Metric, NONE, Recording, ServerResult};
use crate::load::workload::{
    Arrivals, Distribution, Lifetime, Mix, Profile, Protocol, Sizes, Workload,
};
use crate::text::{self, bytes, digits, escape, plain, whole};
use std::fmt::Write as _;

/// How many distributions of the steps of a run are drawn.
const DISTRIBUTIONS: usize = 3;

/// Whether this is one run of one server, steady or in the phases of a profile.
pub(super) fn is_alone(comparison: &Comparison) -> bool {
    let one_round = |result: &ServerResult| result.rounds.len() == 1;
    let one_run = match &comparison.cases[..] {
        [_] => true,
        cases => cases.iter().all(|case| case.workload.profile != Profile::Steady),
    };
    comparison.baseline.is_none()
        && comparison.servers().len() == 1
        && one_run
        && comparison.cases.iter().flat_map(|case| &case.results).all(one_round)
}

/// The phases of a run and what came of each.
fn phases(comparison: &Comparison) -> impl Iterator<Item = (&Case, &ServerResult)> + Clone {
    comparison.cases.iter().filter_map(|case| Some((case, case.results.first()?)))
}

/// The recording of a run that is steady.
fn steady(comparison: &Comparison) -> Option<&Recording> {
    match &comparison.cases[..] {
        [case] if case.workload.profile == Profile::Steady => case.results.first()?.runs().next(),
        _ => None,
    }
}

/// The page of a run that stands alone, with these chapters.
pub(super) fn html(comparison: &Comparison, chapters: &[Chapter]) -> String {
    let title = title(comparison);
    let mut html = begin(&title);
    header(&mut html, comparison, &title, chapters);
    html.push_str("<main>\n");
    results(&mut html, comparison);
    for chapter in chapters {
        write_chapter(&mut html, chapter);
    }
    html.push_str("</main>\n</body>\n</html>\n");
    html
}

/// The server and the workload.
fn title(comparison: &Comparison) -> String {
    let server = comparison.servers().first().copied().unwrap_or_default();
    match comparison.cases.first() {
        Some(case) => {
            let workload = &case.workload;
            format!("{server}: {}, {}", requests(workload), load(workload))
        }
        None => server.to_owned(),
    }
}

/// What is asked: `GET of 4 KiB over HTTP`.
fn requests(workload: &Workload) -> String {
    let Mix { get, put, list, hash, quit } = workload.mix;
    let verbs = [("GET", get), ("PUT", put), ("LIST", list), ("HASH", hash), ("QUIT", quit)];
    let asked: Vec<&(&str, u32)> = verbs.iter().filter(|(_, weight)| *weight > 0).collect();
    let verbs = match asked[..] {
        [(verb, _)] => (*verb).to_owned(),
        _ => asked.iter().map(|(verb, n)| format!("{n} {verb}")).collect::<Vec<_>>().join(", "),
    };
    let sizes = match &workload.sizes {
        Sizes::Distribution(Distribution::Lognormal { median, sigma, .. }) => {
            format!("lognormal sizes, median {}, sigma {}", short_bytes(*median), plain(*sigma))
        }
        Sizes::Distribution(Distribution::Pareto { min, alpha, .. }) => {
            format!("Pareto sizes from {}, alpha {}", short_bytes(*min), plain(*alpha))
        }
        Sizes::List(sizes) => {
            let sizes: Vec<String> = sizes.iter().map(|size| short_bytes(*size)).collect();
            sizes.join(", ")
        }
    };
    let over = match workload.protocol {
        Protocol::File => "",
        Protocol::Http => " over HTTP",
    };
    format!("{verbs} of {sizes}{over}")
}

/// How the load comes: `64 connections, closed loop`.
fn load(workload: &Workload) -> String {
    let connections = match workload.connections {
        1 => "1 connection".to_owned(),
        n => format!("{} connections", whole(n as f64)),
    };
    let (unit, spacing) = match workload.arrivals {
        Arrivals::Closed => ("connections, closed loop", ""),
        Arrivals::Fixed { .. } => ("requests per second, open loop", ", evenly spaced"),
        Arrivals::Poisson { .. } => ("requests per second, open loop", ", at random (Poisson)"),
    };
    let level = |level: &f64| plain(*level);
    match (&workload.profile, workload.arrivals.rate()) {
        (Profile::Steps { levels }, _) => {
            let levels: Vec<String> = levels.iter().map(level).collect();
            format!("steps of {} {unit}{spacing}", levels.join(", "))
        }
        (Profile::Ramp { from, to }, _) => {
            format!("a ramp from {} to {} {unit}{spacing}", level(from), level(to))
        }
        (Profile::Steady, None) => format!("{connections}, closed loop"),
        (Profile::Steady, Some(rate)) => format!("{} {unit}{spacing}", plain(rate)),
    }
}

/// All of the workload that is not in the title and differs from the ordinary.
fn details(workload: &Workload) -> String {
    let mut words = match workload.lifetime {
        Lifetime::KeepAlive => vec!["connections stay open".to_owned()],
        Lifetime::PerRequest => vec!["a connection per request".to_owned()],
        Lifetime::Churn { ratio } => {
            vec![format!("a connection ends after a request with probability {}", plain(ratio))]
        }
    };
    words.push(format!("{} names", whole(workload.names as f64)));
    if workload.zipf > 0.0 {
        words.push(format!("by Zipf with exponent {}", plain(workload.zipf)));
    }
    if workload.pipelining > 1 {
        words.push(format!("{} requests ahead on each connection", workload.pipelining));
    }
    if workload.slow_share > 0.0 {
        let (share, rate) = (workload.slow_share * 100.0, short_bytes(workload.slow_rate));
        words.push(format!("{} % of the clients read {rate} per second", digits(share)));
    }
    words.push(if workload.verify { "bodies verified" } else { "bodies not verified" }.to_owned());
    words.push(format!("seed {}", workload.seed));
    words.join(", ")
}

fn short_bytes(size: u64) -> String {
    let shown = bytes(size as f64);
    match shown.split_once(' ') {
        Some((number, unit)) if number.contains('.') => {
            format!("{} {unit}", number.trim_end_matches('0').trim_end_matches('.'))
        }
        _ => shown,
    }
}

/// The beginning of the page.
fn header(html: &mut String, comparison: &Comparison, title: &str, chapters: &[Chapter]) {
    let _ = write!(html, "<header>\n<h1>{}</h1>\n<dl>", escape(title));
    let environment = &comparison.environment;
    if let Some(case) = comparison.cases.first() {
        write_entry(html, "Workload", &details(&case.workload));
        let (each, warm_up) = (case.workload.duration, case.workload.warm_up);
        let (each, warm_up) = (text::duration(each), text::duration(warm_up));
        let measured = match &case.workload.profile {
            Profile::Steady => format!("for {each}, after a warm-up of {warm_up}"),
            Profile::Steps { .. } => {
                format!("{each} a step, after a warm-up of {warm_up} for each")
            }
            Profile::Ramp { .. } => {
                format!("{each} a phase of the ramp, after a warm-up of {warm_up}")
            }
        };
        write_entry(html, "Measured", &measured);
    }
    write_entry(html, "Machine", &environment.machine);
    write_entry(html, "Placement", &environment.placement);
    write_entry(html, "Load by", comparison.driver.as_deref().unwrap_or_default());
    write_entry(html, "Command", &environment.command);
    write_entry(html, "Begun", &moment(environment.started));
    html.push_str(
        "</dl>\n<nav aria-label=\"Chapters\"><ul><li><a href=\"#figures\">Figures</a></li>",
    );
    write_links(html, chapters);
    html.push_str("</ul></nav>\n</header>\n");
}

/// The figures of the run, and why they are invalid or what a reader has to know of them.
fn results(html: &mut String, comparison: &Comparison) {
    html.push_str("<section id=\"figures\">\n<h2>Figures</h2>\n");
    if phases(comparison).any(|(_, result)| result.is_invalid()) {
        html.push_str(
            "<p class=\"warn\">INVALID: the reasons are below the tables. The figures do not measure the server.</p>\n",
        );
    }
    match steady(comparison) {
        Some(run) => {
            write_facts(html, &facts(run, comparison.cases[0].ceiling));
            write_table(html, "Percentiles", &percentile_rows(run));
        }
        None => write_table(html, "Steps", &step_rows(comparison)),
    }
    let one = comparison.cases.len() == 1;
    let place = |case: &Case| match one {
        true => String::new(),
        false => format!("{}: ", case.title),
    };
    let mut invalid = Vec::new();
    for (case, result) in phases(comparison) {
        let place = place(case);
        for run in result.runs() {
            invalid.extend(run.invalid.iter().map(|why| ("INVALID:".into(), place.clone() + why)));
        }
        invalid.extend(result.failure.iter().map(|why| (format!("{place}no data:"), why.clone())));
    }
    let rows: Vec<(&str, &ServerResult)> =
        phases(comparison).map(|(case, result)| (case.title.as_str(), result)).collect();
    let note = |(titles, note): (Vec<&str>, String)| match one {
        true => ("Note:".to_owned(), note),
        false => ("Note:".to_owned(), format!("{}: {note}", titles.join("; "))),
    };
    let notes: Vec<(String, String)> = notes_of(&rows).into_iter().map(note).collect();
    write_list(html, &invalid, "Why figures are missing or invalid");
    write_list(html, &notes, "Notes on the figures");
    html.push_str("</section>\n");
}

/// The figures of a steady run by name, its percentiles apart.
fn facts(run: &Recording, ceiling: Option<f64>) -> Vec<(&'static str, String)> {
    let totals = &run.totals;
    let rate = Metric::Rate.show_of(std::iter::once(run));
    let (done, planned) = (whole(totals.done as f64), whole(totals.planned as f64));
    let answered = match run.workload.arrivals {
        Arrivals::Closed => format!("{done} in {} s", digits(run.seconds)),
        _ => format!("{done} of {planned} planned, in {} s", digits(run.seconds)),
    };
    let moved = format!(
        "{} read, {} written",
        bytes(totals.bytes_in as f64),
        bytes(totals.bytes_out as f64)
    );
    let mut facts = vec![("rate", rate), ("requests answered", answered), ("bytes", moved)];
    facts.extend(summary(run));
    if let Some(ceiling) = ceiling {
        let reaches = format!("{} against a reply that costs nothing", text::rate(ceiling));
        let next = facts.iter().position(|(name, _)| *name == "generator").map_or(0, |at| at + 1);
        facts.insert(next, ("generator reaches", reaches));
    }
    facts
}

fn write_facts(html: &mut String, facts: &[(&str, String)]) {
    html.push_str("<table class=\"facts\">");
    for (name, value) in facts {
        let (name, value) = (escape(name), escape(value));
        let _ = write!(html, "<tr><th scope=\"row\">{name}</th><td>{value}</td></tr>");
    }
    html.push_str("</table>\n");
}

/// A row for each phase; the first row is the head.
fn step_rows(comparison: &Comparison) -> Vec<Vec<String>> {
    let columns: Vec<Metric> =
        course_columns(phases(comparison).map(|(_, result)| result)).collect();
    let dropped =
        |result: &ServerResult| -> u64 { result.runs().map(|run| run.totals.dropped).sum() };
    let drops = phases(comparison).any(|(_, result)| dropped(result) > 0);
    let mut head = vec!["step".to_owned(), Metric::Rate.heading().to_owned()];
    head.extend(columns.iter().map(|metric| metric.heading().to_owned()));
    if drops {
        head.push("dropped".to_owned());
    }
    let row = |(case, result): (&Case, &ServerResult)| {
        let mark = if result.is_invalid() { " !" } else { "" };
        let mut row = vec![case.title.clone(), rate_cell(case, result.median(Metric::Rate)) + mark];
        row.extend(columns.iter().map(|metric| match (metric, result.runs().next()) {
            (Metric::Errors, Some(run)) => errors_by_kind(run),
            _ => result.show(*metric),
        }));
        if drops {
            row.push(match result.runs().next() {
                Some(_) => whole(dropped(result) as f64),
                None => NONE.to_owned(),
            });
        }
        row
    };
    std::iter::once(head).chain(phases(comparison).map(row)).collect()
}

/// The plots of the run for which there is data.
pub(super) fn chapters(comparison: &Comparison) -> Vec<Chapter> {
    let servers = comparison.servers();
    let mut chapters: Vec<Chapter> = sweeps(comparison)
        .iter()
        .enumerate()
        .map(|(n, sweep)| levels(&servers, sweep, n))
        .collect();
    let answered: Vec<&Case> = phases(comparison)
        .filter(|(_, result)| result.runs().any(|run| !run.response_time.0.is_empty()))
        .map(|(case, _)| case)
        .collect();
    let mut drawn: Vec<&Case> = match answered.len() {
        0..=DISTRIBUTIONS => answered.clone(),
        n => vec![answered[0], answered[n / 2], answered[n - 1]],
    };
    drawn.dedup_by_key(|case| case.name.as_str());
    let notes = Notes::default();
    chapters.push(Chapter {
        id: "distribution".to_owned(),
        title: "How long requests take".to_owned(),
        intro: "The horizontal axis is the share of the requests that took at most that long: half of them, nine in \
                ten, 999 in 1,000. Where the line climbs, the slowest requests waited."
            .to_owned(),
        figures: drawn.iter().map(|case| figures::distribution(&servers, case, &notes)).collect(),
        notes: Vec::new(),
    });
    let all: Vec<&Case> = phases(comparison).map(|(case, _)| case).collect();
    let watched = phases(comparison).flat_map(|(_, result)| result.runs()).any(is_watched);
    let title = match all[..] {
        [case] => case.title.clone(),
        _ => "all steps".to_owned(),
    };
    chapters.push(Chapter {
        id: "course".to_owned(),
        title: if watched { "Both sides over time" } else { "Over time" }.to_owned(),
        intro: match watched {
            true => "What the clients saw stands above what the server did at the same moment.",
            false => "What the clients saw. The server was not watched.",
        }
        .to_owned(),
        figures: figures::time_series(&servers, &all, &title, &notes),
        notes: Vec::new(),
    });
    chapters.retain(|chapter| !chapter.figures.is_empty());
    chapters
}

fn is_watched(run: &Recording) -> bool {
    !run.samples.is_empty()
}

/// The levels of the load as points of a curve.
fn levels(servers: &[&str], sweep: &[&Case], n: usize) -> Chapter {
    let notes = Notes::default();
    let id = |what: &str| format!("sweep{n}-{what}");
    let latency = |metric, what| figures::latency(servers, sweep, metric, &id(what), &notes);
    let mut figures = vec![
        figures::rate(servers, sweep, &id("rate"), &notes),
        latency(Metric::P50, "p50"),
        latency(Metric::P99, "p99"),
        latency(Metric::Max, "max"),
    ];
    let by_rate = !closed(sweep[0]);
    let weighed = |result: &ServerResult| result.median(Metric::Memory).is_some();
    if !by_rate && sweep.iter().flat_map(|case| &case.results).any(weighed) {
        figures.push(figures::memory(servers, sweep, &id("memory"), &notes));
    }
    let kind = match sweep[0].workload.profile {
        Profile::Ramp { .. } => "a ramp",
        _ => "steps",
    };
    let what = if by_rate { "More and more requests" } else { "More and more clients" };
    Chapter {
        id: format!("sweep{n}"),
        title: format!("{what}: {kind}"),
        intro: "Each point is one step of the run. Both axes of latency and memory, and that of the load, go up in \
                equal factors."
            .to_owned(),
        figures,
        notes: Vec::new(),
    }
}
