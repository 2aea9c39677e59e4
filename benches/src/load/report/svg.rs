//! Plots as SVG text, drawn here and styled by the page's style sheet: no colour is written into them, so that the
//! same plot is right in light and in dark. Every series has its own marker beside its own colour, and its name
//! stands at its end. Labels have places of their own: no line, marker or other label touches them.

mod looks;
mod place;

pub use looks::{LOOKS, key};

use super::{Lane, Timeline};
use crate::text::{digits, escape, listed, plain};
use looks::{RADIUS, look, marker};
use place::{Area, apart, fitted, upright, width_of, width_of_name, wrapped};
use std::fmt::Write as _;

/// How wide the drawing of a plot is, in its own units; on the page it takes what room there is.
const WIDTH: f64 = 440.0;
/// How wide a letter is on average, at most, in the fonts of usual systems.
const LETTER: f64 = 7.6;
/// The same where names stand, which are bold and may have capitals.
const NAME_LETTER: f64 = 8.6;
/// How many more letters of reasons fit, which are smaller.
const SMALLER: f64 = 13.0 / 12.0;
const LINE: f64 = 16.0;

/// An axis: what it measures, from where to where, and where it is labelled.
#[derive(Clone, Debug)]
pub struct Axis {
    /// What it measures, in what unit.
    pub label: String,
    /// Whether equal steps are equal factors.
    pub log: bool,
    /// Where it begins.
    pub low: f64,
    /// Where it ends.
    pub high: f64,
    /// Where it is labelled, and how.
    pub ticks: Vec<(f64, String)>,
}

impl Axis {
    /// From 0 to a round number above all values.
    pub fn linear(
        label: &str,
        values: impl Iterator<Item = f64>,
        show: impl Fn(f64) -> String,
    ) -> Axis {
        let greatest = values.filter(|v| v.is_finite()).fold(0.0, f64::max);
        let greatest = if greatest > 0.0 { greatest } else { 1.0 };
        let step = round_step(greatest / 4.0);
        let steps = (greatest / step * 0.999).ceil().max(1.0);
        let ticks = (0..=steps as u32).map(|n| f64::from(n) * step);
        Axis {
            label: label.to_owned(),
            log: false,
            low: 0.0,
            high: steps * step,
            ticks: ticks.map(|at| (at, show(at))).collect(),
        }
    }

    /// From a round number below all values to one above, in equal factors.
    pub fn log(
        label: &str,
        values: impl Iterator<Item = f64>,
        show: impl Fn(f64) -> String,
    ) -> Axis {
        let (low, high) = values
            .filter(|v| v.is_finite() && *v > 0.0)
            .fold((f64::INFINITY, 0.0_f64), |(low, high), v| (low.min(v), high.max(v)));
        let (low, high) = if low <= high { (low, high) } else { (1.0, 10.0) };
        let (low, high) = (round_down(low), round_up(high * 1.02));
        let decades = (high / low).log10();
        let wanted: &[f64] = match decades {
            d if d < 1.6 => &[1.0, 2.0, 5.0],
            _ => &[1.0],
        };
        let every = (decades / 7.0).ceil().max(1.0) as i32;
        let first = low.log10().floor() as i32;
        let last = high.log10().ceil() as i32;
        let ticks = (first..=last)
            .filter(|power| (power - first) % every == 0)
            .flat_map(|power| wanted.iter().map(move |digit| digit * 10f64.powi(power)));
        let inside = ticks.filter(|at| *at >= low * 0.999 && *at <= high * 1.001);
        Axis {
            label: label.to_owned(),
            log: true,
            low,
            high,
            ticks: inside.map(|at| (at, show(at))).collect(),
        }
    }

    /// In equal factors, labelled at these values alone.
    pub fn steps(label: &str, values: &[f64], show: impl Fn(f64) -> String) -> Axis {
        let low = values.iter().copied().fold(f64::INFINITY, f64::min);
        let high = values.iter().copied().fold(0.0, f64::max);
        Axis {
            label: label.to_owned(),
            log: true,
            low,
            high: if high > low { high } else { low * 10.0 },
            ticks: values.iter().map(|&at| (at, show(at))).collect(),
        }
    }

    /// Where a value lies, from 0 at the beginning to 1 at the end.
    fn place(&self, value: f64) -> f64 {
        let share = match self.log {
            true => (value.max(f64::MIN_POSITIVE) / self.low).ln() / (self.high / self.low).ln(),
            false => (value - self.low) / (self.high - self.low),
        };
        share.clamp(0.0, 1.0)
    }
}

