//! The figures of the page: each a plot, a caption that says how to read it, and its values as a table.

use super::notes::Notes;
use super::page::{Figure, anchor};
use super::svg::{self, About, Axis, Bar, Point, Row, Series, Track};
use super::sweeps::{closed, level};
use super::tables::{self, entries};
use super::{
    Case, Comparison, Metric, NONE, Recording, ServerResult, Timeline, fullest, memory as memory_of,
};
use crate::load::recording::{Interval, Sample};
use crate::load::stats::{self, Difference, Ratio};
use crate::text::{self, digits, plain, whole};

/// Requests per second against the load.
pub(super) fn rate(servers: &[&str], sweep: &[&Case], id: &str, notes: &Notes) -> Figure {
    Figure {
        title: "Requests per second".to_owned(),
        svg: rate_plot(servers, sweep, id, notes),
        caption: ceiling_caption(sweep),
        table: tables::of_sweep(servers, sweep, Metric::Rate, notes),
        wide: false,
    }
}

/// The plot of [`rate`].
pub(super) fn rate_plot(servers: &[&str], sweep: &[&Case], id: &str, notes: &Notes) -> String {
    let series = sweep_series(servers, sweep, Metric::Rate, notes);
    let y = Axis::linear("requests per second", values(&series), in_thousands);
    let about = about(id, "Requests per second against connections", "");
    svg::lines(about, &load_axis(sweep), &y, &series)
}

/// How much the generator itself can do, and what the mark of a rate near that means.
fn ceiling_caption(cases: &[&Case]) -> String {
    let ceilings: Vec<f64> = cases.iter().filter_map(|case| case.ceiling).collect();
    let Some(least) = ceilings.iter().copied().reduce(f64::min) else { return String::new() };
    let most = ceilings.iter().copied().fold(0.0, f64::max);
    let range = match (text::rate(least), text::rate(most)) {
        (least, most) if least == most => most,
        (least, most) => format!("{least} to {most}"),
    };
    format!(
        "The generator itself reaches {range} against a reply that costs nothing. A rate above half of that is marked \
         {} in the table: the server may be faster than the generator can show.",
        tables::NEAR
    )
}

/// A percentile of the response time against the load.
pub(super) fn latency(
    servers: &[&str],
    sweep: &[&Case],
    metric: Metric,
    id: &str,
    notes: &Notes,
) -> Figure {
    let (title, caption) = match metric {
        Metric::P50 if closed(sweep[0]) => (
            "Median of the response time",
            "Most of it is queueing: N clients that share R requests a second wait N/R seconds on average, whatever \
             the model (Little's law).",
        ),
        Metric::P50 => ("Median of the response time", ""),
        Metric::P99 => ("99th percentile", "One request in a hundred takes longer."),
        _ => (
            "The slowest request",
            "A maximum rests on one request and scatters more than all other figures: read it as a hint, not as a \
             measure.",
        ),
    };
    Figure {
        title: title.to_owned(),
        svg: latency_plot(servers, sweep, metric, id, notes),
        caption: caption.to_owned(),
        table: tables::of_sweep(servers, sweep, metric, notes),
        wide: false,
    }
}

/// The plot of [`latency`].
pub(super) fn latency_plot(
    servers: &[&str],
    sweep: &[&Case],
    metric: Metric,
    id: &str,
    notes: &Notes,
) -> String {
    let series = sweep_series(servers, sweep, metric, notes);
    let (title, label) = match metric {
        Metric::P50 => ("Median of the response time against connections", "response time, median"),
        Metric::P99 => ("99th percentile against connections", "response time, 99th percentile"),
        _ => ("Slowest request against connections", "response time of the slowest"),
    };
    let y = Axis::log(label, values(&series), short_nanos);
    svg::lines(about(id, title, ""), &load_axis(sweep), &y, &series)
}

/// The server's memory against the load.
pub(super) fn memory(servers: &[&str], sweep: &[&Case], id: &str, notes: &Notes) -> Figure {
    let series = sweep_series(servers, sweep, Metric::Memory, notes);
    let y = in_mib(Axis::log, "memory in MiB, with the kernel's share", values(&series));
    let caption = "The kernel's share is page tables and the stacks of processes and threads, which no count of the \
                   program's own memory shows.";
    Figure {
        title: "Memory".to_owned(),
        svg: svg::lines(
            about(id, "Memory against connections", caption),
            &load_axis(sweep),
            &y,
            &series,
        ),
        caption: caption.to_owned(),
        table: tables::of_sweep(servers, sweep, Metric::Memory, notes),
        wide: false,
    }
}

