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
            bar((look, name), result, result.and_then(parts), text, notes.mark(name, case))
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

/// What the workers of each server did when.
pub(super) fn timelines(timelines: &[Timeline]) -> Vec<Figure> {
    let spans = timelines.iter().flat_map(|t| &t.lanes).flat_map(|lane| &lane.spans);
    let end = spans.map(|span| span.end_us).max().unwrap_or(1);
    let figure = |(n, timeline): (usize, &Timeline)| {
        let id = format!("timeline{n}");
        let title = format!("Timeline of {}", timeline.server);
        let caption = match svg::undrawn(timeline) {
            0 => String::new(),
            more => format!("{} more workers are not drawn.", whole(more as f64)),
        };
        Figure {
            title: timeline.server.clone(),
            svg: svg::timeline(about(&id, &title, &caption), timeline, end),
            caption,
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
            bar((look, name), result, parts, whole.show(sum), notes.mark(name, case))
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
            let ratio = case.ratio(metric, name, baseline).filter(|_| !itself);
            let value = result.map_or(NONE.to_owned(), |r| r.show(metric));
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
        let track =
            |(n, own): (usize, &Lines)| Track { axis: common_axis(n, &lines), lines: own.clone() };
        let tracks: Vec<Track> = own.iter().enumerate().map(track).collect();
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
    "processor cores busy in the server",
    "threads that waited for a core, on average",
    "memory in MiB, with the kernel's share",
];

fn lines_of(runs: &[&Recording]) -> Vec<Lines> {
    let rate = runs.iter().flat_map(|run| {
        let mut before = 0.0;
        run.intervals.iter().map(move |i| {
            let length = (i.at - before).max(1e-3);
            before = i.at;
            (run.since + i.at, i.done as f64 / length)
        })
    });
    let rate: Vec<(f64, f64)> = rate.collect();
    let latency = |of: fn(&Interval) -> u64| -> Vec<(f64, f64)> {
        let answered = |run: &&Recording| -> Vec<(f64, f64)> {
            let answered = run.intervals.iter().filter(|i| i.done > 0);
            answered.map(|i| (run.since + i.at, of(i) as f64)).collect()
        };
        runs.iter().flat_map(answered).collect()
    };
    let growth = |of: fn(&Sample) -> f64| -> Vec<(f64, f64)> {
        let of_run = |run: &&Recording| -> Vec<(f64, f64)> {
            let steps = run.samples.windows(2).filter(|pair| pair[1].at > pair[0].at);
            let step = |pair: &[Sample]| {
                let grown = of(&pair[1]) - of(&pair[0]);
                (run.since + pair[1].at, (grown / (pair[1].at - pair[0].at)).max(0.0))
            };
            steps.map(step).collect()
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

fn common_axis(track: usize, all: &[Vec<Lines>]) -> Axis {
    let lines = all.iter().filter_map(|tracks| tracks.get(track)).flatten();
    let values = lines.flat_map(|(_, points)| points.iter().map(|point| point.1));
    match track {
        0 => Axis::linear(TRACKS[0], values, in_thousands),
        1 => Axis::log(TRACKS[1], values, short_nanos),
        4 => in_mib(Axis::log, TRACKS[4], values),
        n => Axis::linear(TRACKS[n], values, plain),
    }
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
            let value = result.median(metric);
            let low = all.iter().copied().fold(f64::INFINITY, f64::min);
            let high = all.iter().copied().fold(0.0, f64::max);
            let invalid = if result.is_invalid() { ", INVALID" } else { "" };
            let tip = match (value, &result.failure) {
                (None, Some(why)) => format!("{name}, {}: {why}", case.title),
                (value, _) => format!("{name}, {}: {}{invalid}", case.title, metric.show(value)),
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