fn round_step(about: f64) -> f64 {
    let power = 10f64.powf(about.log10().floor());
    let digit = about / power;
    power * [1.0, 2.0, 2.5, 5.0].into_iter().find(|d| digit <= *d * 1.001).unwrap_or(10.0)
}

fn round_down(value: f64) -> f64 {
    let power = 10f64.powf(value.log10().floor());
    power * [5.0, 2.0].into_iter().find(|d| value / power >= *d).unwrap_or(1.0)
}

fn round_up(value: f64) -> f64 {
    let power = 10f64.powf(value.log10().floor());
    power * [1.0, 2.0, 5.0].into_iter().find(|d| value / power <= *d * 1.0001).unwrap_or(10.0)
}

/// One line of a plot.
#[derive(Clone, Debug)]
pub struct Series {
    /// Which look it has: the place of its server among all servers.
    pub look: usize,
    /// Its name, which stands at its end.
    pub name: String,
    /// What stands behind the name: the number of a note.
    pub note: String,
    /// Whether its points have markers; a line of very many points has none.
    pub markers: bool,
    /// Its points from left to right.
    pub points: Vec<Point>,
}

/// A point of a line.
#[derive(Clone, Debug)]
pub struct Point {
    /// Where, from left to right.
    pub x: f64,
    /// How high; none leaves a gap, and what is infinite is an open arrow at the top. Both are explained below the plot.
    pub y: Option<f64>,
    /// The least and the greatest of the rounds.
    pub spread: Option<(f64, f64)>,
    /// Whether it is marked as not to be believed.
    pub invalid: bool,
    /// What is said of it when it is pointed at.
    pub tip: String,
    /// Why there is no figure, or why it is infinite, in a few words; empty for all others.
    pub why: String,
}

/// The name and the meaning of a drawing, for those who do not see it.
#[derive(Clone, Copy, Debug)]
pub struct About<'a> {
    /// A name that no other drawing of the page has, of letters, digits and hyphens.
    pub id: &'a str,
    /// What it is.
    pub title: &'a str,
    /// What is to be seen in it.
    pub description: &'a str,
}