/// The server's memory with clients that are nearly idle, in its parts.
pub(super) fn idle(servers: &[&str], case: &Case, id: &str, notes: &Notes) -> Figure {
    let parts = |result: &ServerResult| -> Option<Vec<f64>> {
        let part = |of: fn(&Sample) -> u64| {
            stats::median_of(result.runs().map(|run| fullest(run).map(|sample| of(sample) as f64)))
        };
        Some(vec![part(|s| s.pss)?, part(|s| s.kernel_stacks)?, part(|s| s.page_tables)?])
    };
    let rows: Vec<Bar> = entries(servers, case)
        .map(|(look, name, result)| {
            let text = Metric::Memory.show(result.and_then(|r| r.median(Metric::Memory)));
            let result = (result, Metric::Memory);
            bar((look, name), result, result.0.and_then(parts), text, notes.mark(name, case))
        })
        .collect();
    let sums = rows.iter().map(|row| row.parts.iter().flatten().sum());
    let axis = in_mib(Axis::linear, "memory in MiB", sums);
    let caption = "Memory per client, in the table, is what the server holds beyond its memory before the first \
                   client, the kernel's share in it, divided by the clients.";
    let legend = ["its own (PSS)", "kernel stacks", "page tables"];
    let title = format!("Memory: {}", case.title);
    Figure {
        title: case.title.clone(),
        svg: svg::bars(about(id, &title, caption), &axis, &legend, &rows),
        caption: caption.to_owned(),
        table: tables::of_metrics(servers, case, &[Metric::Memory, Metric::PerClient], notes),
        wide: false,
    }
}

/// How many clients a server serves, and how evenly.
pub(super) fn fairness(servers: &[&str], case: &Case, notes: &Notes) -> Figure {
    let rows: Vec<Bar> = entries(servers, case)
        .map(|(look, name, result)| {
            let value = result.and_then(|r| r.median(Metric::Fairness));
            let served = result.and_then(|r| r.median(Metric::Served));
            let text = match value {
                None => NONE.to_owned(),
                _ => format!(
                    "{} ({} served)",
                    Metric::Fairness.show(value),
                    Metric::Served.show(served)
                ),
            };
            let result = (result, Metric::Fairness);
            bar((look, name), result, value.map(|v| vec![v]), text, notes.mark(name, case))
        })
        .collect();
    let axis = Axis::linear("Jain's index: 1 is the same for all", [1.0].into_iter(), plain);
    let title = format!("Fairness: {}", case.title);
    let metrics = [Metric::Fairness, Metric::Served, Metric::Rate];
    Figure {
        title: case.title.clone(),
        svg: svg::bars(about("fairness-plot", &title, ""), &axis, &[], &rows),
        caption: String::new(),
        table: tables::of_metrics(servers, case, &metrics, notes),
        wide: false,
    }
}

/// What the clients of each server waited for, and what its workers did.
pub(super) fn timelines(timelines: &[Timeline]) -> Vec<Figure> {
    let lanes = timelines.iter().flat_map(|t| t.clients.iter().chain(&t.lanes));
    let end = lanes.flat_map(|lane| &lane.spans).map(|span| span.end_us).max().unwrap_or(1);
    let figure = |(n, timeline): (usize, &Timeline)| {
        let id = format!("timeline{n}");
        let title = format!("Timeline of {}", timeline.server);
        Figure {
            title: timeline.server.clone(),
            svg: svg::timeline(about(&id, &title, ""), timeline, end),
            caption: String::new(),
            table: tables::of_timeline(timeline),
            wide: true,
        }
    };
    timelines.iter().enumerate().map(figure).collect()
}

