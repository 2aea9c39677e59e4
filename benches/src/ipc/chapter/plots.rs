//! The plots: time by size, numbers, and the ratio to the baseline.

use super::representative_size;
use crate::ipc::cases::{Bound, Contestant, Cores, Mechanism, NUMBER, Pattern, Waiting};
use crate::ipc::group::{Group, interval, nanos};
use crate::ipc::report::{Measured, Report, Verdict};
use crate::load::report::svg::{self, About, Axis, Bar, Point, Row, Series};
use crate::load::report::{Figure, NONE};

/// Time against the size of messages.
pub fn by_size(report: &Report, group: Group) -> Option<Figure> {
    let mut sizes: Vec<usize> = group
        .results(report)
        .filter(|result| result.case.mechanism.carries_messages())
        .map(|result| result.case.size)
        .collect();
    sizes.sort_unstable();
    sizes.dedup();
    let mut series: Vec<Series> = Vec::new();
    for mechanism in Mechanism::ALL.into_iter().filter(|m| m.carries_messages()) {
        for contestant in [Contestant::Library, Contestant::Iceoryx2] {
            let of = |size: usize| {
                let Group { pattern, cores, waiting } = group;
                report.find(mechanism, pattern, cores, waiting, size)
            };
            let contestant = match (contestant, mechanism) {
                (Contestant::Library, Mechanism::Tcp) => Contestant::Baseline,
                (contestant, _) => contestant,
            };
            let points: Vec<Point> =
                sizes.iter().filter_map(|&x| point(of(x)?, contestant)).collect();
            if points.iter().all(|point| point.y.is_none()) {
                continue;
            }
            let name = match contestant {
                Contestant::Iceoryx2 => "iceoryx2".to_owned(),
                Contestant::Baseline => format!("{} (baseline)", mechanism.title()),
                _ => mechanism.title().to_owned(),
            };
            let look = look(mechanism, contestant);
            series.push(Series { look, name, note: String::new(), markers: true, points });
        }
    }
    if series.is_empty() {
        return None;
    }
    let steps: Vec<f64> = sizes.iter().map(|&size| size as f64).collect();
    let label = match group.pattern {
        Pattern::RoundTrip => "time there and back",
        Pattern::OneWay => "time for a message",
    };
    let times = series.iter().flat_map(|line| line.points.iter().filter_map(|point| point.y));
    let x = Axis::steps("length of a message", &steps, |size| short_bytes(size as usize));
    let y = Axis::log(label, times, short);
    let caption = explanation(group).to_owned();
    let id = format!("ipc-{}", name_of(group));
    let title = group.title();
    let about = About { id: &id, title: &title, description: &caption };
    let svg = apart_from_servers(&svg::lines(about, &x, &y, &series));
    Some(Figure { title, svg, caption, table: group.rows(report), wide: false })
}

fn point(result: &Measured, contestant: Contestant) -> Option<Point> {
    if result.missing.is_none() && result.outcome(contestant).is_none() {
        return None;
    }
    let y = result.nanos(contestant);
    let rounds =
        result.outcome(contestant).map(|outcome| outcome.nanos.as_slice()).unwrap_or_default();
    let rounds = rounds.iter().flatten().copied();
    let spread = (rounds.clone().fold(f64::INFINITY, f64::min), rounds.fold(0.0, f64::max));
    let why = match y {
        Some(_) => String::new(),
        None => absence(result, contestant),
    };
    let tip = match y {
        Some(y) => format!("{}, {}: {}", result.case, contestant.title(), nanos(y)),
        None => format!("{}: {why}", result.case),
    };
    let spread = y.map(|_| spread);
    Some(Point { x: result.case.size as f64, y, spread, invalid: false, tip, why })
}

/// Why there is no figure.
fn absence(result: &Measured, contestant: Contestant) -> String {
    let failure = result.outcome(contestant).and_then(|outcome| outcome.failure.as_deref());
    result.missing.as_deref().or(failure).unwrap_or("no data").to_owned()
}

/// A mechanism looks the same in all plots. Those that carry messages come first, since they share a plot.
fn look(mechanism: Mechanism, contestant: Contestant) -> usize {
    let (carrying, others): (Vec<Mechanism>, Vec<Mechanism>) =
        Mechanism::ALL.into_iter().partition(|mechanism| mechanism.carries_messages());
    if contestant == Contestant::Iceoryx2 {
        return carrying.len();
    }
    let at = |all: &[Mechanism]| all.iter().position(|other| *other == mechanism);
    at(&carrying).or_else(|| Some(carrying.len() + 1 + at(&others)?)).unwrap_or(0)
}