/// Lines over a common axis.
pub fn lines(about: About, x: &Axis, y: &Axis, series: &[Series]) -> String {
    let absent: Vec<(usize, Vec<String>)> = series
        .iter()
        .filter_map(|line| {
            Some((line.look, wrapped(&absence(line, x)?, (WIDTH - 30.0) * SMALLER, 3)))
        })
        .collect();
    let endless = |line: &&Series| line.points.iter().any(|p| p.y == Some(f64::INFINITY));
    let endless = series.iter().filter(endless).count();
    let longest = series.iter().map(|s| width_of_name(&(shown(&s.name) + &s.note + " -")));
    let longest = longest.fold(0.0, f64::max);
    let ticks = y.ticks.iter().map(|(_, text)| width_of(text)).fold(0.0, f64::max);
    let (left, right) = (ticks + 14.0, longest + 28.0);
    let least = 44.0 + series.len() as f64 * LINE;
    // What lies above every figure has a strip of its own.
    let top = if endless > 0 { 48.0 } else { 30.0 };
    let height = (240.0_f64).max(least - 20.0);
    let width = WIDTH - left - right;
    let bottom = top + height;
    let at = |px: f64, py: f64| {
        let y = if py.is_infinite() { top - 8.0 } else { bottom - y.place(py) * height };
        (left + x.place(px) * width, y)
    };

    let footer = absent.iter().map(|(_, lines)| lines.len()).sum::<usize>() as f64 * LINE;
    let footer = if absent.is_empty() { 0.0 } else { footer + 6.0 };
    let mut svg = open(about, WIDTH, bottom + 48.0 + footer);
    frame(&mut svg, x, y, (left, top, width, height));
    let mut obstacles = Obstacles::of(series, &at, y, (left, top, width, height));
    let mut beyond = 0;
    for line in series {
        let look = look(line.look);
        let _ = write!(svg, r#"<g class="series {look}" data-series="{}">"#, line.look);
        for path in unbroken(line, &at) {
            let _ = write!(svg, r#"<path class="line" d="{path}"/>"#);
        }
        if line.points.iter().any(|point| point.y == Some(f64::INFINITY)) {
            beyond += 1;
        }
        for point in &line.points {
            let Some(value) = point.y else { continue };
            let (px, py) = at(point.x, value);
            if value.is_infinite() {
                // Of several at one place each is a little further to the right.
                let aside = (f64::from(beyond) - (endless as f64 + 1.0) / 2.0) * 3.0;
                arrow(&mut svg, px + aside, py, &point.tip);
                continue;
            }
            if let Some((low, high)) = point.spread {
                let (from, to) = (at(point.x, low).1, at(point.x, high).1);
                if from - to > 6.0 {
                    let _ = write!(svg, r#"<path class="spread" d="M{px:.1} {from:.1}V{to:.1}"/>"#);
                }
            }
            if line.markers || point.invalid {
                marker(&mut svg, line.look, px, py, point.invalid, &point.tip);
            }
            if point.invalid {
                mark(&mut svg, &mut obstacles, (px, py));
            }
        }
        svg.push_str("</g>");
    }
    names_at_ends(&mut svg, series, &at, (left, top, width, height));
    let mut below = bottom + 48.0 + LINE - 4.0;
    for (number, lines) in absent {
        let _ = write!(svg, r#"<g class="series {}" data-series="{number}">"#, look(number));
        marker(&mut svg, number, 12.0, below - 4.5, true, "");
        for text in lines {
            let text = escape(&text);
            let _ = write!(svg, r#"<text class="absent" x="24" y="{below:.1}">{text}</text>"#);
            below += LINE;
        }
        svg.push_str("</g>");
    }
    svg.push_str("</svg>");
    svg
}

/// Which points of a line have no figure, or none that fits into a plot, and why.
fn absence(line: &Series, x: &Axis) -> Option<String> {
    let mut reasons: Vec<(&str, Vec<String>)> = Vec::new();
    let absent = |point: &&Point| point.y.is_none_or(f64::is_infinite);
    for point in line.points.iter().filter(absent) {
        let why = if point.why.is_empty() { "no data" } else { point.why.as_str() };
        let tick = x.ticks.iter().find(|(at, _)| (at - point.x).abs() <= at.abs() * 1e-9);
        let place = tick.map(|(_, text)| text.clone());
        match reasons.iter_mut().find(|(known, _)| *known == why) {
            Some((_, places)) => places.extend(place),
            None => reasons.push((why, place.into_iter().collect())),
        }
    }
    let everywhere = line.points.iter().all(|point| absent(&point));
    let parts: Vec<String> = match &reasons[..] {
        [] => return None,
        [(why, _)] if everywhere => vec![(*why).to_owned()],
        _ => reasons
            .iter()
            .map(|(why, places)| match places[..] {
                [] => (*why).to_owned(),
                _ => format!("{why}, at {}", listed(places)),
            })
            .collect(),
    };
    Some(format!("{}: {}", shown(&line.name), parts.join("; ")))
}

/// What a label among lines must not touch.
struct Obstacles {
    plot: Area,
    lines: Vec<[(f64, f64); 2]>,
    areas: Vec<Area>,
}

impl Obstacles {
    fn of(
        series: &[Series],
        at: &impl Fn(f64, f64) -> (f64, f64),
        y: &Axis,
        (left, top, width, height): (f64, f64, f64, f64),
    ) -> Obstacles {
        let mut lines = Vec::new();
        let mut areas = Vec::new();
        for line in series {
            for stretch in line.points.split(|point| point.y.is_none()) {
                let places: Vec<(f64, f64)> =
                    stretch.iter().filter_map(|point| Some(at(point.x, point.y?))).collect();
                lines.extend(places.windows(2).map(|pair| [pair[0], pair[1]]));
                if line.markers {
                    areas.extend(places.iter().map(|(px, py)| Area::around(*px, *py, RADIUS)));
                }
            }
            for point in &line.points {
                if let Some((low, high)) = point.spread {
                    lines.push([at(point.x, low), at(point.x, high)]);
                }
            }
        }
        for (value, _) in &y.ticks {
            let py = top + height - y.place(*value) * height;
            lines.push([(left, py), (left + width, py)]);
        }
        let plot = Area { left, top, right: left + width, bottom: top + height };
        Obstacles { plot, lines, areas }
    }

    /// Takes an area, if it is free.
    fn take(&mut self, area: Area) -> bool {
        let inside = area.left > self.plot.left
            && area.right < self.plot.right + 12.0
            && area.top > self.plot.top
            && area.bottom < self.plot.bottom;
        let free = inside
            && !self.areas.iter().any(|other| other.meets(&area))
            && !self.lines.iter().any(|[from, to]| area.is_crossed(*from, *to));
        if free {
            self.areas.push(area);
        }
        free
    }
}

/// The mark of a figure that is not to be believed, at a free place next to its point. Without a free place there is
/// none: the marker is hollow, and the name has a note.
fn mark(svg: &mut String, obstacles: &mut Obstacles, (px, py): (f64, f64)) {
    for distance in [11.0, 14.0, 17.0] {
        for angle in [90.0, 270.0, 45.0, 135.0, 0.0, 180.0, 225.0, 315.0_f64] {
            let (x, y) = (
                px + distance * angle.to_radians().cos(),
                py - distance * angle.to_radians().sin() + 4.0,
            );
            let area = Area::of_text(x - 3.0, y, 6.0);
            if obstacles.take(Area { top: y - 10.0, bottom: y + 1.0, ..area }) {
                let _ = write!(
                    svg,
                    r#"<text class="mark" text-anchor="middle" x="{x:.1}" y="{y:.1}">!</text>"#
                );
                return;
            }
        }
    }
}

/// An arrow to what lies above the plot.
fn arrow(svg: &mut String, x: f64, y: f64, tip: &str) {
    let _ = write!(
        svg,
        r#"<path class="beyond" d="M{:.1} {:.1}L{x:.1} {:.1}L{:.1} {:.1}M{x:.1} {:.1}V{:.1}"><title>{}</title></path>"#,
        x - 4.5,
        y - 1.0,
        y - 6.0,
        x + 4.5,
        y - 1.0,
        y - 6.0,
        y + 5.0,
        escape(tip)
    );
}

/// The names of lines at their ends, to the right of the plot.
fn names_at_ends(
    svg: &mut String,
    series: &[Series],
    at: &impl Fn(f64, f64) -> (f64, f64),
    (left, top, width, height): (f64, f64, f64, f64),
) {
    let bottom = top + height;
    let last = |line: &Series| line.points.iter().rev().find_map(|p| p.y.map(|y| at(p.x, y)));
    let ends: Vec<Option<(f64, f64)>> = series.iter().map(last).collect();
    let wanted: Vec<f64> = ends.iter().map(|end| end.map_or(bottom, |end| end.1)).collect();
    let places = apart(&wanted, top + 4.0, bottom);
    for ((line, end), place) in series.iter().zip(&ends).zip(places) {
        let from = left + width + 3.0;
        let _ =
            write!(svg, r#"<g class="series {}" data-series="{}">"#, look(line.look), line.look);
        // A line that ends earlier is found by its marker.
        if let Some((_, py)) = end.filter(|end| end.0 > left + width - 1.0) {
            let _ = write!(
                svg,
                r#"<path class="leader" d="M{:.1} {py:.1}L{:.1} {place:.1}"/>"#,
                from + 1.0,
                from + 8.0
            );
        }
        marker(svg, line.look, from + 14.0, place, false, "");
        let _ = write!(
            svg,
            r#"<text class="name" x="{:.1}" y="{:.1}">{}{}{}</text></g>"#,
            from + 22.0,
            place + 4.5,
            escape(&shown(&line.name)),
            if end.is_none() { " -" } else { "" },
            line.note
        );
    }
}

/// One row of bars: a part is a figure and what it is a part of.
#[derive(Clone, Debug)]
pub struct Bar {
    /// Which look it has.
    pub look: usize,
    /// Its name.
    pub name: String,
    /// Its parts, in the order of the legend; none if there is no figure.
    pub parts: Option<Vec<f64>>,
    /// What stands at its end.
    pub text: String,
    /// The number of the note that says why there is no figure, or none that is to be believed.
    pub note: String,
    /// Why there is no figure, in a few words; empty where there is one.
    pub why: String,
    /// Whether it is marked as not to be believed.
    pub invalid: bool,
}

/// Bars that begin at 0, each in as many parts as the legend has.
pub fn bars(about: About, axis: &Axis, legend: &[&str], rows: &[Bar]) -> String {
    let left = name_room(rows.iter().map(|row| row.name.as_str()));
    let text = |row: &Bar| {
        let mark = if row.invalid { " !" } else { "" };
        format!("{}{mark}{}", row.text, row.note)
    };
    let right = rows.iter().filter(|row| row.parts.is_some()).map(|row| width_of(&text(row)));
    let right = right.fold(0.0, f64::max) + 16.0;
    let top = if legend.is_empty() { 12.0 } else { 34.0 };
    let row_height = 28.0;
    let height = rows.len() as f64 * row_height;
    let width = WIDTH - left - right;
    let mut svg = open(about, WIDTH, top + height + 44.0);
    let mut at = 8.0;
    for (part, text) in legend.iter().enumerate() {
        let _ = write!(
            svg,
            r#"<rect class="part{part} key" x="{at:.1}" y="8" width="12" height="12"/><text x="{:.1}" y="18.5">{}</text>"#,
            at + 17.0,
            escape(text)
        );
        at += width_of(text) + 32.0;
    }
    let labels: Vec<(f64, f64, String)> = rows
        .iter()
        .enumerate()
        .map(|(n, row)| {
            let baseline = top + (n as f64 + 0.5) * row_height + 4.5;
            let end = left + axis.place(row.parts.iter().flatten().sum()) * width + 6.0;
            match (&row.parts, row.why.as_str()) {
                (None, why) if !why.is_empty() => {
                    let text = format!("{}{}, {why}", row.text, row.note);
                    (end, baseline, fitted(&text, WIDTH - end - 4.0))
                }
                _ => (end, baseline, text(row)),
            }
        })
        .collect();
    let taken: Vec<Area> = labels
        .iter()
        .map(|(x, y, text)| Area::of_text(*x, *y, width_of(text)).wider(2.0))
        .collect();
    across(&mut svg, axis, (left, top, width, height), &taken);
    for (n, (row, (end, baseline, text))) in rows.iter().zip(&labels).enumerate() {
        let middle = top + (n as f64 + 0.5) * row_height;
        let _ = write!(svg, r#"<g class="series {}" data-series="{}">"#, look(row.look), row.look);
        let hollow = row.invalid || row.parts.is_none();
        marker(&mut svg, row.look, left - 12.0, middle, hollow, &row.why);
        name(&mut svg, left - 22.0, middle, &row.name);
        let mut sum = 0.0;
        for (part, value) in row.parts.iter().flatten().enumerate() {
            let (from, to) = (axis.place(sum) * width, axis.place(sum + value) * width);
            let tip = format!("{}: {}", row.name, row.text);
            let _ = write!(
                svg,
                r#"<rect class="part{part}" x="{:.1}" y="{:.1}" width="{:.1}" height="16"><title>{}</title></rect>"#,
                left + from,
                middle - 8.0,
                (to - from).max(0.5),
                escape(&tip)
            );
            sum += value;
        }
        let text = escape(text);
        let _ = write!(svg, r#"<text x="{end:.1}" y="{baseline:.1}">{text}</text></g>"#);
    }
    svg.push_str("</svg>");
    svg
}

/// One row of ratios.
#[derive(Clone, Debug)]
pub struct Row {
    /// Which look it has.
    pub look: usize,
    /// Its name.
    pub name: String,
    /// The ratio.
    pub value: Option<f64>,
    /// Its interval.
    pub interval: Option<(f64, f64)>,
    /// Whether it shows a difference.
    pub shown: bool,
    /// What stands at its end.
    pub text: String,
    /// The number of the note that says why there is no figure, or none that is to be believed.
    pub note: String,
    /// Why there is no ratio, in a few words; empty where there is one. It stands in the place of the bar.
    pub why: String,
    /// Whether it is marked as not to be believed.
    pub invalid: bool,
}

/// Ratios and their intervals around the line of 1: a row is a line of text and, below it, its bar. The upright lines
/// pass through the bars alone.
pub fn ratios(about: About, axis: &Axis, rows: &[Row]) -> String {
    let (left, right, top, row_height, text_height) = (17.0, 17.0, 6.0, 42.0, 20.0);
    let height = rows.len() as f64 * row_height;
    let width = WIDTH - left - right;
    let mut svg = open(about, WIDTH, top + height + 44.0);
    let strips: Vec<Area> = rows
        .iter()
        .enumerate()
        .map(|(n, row)| {
            let above = top + n as f64 * row_height;
            let height = if row.value.is_some() { text_height } else { row_height };
            Area { left: 0.0, top: above, right: WIDTH, bottom: above + height }
        })
        .collect();
    across(&mut svg, axis, (left, top, width, height), &strips);
    let one = left + axis.place(1.0) * width;
    let _ = write!(svg, r#"<path class="one" d="{}"/>"#, upright(one, top, top + height, &strips));
    for (row, strip) in rows.iter().zip(&strips) {
        let (text_at, middle) =
            (strip.top + 15.0, strip.top + f64::midpoint(text_height, row_height));
        let _ = write!(svg, r#"<g class="series {}" data-series="{}">"#, look(row.look), row.look);
        let hollow = row.invalid || !row.shown;
        marker(&mut svg, row.look, left + 6.0, text_at - 4.5, hollow, "");
        let name = shown(&row.name);
        let _ = write!(
            svg,
            r#"<text class="name" x="{:.1}" y="{text_at:.1}">{}</text>"#,
            left + 18.0,
            escape(&name)
        );
        if let Some(value) = row.value {
            let centre = left + axis.place(value) * width;
            if let Some((low, high)) = row.interval {
                let (from, to) = (left + axis.place(low) * width, left + axis.place(high) * width);
                let _ =
                    write!(svg, r#"<path class="interval" d="M{from:.1} {middle:.1}H{to:.1}"/>"#);
                // An end that lies beyond the axis has no cap.
                for (end, at) in [(low, from), (high, to)] {
                    if (axis.low..=axis.high).contains(&end) {
                        let above = middle - 4.0;
                        let _ =
                            write!(svg, r#"<path class="interval" d="M{at:.1} {above:.1}v8"/>"#);
                    }
                }
            }
            marker(&mut svg, row.look, centre, middle, hollow, &row.text);
        }
        if row.value.is_none() {
            let why = fitted(&row.why, (WIDTH - left - 18.0 - right) * SMALLER);
            let _ = write!(
                svg,
                r#"<text class="absent" x="{:.1}" y="{:.1}">{}<title>{}</title></text>"#,
                left + 18.0,
                middle + 4.0,
                escape(&why),
                escape(&row.why)
            );
        }
        let mark = if row.invalid { " !" } else { "" };
        let room = WIDTH - left - 18.0 - width_of_name(&name) - 12.0 - right;
        let text = fitted(&format!("{}{mark}{}", row.text, row.note), room);
        let class = if row.shown { "figure" } else { "figure quiet" };
        let _ = write!(
            svg,
            r#"<text class="{class}" text-anchor="end" x="{:.1}" y="{text_at:.1}">{}<title>{}</title></text></g>"#,
            WIDTH - right,
            escape(&text),
            escape(&row.text)
        );
    }
    svg.push_str("</svg>");
    svg
}

/// One curve among those above each other on one axis of time.
#[derive(Clone, Debug)]
pub struct Track {
    /// What it shows.
    pub axis: Axis,
    /// Its lines: a name and points.
    pub lines: Vec<(String, Vec<(f64, f64)>)>,
    /// Why there is nothing to draw, where that is so.
    pub why: String,
}

/// Curves above each other on one axis of time.
pub fn tracks(about: About, number: usize, time: &Axis, tracks: &[Track]) -> String {
    let (left, right, top, each, gap) = (66.0, 62.0, 24.0, 74.0, 26.0);
    let width = WIDTH - left - right;
    let height = tracks.len() as f64 * (each + gap) - gap;
    let mut svg = open(about, WIDTH, top + height + 44.0);
    below(&mut svg, time, (left, top + height, width));
    for (n, track) in tracks.iter().enumerate() {
        let above = top + n as f64 * (each + gap);
        let below = above + each;
        let empty = track.lines.iter().all(|(_, points)| points.is_empty());
        let said = (left + 10.0, f64::midpoint(above, below) + 4.5, &track.why);
        let taken = Area::of_text(said.0, said.1, width_of(said.2)).wider(2.0);
        let taken: &[Area] = if empty { &[taken] } else { &[] };
        grid(&mut svg, time, (left, above, width, each), taken);
        let _ = write!(
            svg,
            r#"<text class="label" x="{left:.1}" y="{:.1}">{}</text><path class="axis" d="M{left:.1} {above:.1}V{below:.1}H{:.1}"/>"#,
            above - 6.0,
            escape(&track.axis.label),
            left + width
        );
        if empty {
            let _ = write!(
                svg,
                r#"<text class="absent" x="{:.1}" y="{:.1}">{}</text>"#,
                said.0,
                said.1,
                escape(said.2)
            );
            continue;
        }
        for (value, text) in ends_and_middle(&track.axis.ticks) {
            let py = below - track.axis.place(*value) * each;
            let _ = write!(
                svg,
                r#"<path class="grid" d="M{left:.1} {py:.1}H{:.1}"/><text text-anchor="end" x="{:.1}" y="{:.1}">{}</text>"#,
                left + width,
                left - 6.0,
                py + 4.5,
                escape(text)
            );
        }
        let mut ends = Vec::new();
        let _ = write!(svg, r#"<g class="series {}" data-series="{number}">"#, look(number));
        for (shade, (_, points)) in track.lines.iter().enumerate() {
            let mut path = String::new();
            for &(x, y) in points {
                let (px, py) = (left + time.place(x) * width, below - track.axis.place(y) * each);
                let _ = write!(path, "{}{px:.1} {py:.1}", if path.is_empty() { 'M' } else { 'L' });
                if y > track.axis.high {
                    let tip = format!("{} s: above the axis", plain(x));
                    arrow(&mut svg, px, above + 5.0, &tip);
                }
                if ends.len() <= shade {
                    ends.push(py);
                }
                ends[shade] = py;
            }
            if ends.len() <= shade {
                ends.push(below);
            }
            let _ = write!(svg, r#"<path class="line shade{shade}" d="{path}"/>"#);
        }
        for ((text, _), place) in track.lines.iter().zip(apart(&ends, above, below + 4.0)) {
            let _ = write!(
                svg,
                r#"<text x="{:.1}" y="{:.1}">{}</text>"#,
                left + width + 6.0,
                place + 4.5,
                escape(text)
            );
        }
        svg.push_str("</g>");
    }
    svg.push_str("</svg>");
    svg
}

/// How many workers of a timeline are drawn.
const LANES: usize = 64;

/// The room between the lanes of clients and those of workers.
const BETWEEN: f64 = 10.0;

/// What the clients of a server waited for, and what its workers did.
pub fn timeline(about: About, timeline: &Timeline, end_us: u64) -> String {
    let end = end_us.max(1) as f64 / 1e3;
    let time = Axis { high: end, ..Axis::linear("milliseconds", std::iter::once(end), plain) };
    let busy = |lane: &&Lane| !lane.spans.is_empty();
    let clients = timeline.clients.iter();
    let lanes: Vec<&Lane> = clients.chain(timeline.lanes.iter().filter(busy).take(LANES)).collect();
    let left = name_room(lanes.iter().map(|lane| lane.name.as_str()));
    let (full, top, each) = (1040.0, 10.0, 19.0);
    let width = full - left - 24.0;
    let between = if timeline.clients.is_empty() { 0.0 } else { BETWEEN };
    let height = lanes.len() as f64 * each + between;
    let mut svg = open(about, full, top + height + 44.0);
    let ticks = time.ticks.iter().filter(|(at, _)| *at <= end).cloned().collect();
    across(&mut svg, &Axis { ticks, ..time.clone() }, (left, top, width, height), &[]);
    for (n, lane) in lanes.iter().enumerate() {
        let mut above = top + n as f64 * each;
        if n >= timeline.clients.len() {
            above += between;
        }
        name(&mut svg, left - 8.0, above + each / 2.0, &lane.name);
        draw_lane(&mut svg, lane, above + 2.5, |us| left + time.place(us as f64 / 1e3) * width);
    }
    if between > 0.0 {
        let at = top + timeline.clients.len() as f64 * each + between / 2.0;
        let _ = write!(svg, r#"<path class="axis" d="M4 {at:.1}H{:.1}"/>"#, left + width);
    }
    svg.push_str("</svg>");
    svg
}

fn draw_lane(svg: &mut String, lane: &Lane, above: f64, at: impl Fn(u64) -> f64) {
    for span in &lane.spans {
        let (from, to) = (at(span.start_us), at(span.end_us.max(span.start_us)));
        let kind = match span.kind.as_str() {
            "slow" => "slow",
            "wait" => "wait",
            "accept" => "accept",
            _ => "serve",
        };
        let tip = format!(
            "{}, request {}, {}: {} to {} ms",
            lane.name,
            span.request,
            span.kind,
            digits(span.start_us as f64 / 1e3),
            digits(span.end_us as f64 / 1e3)
        );
        let _ = write!(
            svg,
            r#"<rect class="span {kind}" x="{from:.1}" y="{above:.1}" width="{:.1}" height="14"><title>{}</title></rect>"#,
            (to - from).max(1.0),
            escape(&tip)
        );
        let number = span.request.to_string();
        if to - from > width_of(&number) + 6.0 {
            let _ = write!(
                svg,
                r#"<text class="request {kind}" text-anchor="middle" x="{:.1}" y="{:.1}">{number}</text>"#,
                f64::midpoint(from, to),
                above + 11.5
            );
        }
    }
}

fn open(about: About, width: f64, height: f64) -> String {
    let (id, title) = (about.id, escape(about.title));
    format!(
        r#"<svg class="plot" role="img" viewBox="0 0 {width:.0} {height:.0}" aria-labelledby="{id}-t {id}-d"><title id="{id}-t">{title}</title><desc id="{id}-d">{}</desc>"#,
        escape(about.description)
    )
}

/// Both axes, their labels and the grid.
fn frame(svg: &mut String, x: &Axis, y: &Axis, (left, top, width, height): (f64, f64, f64, f64)) {
    let bottom = top + height;
    let _ = write!(svg, r#"<text class="label" x="4" y="14">{}</text>"#, escape(&y.label));
    for (value, text) in &y.ticks {
        let py = bottom - y.place(*value) * height;
        let _ = write!(
            svg,
            r#"<path class="grid" d="M{left:.1} {py:.1}H{:.1}"/><text text-anchor="end" x="{:.1}" y="{:.1}">{}</text>"#,
            left + width,
            left - 7.0,
            py + 4.5,
            escape(text)
        );
    }
    below(svg, x, (left, bottom, width));
    let _ = write!(
        svg,
        r#"<path class="axis" d="M{left:.1} {top:.1}V{bottom:.1}H{:.1}"/>"#,
        left + width
    );
}

/// The labels of a horizontal axis; one that would touch its neighbour is left out, its mark stays.
fn below(svg: &mut String, axis: &Axis, (left, bottom, width): (f64, f64, f64)) {
    let mut free = f64::NEG_INFINITY;
    for (value, text) in &axis.ticks {
        let px = left + axis.place(*value) * width;
        let half = width_of(text) / 2.0;
        let _ = write!(svg, r#"<path class="axis" d="M{px:.1} {bottom:.1}v5"/>"#);
        if px - half > free {
            let _ = write!(
                svg,
                r#"<text text-anchor="middle" x="{px:.1}" y="{:.1}">{}</text>"#,
                bottom + 19.0,
                escape(text)
            );
            free = px + half + 6.0;
        }
    }
    let full = WIDTH.max(left + width);
    let label = fitted(&axis.label, full - 4.0);
    let half = width_of(&label) / 2.0;
    let middle = (left + width / 2.0).min(full - half).max(half);
    let _ = write!(
        svg,
        r#"<text class="label" text-anchor="middle" x="{middle:.1}" y="{:.1}">{}</text>"#,
        bottom + 39.0,
        escape(&label)
    );
}

/// The lines above the labels of a horizontal axis, with gaps where labels stand.
fn grid(
    svg: &mut String,
    axis: &Axis,
    (left, top, width, height): (f64, f64, f64, f64),
    taken: &[Area],
) {
    for (value, _) in &axis.ticks {
        let path = upright(left + axis.place(*value) * width, top, top + height, taken);
        let _ = write!(svg, r#"<path class="grid" d="{path}"/>"#);
    }
}

/// A horizontal axis and its grid.
fn across(svg: &mut String, axis: &Axis, place: (f64, f64, f64, f64), taken: &[Area]) {
    let (left, top, width, height) = place;
    grid(svg, axis, place, taken);
    below(svg, axis, (left, top + height, width));
    let _ = write!(svg, r#"<path class="axis" d="{}"/>"#, upright(left, top, top + height, taken));
}

/// As many ticks as a low plot has room for.
fn ends_and_middle(ticks: &[(f64, String)]) -> impl Iterator<Item = &(f64, String)> {
    let last = ticks.len().saturating_sub(1);
    let middle = last.is_multiple_of(2).then_some(last / 2);
    let kept = move |n: usize| n == 0 || n == last || Some(n) == middle;
    ticks.iter().enumerate().filter(move |(n, _)| kept(*n)).map(|(_, tick)| tick)
}

/// The stretches of a line between its gaps.
fn unbroken(line: &Series, at: &impl Fn(f64, f64) -> (f64, f64)) -> Vec<String> {
    let stretches = line.points.split(|point| point.y.is_none());
    let path = |points: &[Point]| {
        let mut path = String::new();
        for point in points {
            let Some(value) = point.y else { continue };
            let (px, py) = at(point.x, value);
            let _ = write!(path, "{}{px:.1} {py:.1}", if path.is_empty() { 'M' } else { 'L' });
        }
        path
    };
    stretches.filter(|points| points.len() > 1).map(path).collect()
}

/// A name whose middle is left out where it would take the plot's room; it stands in full in the tables. Variants of a
/// model differ at the end.
fn shown(name: &str) -> String {
    match name.chars().count() {
        n if n > 18 => name.chars().take(9).chain(['…']).chain(name.chars().skip(n - 8)).collect(),
        _ => name.to_owned(),
    }
}

fn name_room<'a>(names: impl Iterator<Item = &'a str>) -> f64 {
    names.map(|name| width_of_name(&shown(name))).fold(0.0, f64::max) + 30.0
}

fn name(svg: &mut String, right: f64, middle: f64, text: &str) {
    let _ = write!(
        svg,
        r#"<text class="name" text-anchor="end" x="{right:.1}" y="{:.1}">{}</text>"#,
        middle + 4.5,
        escape(&shown(text))
    );
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn axes_end_at_round_numbers() {
        let axis = Axis::linear("", [0.0, 87.0].into_iter(), |v| v.to_string());
        assert_eq!((axis.low, axis.high), (0.0, 100.0));
        let axis = Axis::log("", [3.0, 4_000.0].into_iter(), |v| v.to_string());
        assert_eq!((axis.low, axis.high), (2.0, 5_000.0));
        assert_eq!(axis.ticks.len(), 3, "{:?}", axis.ticks);
        let axis = Axis::log("", std::iter::empty(), |v| v.to_string());
        assert!(axis.low < axis.high);
    }
}