/// The distribution of the response time.
pub(super) fn distribution(servers: &[&str], case: &Case, notes: &Notes) -> Figure {
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
            let points: Vec<Point> = match result.and_then(all_requests) {
                Some(all) => {
                    let mut above = false;
                    let point = |n| {
                        let left = 10f64.powf(decades * f64::from(n) / 120.0);
                        let y = all.response_percentile(100.0 * (1.0 - 1.0 / left))?;
                        // Of what is above every reply the first point is drawn.
                        let again = std::mem::replace(&mut above, y.is_infinite());
                        (!again).then(|| distribution_point(name, left, y, &all))
                    };
                    (0..=120).map_while(point).collect()
                }
                None => vec![Point {
                    x: 1.0,
                    y: None,
                    spread: None,
                    invalid: false,
                    tip: String::new(),
                    why: absence(result, Metric::Max),
                }],
            };
            let note = notes.mark(name, case);
            Series { look, name: name.to_owned(), note, markers: false, points }
        })
        .collect();
    let y = Axis::log("response time", values(&series), short_nanos);
    let title = format!("Distribution of the response time: {}", case.title);
    let id = format!("distribution-{}", anchor(&case.name));
    Figure {
        title: case.title.clone(),
        svg: svg::lines(about(&id, &title, ""), &x, &y, &series),
        caption: String::new(),
        table: tables::of_metrics(
            servers,
            case,
            &[Metric::P50, Metric::P90, Metric::P99, Metric::P999, Metric::Max],
            notes,
        ),
        wide: false,
    }
}

/// The requests of all rounds as those of one, answered or not; `None` if nothing was asked.
fn all_requests(result: &ServerResult) -> Option<Recording> {
    let mut all = result.runs().next()?.clone();
    all.response_time = stats::merged(result.runs().map(|run| &run.response_time));
    all.totals.dropped = result.runs().map(Recording::unanswered).sum();
    all.errors.clear();
    all.response_percentile(50.0).map(|_| all)
}

/// A point of a distribution, of which `left` is 1 of how many requests that are not done yet.
fn distribution_point(name: &str, left: f64, y: f64, all: &Recording) -> Point {
    let why = match y.is_infinite() {
        true => {
            let (answered, none) = (all.response_time.0.len(), all.totals.dropped);
            let longest = text::nanos(all.response_time.0.max() as f64);
            let share = 100.0 * none as f64 / (answered + none) as f64;
            format!("> {longest}, no reply to {} % of the requests", digits(share))
        }
        false => String::new(),
    };
    let tip = if why.is_empty() { String::new() } else { format!("{name}: {why}") };
    Point { x: left, y: Some(y), spread: None, invalid: false, tip, why }
}

/// Context switches for each request.
pub(super) fn switches(servers: &[&str], case: &Case, notes: &Notes) -> Figure {
    split(
        (servers, notes),
        case,
        (Metric::Switches, Metric::Voluntary),
        ("Context switches per request", "switches per request", &["waited", "time was up"]),
        "About one or more in which a worker waited: it goes to sleep after each request until its client sends the \
         next. Far fewer than one: a worker that is done finds the next request ready, and does not sleep.",
    )
}

/// CPU time for each request.
pub(super) fn cpu(servers: &[&str], case: &Case, notes: &Notes) -> Figure {
    split(
        (servers, notes),
        case,
        (Metric::Cpu, Metric::System),
        (
            "CPU time per request",
            "µs per request",
            &["in the kernel", "in the program", "split not known"],
        ),
        "This figure holds even where the generator, not the server, was the limit. Processes that live for less than some \
         ticks of the kernel's clock have a sum and no known split, unless the server ran in a control group.",
    )
}

/// A figure as bars of two parts, one that is known and the rest, or of a third where the split is not known.
fn split(
    (servers, notes): (&[&str], &Notes),
    case: &Case,
    (whole, part): (Metric, Metric),
    (title, label, legend): (&str, &str, &[&str]),
    caption: &str,
) -> Figure {
    let rows: Vec<Bar> = entries(servers, case)
        .map(|(look, name, result)| {
            let sum = result.and_then(|r| r.median(whole));
            let part = result.and_then(|r| r.median(part));
            // A sum that cannot be split is the third part.
            let parts = sum.map(|sum| match part {
                Some(part) => vec![part.min(sum), (sum - part).max(0.0)],
                None => vec![0.0, 0.0, sum],
            });
            bar((look, name), (result, whole), parts, whole.show(sum), notes.mark(name, case))
        })
        .collect();
    let sums = rows.iter().map(|row| row.parts.iter().flatten().sum());
    let axis = Axis::linear(label, sums, plain);
    let id = format!("{}-{}", anchor(title), anchor(&case.name));
    Figure {
        title: format!("{title}: {}", case.title),
        svg: svg::bars(about(&id, title, caption), &axis, legend, &rows),
        caption: caption.to_owned(),
        table: tables::of_metrics(servers, case, &[whole, part], notes),
        wide: false,
    }
}