/// Anchors are made of letters and hyphens.
fn name_of(group: Group) -> String {
    let cores = match group.cores {
        Cores::One => "one",
        Cores::Two => "two",
    };
    format!("{} {cores} {}", group.pattern.title(), group.waiting.title()).replace(' ', "-")
}

/// How to read the plot of a group.
fn explanation(group: Group) -> &'static str {
    match (group.pattern, group.cores, group.waiting) {
        (Pattern::RoundTrip, Cores::One, Waiting::Sleeping) => {
            "Each hop is a switch from one process to the other: that is most of it, until the copies of long messages \
             count."
        }
        (Pattern::RoundTrip, Cores::Two, Waiting::Sleeping) => {
            "Each hop wakes a core that has gone to sleep: that is what is measured, and hardly the mechanism."
        }
        (Pattern::OneWay, _, Waiting::Sleeping) => {
            "Where there is room for many messages, few of them wake a process."
        }
        (_, _, Waiting::Spinning) => {
            "No process sleeps, so none is woken; the price is a core for each side, whether or not there is anything to do."
        }
    }
}

/// What carries a number at most, as bars.
pub fn of_numbers(report: &Report, cores: Cores) -> Option<Figure> {
    let all: Vec<(Mechanism, Option<f64>, String, String)> = Mechanism::ALL
        .into_iter()
        .filter(|mechanism| !mechanism.carries_messages())
        .filter_map(|mechanism| {
            let find = |waiting| report.find(mechanism, Pattern::RoundTrip, cores, waiting, NUMBER);
            let result = find(Waiting::Sleeping)
                .or_else(|| find(Waiting::Spinning).filter(|r| r.missing.is_none()))?;
            let spins = result.case.waiting == Waiting::Spinning;
            let own = result.primary_nanos();
            let text = match own {
                Some(own) if spins => format!("{} (spinning)", nanos(own)),
                Some(own) => nanos(own),
                None => NONE.to_owned(),
            };
            let why =
                if own.is_some() { String::new() } else { absence(result, Contestant::Library) };
            Some((mechanism, own, text, why))
        })
        .collect();
    if all.iter().all(|(_, own, ..)| own.is_none()) {
        return None;
    }
    let title = format!("A turn there and back, {}", cores.title());
    let bars: Vec<Bar> = all
        .iter()
        .map(|(mechanism, own, text, why)| Bar {
            look: look(*mechanism, Contestant::Library),
            name: mechanism.title().to_owned(),
            parts: own.map(|own| vec![own]),
            text: text.clone(),
            note: String::new(),
            why: why.clone(),
            invalid: false,
        })
        .collect();
    let axis = Axis::linear("time", all.iter().filter_map(|(_, own, ..)| *own), short);
    let id = format!("ipc-turn-{}", if cores == Cores::One { "one" } else { "two" });
    let caption =
        "These mechanisms carry a notification without a payload, or with one number.".to_owned();
    let about = About { id: &id, title: &title, description: &caption };
    let svg = apart_from_servers(&svg::bars(about, &axis, &[], &bars));
    let header = vec![String::new(), "time".to_owned(), "ratio to baseline".to_owned()];
    let rows = all.into_iter().map(|(mechanism, _, text, _)| {
        let find = |waiting| report.find(mechanism, Pattern::RoundTrip, cores, waiting, NUMBER);
        let ratio = [Waiting::Sleeping, Waiting::Spinning].into_iter().filter_map(find);
        let ratio = ratio.filter_map(Measured::to_baseline).next();
        vec![mechanism.title().to_owned(), text, ratio.map_or(NONE.to_owned(), interval)]
    });
    let table = std::iter::once(header).chain(rows).collect();
    Some(Figure { title, svg, caption, table, wide: false })
}