/// A metric as a ratio to the baseline, and its interval.
pub(super) fn ratio(
    comparison: &Comparison,
    servers: &[&str],
    case: &Case,
    metric: Metric,
    id: &str,
    notes: &Notes,
) -> Figure {
    let baseline = comparison.baseline_of(case).unwrap_or_default();
    let rows: Vec<Row> = entries(servers, case)
        .map(|(look, name, result)| {
            let itself = name == baseline;
            // A ratio of the rounds with replies alone would flatter a server that left requests without any.
            let finite =
                |server: &str| case.result(server).is_some_and(|r| r.median(metric).is_some());
            let both = finite(name) && finite(baseline);
            let ratio = case.ratio(metric, name, baseline).filter(|_| both && !itself);
            let figure = result.map_or(NONE.to_owned(), |result| result.show(metric));
            let why = match ratio {
                _ if itself && finite(name) => String::new(),
                Some(_) => String::new(),
                None if finite(name) => format!("no ratio: {}", no_ratio(case, baseline, metric)),
                None => absence(result, metric),
            };
            let text = match ratio {
                _ if itself => format!("{figure} (the baseline)"),
                Some(_) => format!("{figure}, {}", ratio_text(ratio)),
                None => figure,
            };
            Row {
                look,
                name: name.to_owned(),
                value: ratio.map(|r| r.value).or_else(|| (itself && finite(name)).then_some(1.0)),
                interval: ratio.and_then(|r| r.interval),
                shown: itself || ratio.is_some_and(|r| r.difference() != Difference::NotShown),
                text,
                why,
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
    let (what, better) = match metric {
        Metric::Rate => ("Requests per second", "more is better"),
        _ => ("99th percentile of the response time", "less is better"),
    };
    let axis = Axis::log(&format!("times that of {baseline}; {better}"), ends, plain);
    let title = format!("{what}: {}", case.title);
    Figure {
        svg: svg::ratios(about(id, &title, ""), &axis, &rows),
        title,
        caption: String::new(),
        table: tables::of_ratios(comparison, servers, case, metric, notes),
        wide: false,
    }
}

/// The metrics of one server as ratios to those of another, and their intervals.
pub(super) fn pair_plot(case: &Case, [one, other]: [&str; 2], id: &str) -> String {
    let rows: Vec<Row> = [Metric::Rate, Metric::P50, Metric::P99, Metric::Cpu]
        .into_iter()
        .map(|metric| {
            let ratio = case.ratio(metric, other, one);
            Row {
                look: 0,
                name: metric.heading().to_owned(),
                value: ratio.map(|r| r.value),
                interval: ratio.and_then(|r| r.interval),
                shown: ratio.is_some_and(|r| r.difference() != Difference::NotShown),
                text: ratio_text(ratio),
                note: String::new(),
                why: if ratio.is_none() {
                    "no round in which both ran".into()
                } else {
                    String::new()
                },
                invalid: case.results.iter().any(ServerResult::is_invalid),
            }
        })
        .collect();
    let ends =
        rows.iter().flat_map(|row| row.interval.into_iter().flat_map(|(low, high)| [low, high]));
    let ends = ends.map(|v| v.clamp(0.02, 50.0)).chain([0.95, 1.05]);
    let axis = Axis::log(&format!("{other}, times that of {one}"), ends, plain);
    svg::ratios(about(id, &case.title, ""), &axis, &rows)
}

/// Why a server with a figure has no ratio to the baseline.
fn no_ratio(case: &Case, baseline: &str, metric: Metric) -> String {
    let of = case.result(baseline);
    match of.is_some_and(|result| result.median(metric).is_some()) {
        true => "no round in which both ran".to_owned(),
        false => format!("{baseline}: {}", absence(of, metric)),
    }
}

/// A ratio and its interval, whatever they show. Of an end that a few noisy rounds put anywhere the order is enough.
fn ratio_text(ratio: Option<Ratio>) -> String {
    let Some(ratio) = ratio else { return NONE.to_owned() };
    let end = |value: f64| match value {
        v if v < 0.001 => "<0.001".to_owned(),
        v if v > 1000.0 => ">1,000".to_owned(),
        v => digits(v),
    };
    match ratio.interval {
        Some((low, high)) => format!("{} × ({} to {})", end(ratio.value), end(low), end(high)),
        None => format!("{} × (one round)", end(ratio.value)),
    }
}

/// The rate of a case that stands alone, as a ratio to the baseline.
pub(super) fn other(
    comparison: &Comparison,
    servers: &[&str],
    case: &Case,
    id: &str,
    notes: &Notes,
) -> Figure {
    let ratio = ratio(comparison, servers, case, Metric::Rate, id, notes);
    Figure { caption: ceiling_caption(&[case]), ..ratio }
}

/// The profile of the last run of each server over time; of the steps of one run, one after the other.
pub(super) fn time_series(
    servers: &[&str],
    cases: &[&Case],
    title: &str,
    notes: &Notes,
) -> Vec<Figure> {
    let runs: Vec<(usize, &str, Vec<&Recording>)> = servers
        .iter()
        .enumerate()
        .map(|(look, &name)| {
            let runs = cases.iter().filter_map(|case| case.result(name)?.runs().last());
            (look, name, runs.filter(|run| run.intervals.len() > 1).collect())
        })
        .filter(|(_, _, runs): &(usize, &str, Vec<&Recording>)| !runs.is_empty())
        .collect();
    let lines: Vec<Vec<Lines>> = runs.iter().map(|(_, _, runs)| lines_of(runs)).collect();
    let seconds = runs.iter().flat_map(|(_, _, runs)| runs).map(|run| run.since + run.seconds);
    let seconds = seconds.fold(0.0, f64::max);
    let mut time =
        Axis::linear("seconds since the measurement began", [seconds].into_iter(), plain);
    time.high = seconds.max(0.1);
    time.ticks.retain(|(at, _)| *at <= seconds * 1.001);
    let figure = |((look, name, runs), own): (&(usize, &str, Vec<&Recording>), &Vec<Lines>)| {
        let track = |(n, own): (usize, &Lines)| Track {
            axis: common_axis(n, &lines),
            lines: own.clone(),
            why: NOTHING[usize::from(n > 1)].to_owned(),
        };
        // A track that no run has figures for is left out: a server that was not watched has three of them.
        let has_figures = |n: &usize| {
            lines.iter().any(|own| own[*n].iter().any(|(_, points)| !points.is_empty()))
        };
        let tracks = own.iter().enumerate().filter(|(n, _)| has_figures(n));
        let tracks: Vec<Track> = tracks.map(track).collect();
        let caption = match runs[..] {
            [_] => "",
            _ => "Between two steps lies a warm-up, which is not drawn as it was.",
        };
        let (id, over_time) = (format!("course-{look}"), format!("{name} over time: {title}"));
        let invalid = runs.iter().any(|run| !run.invalid.is_empty());
        let mark = if invalid { format!(" !{}", notes.number(name)) } else { String::new() };
        Figure {
            title: format!("{name}{mark}"),
            svg: svg::tracks(about(&id, &over_time, caption), *look, &time, &tracks),
            caption: caption.to_owned(),
            table: tables::of_intervals(runs),
            wide: false,
        }
    };
    runs.iter().zip(&lines).map(figure).collect()
}

/// The lines of a track: their names and points.
type Lines = Vec<(String, Vec<(f64, f64)>)>;

/// What each track of a time series shows, in the order of [`lines_of`].
const TRACKS: [&str; 5] = [
    "requests per second",
    "response time",
    "CPU cores busy in the server",
    "threads waiting for a core, on average",
    "memory in MiB, with the kernel's share",
];

fn lines_of(runs: &[&Recording]) -> Vec<Lines> {
    let rate = runs.iter().flat_map(|run| {
        let ends = || std::iter::once(0.0).chain(run.intervals.iter().map(|i| i.at));
        let lengths: Vec<f64> = ends().zip(ends().skip(1)).map(|(from, to)| to - from).collect();
        let rates = run.intervals.iter().zip(complete(&lengths));
        rates.filter_map(|(i, length)| Some((run.since + i.at, i.done as f64 / length?)))
    });
    let rate: Vec<(f64, f64)> = rate.collect();
    let latency = |of: fn(&Interval) -> Option<u64>| -> Vec<(f64, f64)> {
        let answered = |run: &&Recording| -> Vec<(f64, f64)> {
            let answered = run.intervals.iter().filter(|i| i.done > 0);
            answered.filter_map(|i| Some((run.since + i.at, of(i)? as f64))).collect()
        };
        runs.iter().flat_map(answered).collect()
    };
    let growth = |of: fn(&Sample) -> f64| -> Vec<(f64, f64)> {
        let of_run = |run: &&Recording| -> Vec<(f64, f64)> {
            let pairs = run.samples.windows(2);
            let lengths: Vec<f64> = pairs.clone().map(|pair| pair[1].at - pair[0].at).collect();
            let step = |(pair, length): (&[Sample], Option<f64>)| {
                let grown = of(&pair[1]) - of(&pair[0]);
                Some((run.since + pair[1].at, (grown / length?).max(0.0)))
            };
            pairs.zip(complete(&lengths)).filter_map(step).collect()
        };
        runs.iter().flat_map(of_run).collect()
    };
    let samples = runs.iter().flat_map(|run| run.samples.iter().map(|s| (run.since + s.at, s)));
    let memory = samples.map(|(at, s)| (at, memory_of(s) as f64)).collect();
    let one = |points| vec![(String::new(), points)];
    vec![
        one(rate),
        vec![
            ("p50".to_owned(), latency(|i| i.p50)),
            ("p99".to_owned(), latency(|i| i.p99)),
            ("max".to_owned(), latency(|i| i.max)),
        ],
        one(growth(|s| s.user + s.system)),
        one(growth(|s| s.run_queue_wait)),
        one(memory),
    ]
}

/// The lengths of intervals without those that are shorter than half of the usual: what happened to fall into one of
/// those makes a rate of it that is not to be compared with the others.
fn complete(lengths: &[f64]) -> Vec<Option<f64>> {
    let usual = stats::median_of(lengths.iter().copied().map(Some)).unwrap_or(0.0);
    let long = |length: f64| (length > 0.0 && length * 2.0 >= usual).then_some(length);
    lengths.iter().copied().map(long).collect()
}

/// Why a track is empty: of the client's side, and of the server's.
const NOTHING: [&str; 2] =
    ["no data: no request was answered", "no data: the server was not watched"];

fn common_axis(track: usize, all: &[Vec<Lines>]) -> Axis {
    let lines = || all.iter().filter_map(|tracks| tracks.get(track)).flatten();
    let of_line = |(_, points): &(String, Vec<(f64, f64)>)| -> Vec<f64> {
        points.iter().map(|point| point.1).collect()
    };
    let values: Vec<f64> = lines().flat_map(of_line).collect();
    let usual = |line| stats::median_of(of_line(line).into_iter().map(Some));
    let usual: Vec<f64> = lines().filter_map(usual).collect();
    match track {
        0 => spread_axis(TRACKS[0], &values, &usual, in_thousands),
        1 => Axis::log(TRACKS[1], values.into_iter(), short_nanos),
        4 => in_mib(Axis::log, TRACKS[4], values.into_iter()),
        n => spread_axis(TRACKS[n], &values, &usual, plain),
    }
}

/// How many times as great as another server's a usual value may be on an axis from 0.
const FLAT: f64 = 20.0;

/// An axis that flattens no server. Servers whose usual values are far apart have equal factors, and what is less than a
/// thousandth of the greatest lies at the bottom. All others have an axis from 0: where the greatest value is more than three times as
/// great as 98 of 100, the axis ends above those, and says so. What lies beyond is an arrow at its top.
fn spread_axis(label: &str, values: &[f64], usual: &[f64], show: impl Fn(f64) -> String) -> Axis {
    let mut sorted: Vec<f64> = values.iter().copied().filter(|v| v.is_finite()).collect();
    sorted.sort_by(f64::total_cmp);
    let (Some(&greatest), Some(&most)) =
        (sorted.last(), sorted.get(sorted.len().saturating_sub(1) * 98 / 100))
    else {
        return Axis::linear(label, std::iter::empty(), show);
    };
    let least = usual.iter().copied().filter(|v| *v > 0.0).fold(f64::INFINITY, f64::min);
    if usual.iter().any(|v| *v > FLAT * least) {
        let lowest = sorted.iter().copied().filter(|v| *v > 0.0).map(|v| v.max(greatest / 1e3));
        return Axis::log(label, lowest, show);
    }
    if most <= 0.0 || greatest <= 3.0 * most {
        return Axis::linear(label, sorted.into_iter(), show);
    }
    let label = format!("{label} (highest: {})", show(greatest));
    Axis::linear(&label, [most * 1.1].into_iter(), show)
}

/// The axis of what differs between the cases of a sweep.
fn load_axis(sweep: &[&Case]) -> Axis {
    let steps: Vec<f64> = sweep.iter().map(|case| level(case)).collect();
    let label = match sweep.first().is_none_or(|case| closed(case)) {
        true => "concurrent connections",
        false => "requests planned per second",
    };
    Axis::steps(label, &steps, whole)
}

fn sweep_series(servers: &[&str], sweep: &[&Case], metric: Metric, notes: &Notes) -> Vec<Series> {
    let series = servers.iter().enumerate().map(|(look, &name)| {
        let points = sweep.iter().filter_map(|case| {
            let result = case.result(name)?;
            let all: Vec<f64> = result.runs().filter_map(|run| metric.of(run)).collect();
            let value = stats::median_of(all.iter().copied().map(Some));
            let low = all.iter().copied().fold(f64::INFINITY, f64::min);
            let high = all.iter().copied().fold(0.0, f64::max);
            let invalid = if result.is_invalid() { ", INVALID" } else { "" };
            let why = match value {
                Some(value) if value.is_finite() => String::new(),
                _ => absence(Some(result), metric),
            };
            let shown = if why.is_empty() { result.show(metric) } else { why.clone() };
            Some(Point {
                x: level(case),
                y: value,
                spread: (all.len() > 1 && low.is_finite()).then_some((low, high)),
                invalid: result.is_invalid(),
                tip: format!("{name}, {}: {shown}{invalid}", case.title),
                why,
            })
        });
        let note = notes.number(name);
        Series { look, name: name.to_owned(), note, markers: true, points: points.collect() }
    });
    series.filter(|series| !series.points.is_empty()).collect()
}

/// Why a server has no figure in a case, or none that can be drawn, in a few words.
fn absence(result: Option<&ServerResult>, metric: Metric) -> String {
    let Some(result) = result else { return "did not take part".to_owned() };
    if result.runs().next().is_none() {
        let failure = result.failure.as_deref().unwrap_or("no round was finished");
        return failure.lines().next().unwrap_or_default().to_owned();
    }
    if stats::median_of(result.runs().map(|run| metric.of(run))) == Some(f64::INFINITY) {
        return format!("{}, above every reply", result.show(metric));
    }
    let why = match metric {
        Metric::Rate => "no time was measured",
        Metric::P50 | Metric::P90 | Metric::P99 | Metric::P999 | Metric::Max => {
            "no request was answered"
        }
        Metric::Memory | Metric::PerClient => "memory was not measured",
        Metric::Switches | Metric::Voluntary | Metric::Cpu | Metric::System => {
            "the server's processes were not measured"
        }
        Metric::Fairness | Metric::Served => "no client was served",
        Metric::Errors => "no data",
    };
    why.to_owned()
}

fn values(series: &[Series]) -> impl Iterator<Item = f64> {
    let points = series.iter().flat_map(|line| &line.points);
    points.flat_map(|point| {
        let (low, high) = point.spread.map_or((None, None), |(low, high)| (Some(low), Some(high)));
        [point.y, low, high].into_iter().flatten()
    })
}

fn bar(
    (look, name): (usize, &str),
    (result, metric): (Option<&ServerResult>, Metric),
    parts: Option<Vec<f64>>,
    text: String,
    note: String,
) -> Bar {
    let invalid = result.is_some_and(ServerResult::is_invalid);
    let why = if parts.is_none() { absence(result, metric) } else { String::new() };
    Bar { look, name: name.to_owned(), parts, text, note, why, invalid }
}

fn about<'a>(id: &'a str, title: &'a str, caption: &'a str) -> About<'a> {
    let description =
        if caption.is_empty() { "The figures stand in the table below." } else { caption };
    About { id, title, description }
}

fn in_thousands(value: f64) -> String {
    match value {
        v if v >= 1000.0 => format!("{} k", plain(v / 1e3)),
        v => plain(v),
    }
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