/// What the library costs beyond the baseline.
pub fn of_ratios(report: &Report) -> Vec<Figure> {
    let mut figures = Vec::new();
    for pattern in [Pattern::RoundTrip, Pattern::OneWay] {
        let size = representative_size(report);
        let wanted = |result: &&Measured| {
            let case = &result.case;
            let wanted = if case.mechanism.carries_messages() { size } else { NUMBER };
            let cores = match case.waiting {
                Waiting::Sleeping => Cores::One,
                Waiting::Spinning => Cores::Two,
            };
            case.pattern == pattern && case.size == wanted && case.cores == cores
        };
        let results: Vec<&Measured> = report
            .results
            .iter()
            .filter(wanted)
            .filter(|result| result.to_baseline().is_some())
            .collect();
        if results.is_empty() {
            continue;
        }
        let row = |result: &&Measured| {
            let case = &result.case;
            let name = match (case.waiting, case.mechanism) {
                (Waiting::Spinning, Mechanism::Ring) => "ring, spins".to_owned(),
                (Waiting::Spinning, Mechanism::ManyRing) => "of many, spins".to_owned(),
                _ => case.mechanism.title().to_owned(),
            };
            // A ring that spins has the colour of the one that sleeps, and another marker.
            let spins = case.waiting == Waiting::Spinning && case.mechanism.carries_messages();
            let again = if spins { svg::LOOKS } else { 0 };
            let ratio = result.to_baseline();
            let bound = match case.bound() {
                Some(Bound::AtMost(most)) => format!(", at most {most}"),
                _ => String::new(),
            };
            Row {
                look: look(case.mechanism, Contestant::Library) + again,
                name,
                value: ratio.map(|ratio| ratio.value),
                interval: ratio.and_then(|ratio| ratio.interval),
                shown: ratio
                    .is_some_and(|r| r.difference() != crate::load::stats::Difference::NotShown),
                text: ratio.map_or(NONE.to_owned(), interval) + &bound,
                note: String::new(),
                why: absence(result, Contestant::Library),
                invalid: result.verdict() == Some(Verdict::Missed),
            }
        };
        let rows: Vec<Row> = results.iter().map(row).collect();
        let ends = rows.iter().filter_map(|row| row.value).chain([0.95, 1.1]);
        let low = ends.clone().fold(f64::INFINITY, f64::min).max(0.2);
        let high = ends.fold(0.0, f64::max).min(5.0);
        let around = [low / 1.05, 1.0, high * 1.05];
        let axis = Axis {
            label: "time as a ratio to the baseline".to_owned(),
            log: true,
            low: around[0],
            high: around[2],
            ticks: ticks(around[0], around[2]),
        };
        let title = format!("What the library adds, {}", pattern.title());
        let caption = "Sleeping mechanisms on one core, spinning ones on two. The bar is the interval of 95 % over the rounds; a hollow \
             marker shows no difference."
                .to_owned();
        let id = format!("ipc-ratio-{}", pattern.title().replace(' ', "-"));
        let about = About { id: &id, title: &title, description: &caption };
        let svg = apart_from_servers(&svg::ratios(about, &axis, &rows));
        let header = vec![String::new(), "baseline".to_owned(), "ratio".to_owned()];
        let table =
            std::iter::once(header).chain(results.iter().zip(&rows).map(|(result, row)| {
                let baseline = match result.case.baseline() {
                    Contestant::CacheLine => "cache lines",
                    _ => result.case.mechanism.baseline(),
                };
                vec![row.name.clone(), baseline.to_owned(), row.text.clone()]
            }));
        figures.push(Figure { title, svg, caption, table: table.collect(), wide: false });
    }
    figures
}

fn ticks(low: f64, high: f64) -> Vec<(f64, String)> {
    let all = [0.2, 0.5, 0.8, 1.0, 1.2, 1.5, 2.0, 3.0, 5.0];
    all.into_iter().filter(|at| (low..=high).contains(at)).map(|at| (at, format!("{at}"))).collect()
}

/// The page's legend picks servers out of all plots by number: these have none.
fn apart_from_servers(svg: &str) -> String {
    svg.replace("data-series=", "data-mechanism=")
}

/// Nanoseconds as they stand on an axis.
fn short(value: f64) -> String {
    let (value, unit) = match value {
        0.0 => return "0".to_owned(),
        v if v < 999.5 => (v, "ns"),
        v if v < 999.5e3 => (v / 1e3, "µs"),
        v => (v / 1e6, "ms"),
    };
    format!("{} {unit}", (value * 100.0).round() / 100.0)
}

fn short_bytes(size: usize) -> String {
    match size {
        size if size >= 1 << 10 => format!("{}K", size >> 10),
        size => size.to_string(),
    }
}
