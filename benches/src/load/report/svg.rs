//! Plots as SVG text, drawn here and styled by the page's style sheet: no colour is written into them, so that the
//! same plot is right in light and in dark. Every series has its own marker beside its own colour, and its name
//! stands at its end.

use super::{Lane, NONE, Timeline};
use crate::text::{digits, escape, plain};
use std::fmt::Write as _;

/// How many series have a look of their own; with more, looks repeat with another dash.
pub const LOOKS: usize = 8;

/// How wide the drawing of a plot is, in its own units; on the page it takes what room there is.
const WIDTH: f64 = 440.0;
const LETTER: f64 = 7.1;
/// The same where names stand, which are bold and may have capitals.
const BOLD_LETTER: f64 = 7.9;
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
    /// How high; none leaves a gap and puts a dash on the axis.
    pub y: Option<f64>,
    /// The least and the greatest of the rounds.
    pub spread: Option<(f64, f64)>,
    /// Whether it is marked as not to be believed.
    pub invalid: bool,
    /// What is said of it when it is pointed at.
    pub tip: String,
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
    let longest =
        series.iter().map(|s| (shown(&s.name) + &s.note).chars().count()).max().unwrap_or(0);
    let ticks = y.ticks.iter().map(|(_, text)| text.chars().count()).max().unwrap_or(0);
    let (left, right) = (ticks as f64 * LETTER + 14.0, longest as f64 * LETTER + 38.0);
    let least = 44.0 + series.len() as f64 * LINE;
    let (top, height) = (30.0, (240.0_f64).max(least - 20.0));
    let width = WIDTH - left - right;
    let bottom = top + height;
    let at = |px: f64, py: f64| (left + x.place(px) * width, bottom - y.place(py) * height);

    let mut svg = open(about, WIDTH, bottom + 48.0);
    frame(&mut svg, x, y, (left, top, width, height));
    for line in series {
        let look = look(line.look);
        let _ = write!(svg, r#"<g class="series {look}" data-series="{}">"#, line.look);
        for path in unbroken(line, &at) {
            let _ = write!(svg, r#"<path class="line" d="{path}"/>"#);
        }
        for point in &line.points {
            let Some(value) = point.y else {
                // On the axis; of several, one beside the other.
                let aside = ((line.look % LOOKS) as f64 - 3.5) * 6.0;
                missing(
                    &mut svg,
                    left + x.place(point.x) * width + aside,
                    bottom - 1.0,
                    &point.tip,
                );
                continue;
            };
            let (px, py) = at(point.x, value);
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
                let above = py - 9.0;
                let _ = write!(
                    svg,
                    r#"<text class="mark" text-anchor="middle" x="{px:.1}" y="{above:.1}">!</text>"#
                );
            }
        }
        svg.push_str("</g>");
    }
    let ends: Vec<(f64, f64)> = series
        .iter()
        .map(|line| {
            let last = line.points.iter().rev().find_map(|p| p.y.map(|value| at(p.x, value)));
            last.unwrap_or((left + width, bottom))
        })
        .collect();
    let places = apart(&ends.iter().map(|end| end.1).collect::<Vec<_>>(), top + 4.0, bottom);
    for ((line, end), place) in series.iter().zip(&ends).zip(places) {
        let look = look(line.look);
        let from = left + width + 3.0;
        let _ = write!(
            svg,
            r#"<g class="series {look}" data-series="{}"><path class="leader" d="M{:.1} {:.1}L{:.1} {place:.1}"/>"#,
            line.look,
            end.0.max(from - 3.0) + 4.0,
            end.1,
            from + 10.0,
        );
        marker(&mut svg, line.look, from + 14.0, place, false, "");
        let _ = write!(
            svg,
            r#"<text class="name" x="{:.1}" y="{:.1}">{}{}{}</text></g>"#,
            from + 21.0,
            place + 4.5,
            escape(&shown(&line.name)),
            if line.points.iter().all(|p| p.y.is_none()) { " -" } else { "" },
            line.note
        );
    }
    svg.push_str("</svg>");
    svg
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
    /// Whether it is marked as not to be believed.
    pub invalid: bool,
}

/// Bars that begin at 0, each in as many parts as the legend has.
pub fn bars(about: About, axis: &Axis, legend: &[&str], rows: &[Bar]) -> String {
    let left = name_room(rows.iter().map(|row| row.name.as_str()));
    let right = rows.iter().map(|r| r.text.chars().count() + r.note.chars().count());
    let right = right.max().unwrap_or(0) as f64 * LETTER + 24.0;
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
        at += text.chars().count() as f64 * LETTER + 36.0;
    }
    across(&mut svg, axis, (left, top, width, height));
    for (n, row) in rows.iter().enumerate() {
        let middle = top + (n as f64 + 0.5) * row_height;
        let _ = write!(svg, r#"<g class="series {}" data-series="{}">"#, look(row.look), row.look);
        marker(&mut svg, row.look, left - 12.0, middle, row.invalid, "");
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
        let end = left + axis.place(sum) * width + 6.0;
        let mark = if row.invalid { " !" } else { "" };
        let _ = write!(
            svg,
            r#"<text x="{end:.1}" y="{:.1}">{}{mark}{}</text></g>"#,
            middle + 4.5,
            escape(&row.text),
            row.note
        );
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
    /// Whether it is marked as not to be believed.
    pub invalid: bool,
}

/// Ratios and their intervals around the line of 1.
pub fn ratios(about: About, axis: &Axis, rows: &[Row]) -> String {
    let left = name_room(rows.iter().map(|row| row.name.as_str()));
    let (top, row_height, right) = (12.0, 42.0, 14.0);
    let height = rows.len() as f64 * row_height;
    let width = WIDTH - left - right;
    let mut svg = open(about, WIDTH, top + height + 44.0);
    across(&mut svg, axis, (left, top, width, height));
    let one = left + axis.place(1.0) * width;
    let _ = write!(svg, r#"<path class="one" d="M{one:.1} {top:.1}V{:.1}"/>"#, top + height);
    for (n, row) in rows.iter().enumerate() {
        let middle = top + (n as f64 + 0.5) * row_height + 7.0;
        let _ = write!(svg, r#"<g class="series {}" data-series="{}">"#, look(row.look), row.look);
        name(&mut svg, left - 10.0, middle - 6.0, &row.name);
        let mut centre = one;
        if let Some(value) = row.value {
            centre = left + axis.place(value) * width;
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
            marker(&mut svg, row.look, centre, middle, row.invalid || !row.shown, &row.text);
        }
        let mark = if row.invalid { " !" } else { "" };
        let half = (row.text.chars().count() + row.note.chars().count() + mark.len()) as f64
            * LETTER
            * 0.5;
        // Words wider than the plate begin at its left.
        let text_at = centre.min(left + width - half).max(left + half);
        let class = if row.shown { "figure" } else { "figure quiet" };
        let _ = write!(
            svg,
            r#"<text class="{class}" text-anchor="middle" x="{text_at:.1}" y="{:.1}">{}{mark}{}</text></g>"#,
            middle - 10.0,
            escape(&row.text),
            row.note
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
}

/// Curves above each other on one axis of time.
pub fn tracks(about: About, number: usize, time: &Axis, tracks: &[Track]) -> String {
    let (left, right, top, each, gap) = (66.0, 62.0, 24.0, 74.0, 26.0);
    let width = WIDTH - left - right;
    let height = tracks.len() as f64 * (each + gap) - gap;
    let mut svg = open(about, WIDTH, top + height + 44.0);
    grid(&mut svg, time, (left, top, width, height));
    below(&mut svg, time, (left, top + height, width));
    for (n, track) in tracks.iter().enumerate() {
        let above = top + n as f64 * (each + gap);
        let below = above + each;
        let _ = write!(
            svg,
            r#"<text class="label" x="{left:.1}" y="{:.1}">{}</text><path class="axis" d="M{left:.1} {above:.1}V{below:.1}H{:.1}"/>"#,
            above - 6.0,
            escape(&track.axis.label),
            left + width
        );
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
    across(&mut svg, &Axis { ticks, ..time.clone() }, (left, top, width, height));
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
        if to - from > number.len() as f64 * LETTER + 6.0 {
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
        let half = text.chars().count() as f64 * LETTER / 2.0;
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
    let _ = write!(
        svg,
        r#"<text class="label" text-anchor="middle" x="{:.1}" y="{:.1}">{}</text>"#,
        left + width / 2.0,
        bottom + 39.0,
        escape(&axis.label)
    );
}

/// The lines above the labels of a horizontal axis.
fn grid(svg: &mut String, axis: &Axis, (left, top, width, height): (f64, f64, f64, f64)) {
    for (value, _) in &axis.ticks {
        let px = left + axis.place(*value) * width;
        let _ = write!(svg, r#"<path class="grid" d="M{px:.1} {top:.1}v{height:.1}"/>"#);
    }
}

/// A horizontal axis and its grid.
fn across(svg: &mut String, axis: &Axis, (left, top, width, height): (f64, f64, f64, f64)) {
    grid(svg, axis, (left, top, width, height));
    below(svg, axis, (left, top + height, width));
    let _ = write!(svg, r#"<path class="axis" d="M{left:.1} {top:.1}v{height:.1}"/>"#);
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

fn missing(svg: &mut String, px: f64, py: f64, tip: &str) {
    let _ = write!(
        svg,
        r#"<text class="missing" text-anchor="middle" x="{px:.1}" y="{py:.1}">{NONE}<title>{}</title></text>"#,
        escape(tip)
    );
}

/// A marker of the look's own shape: hollow, and with an exclamation mark where it is not to be believed.
fn marker(svg: &mut String, look: usize, x: f64, y: f64, hollow: bool, tip: &str) {
    let path = match look % LOOKS {
        0 => format!("M{:.1} {y:.1}a4.6 4.6 0 1 0 9.2 0a4.6 4.6 0 1 0-9.2 0z", x - 4.6),
        1 => format!("M{:.1} {:.1}h8.4v8.4h-8.4z", x - 4.2, y - 4.2),
        2 => format!("M{x:.1} {:.1}l5.4 9.2h-10.8z", y - 5.6),
        3 => format!("M{x:.1} {:.1}l5.6 5.6l-5.6 5.6l-5.6-5.6z", y - 5.6),
        4 => format!("M{x:.1} {:.1}l-5.4-9.2h10.8z", y + 5.6),
        5 => format!(
            "M{:.1} {:.1}h3.4v-3.4h3.6v3.4h3.4v3.6h-3.4v3.4h-3.6v-3.4h-3.4z",
            x - 5.2,
            y - 1.8
        ),
        6 => format!("M{:.1} {:.1}h10l-10 9.6h10z", x - 5.0, y - 4.8),
        _ => format!("M{:.1} {y:.1}l-9.2-5.4v10.8z", x + 5.6),
    };
    let class = if hollow { "marker hollow" } else { "marker" };
    let _ = match tip.is_empty() {
        true => write!(svg, r#"<path class="{class}" d="{path}"/>"#),
        false => {
            write!(svg, r#"<path class="{class}" d="{path}"><title>{}</title></path>"#, escape(tip))
        }
    };
}

/// The marker of a look, for a legend.
pub fn key(number: usize) -> String {
    let mut svg =
        format!(r#"<svg class="{}" viewBox="0 0 18 18" aria-hidden="true">"#, look(number));
    marker(&mut svg, number, 9.0, 9.0, false, "");
    svg.push_str("</svg>");
    svg
}

fn look(number: usize) -> String {
    let again = if number >= LOOKS { " again" } else { "" };
    format!("s{}{again}", number % LOOKS)
}

/// A name that is cut where it would take the plot's room; it stands in full in the tables.
fn shown(name: &str) -> String {
    match name.chars().count() {
        n if n > 18 => name.chars().take(17).chain(['…']).collect(),
        _ => name.to_owned(),
    }
}

fn name_room<'a>(names: impl Iterator<Item = &'a str>) -> f64 {
    names.map(|name| shown(name).chars().count()).max().unwrap_or(0) as f64 * BOLD_LETTER + 30.0
}

fn name(svg: &mut String, right: f64, middle: f64, text: &str) {
    let _ = write!(
        svg,
        r#"<text class="name" text-anchor="end" x="{right:.1}" y="{:.1}">{}</text>"#,
        middle + 4.5,
        escape(&shown(text))
    );
}

/// Places for labels, each as near to where it wants to be as its neighbours allow: halfway between what
/// pushing them down and pushing them up would give, since both keep the distance.
fn apart(wanted: &[f64], top: f64, bottom: f64) -> Vec<f64> {
    let mut order: Vec<usize> = (0..wanted.len()).collect();
    order.sort_by(|&a, &b| wanted[a].total_cmp(&wanted[b]));
    let pushed_down = |places: &mut [f64]| {
        let mut free = top;
        for &n in &order {
            places[n] = places[n].max(free);
            free = places[n] + LINE;
        }
    };
    let pushed_up = |places: &mut [f64]| {
        let mut free = bottom;
        for &n in order.iter().rev() {
            places[n] = places[n].min(free);
            free = places[n] - LINE;
        }
    };
    let (mut one, mut other) = (wanted.to_vec(), wanted.to_vec());
    pushed_down(&mut one);
    pushed_up(&mut one);
    pushed_up(&mut other);
    pushed_down(&mut other);
    one.iter().zip(&other).map(|(a, b)| f64::midpoint(*a, *b)).collect()
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

    #[test]
    fn labels_do_not_overlap() {
        let places = apart(&[50.0, 51.0, 52.0, 100.0, 100.0], 0.0, 100.0);
        let mut sorted = places.clone();
        sorted.sort_by(f64::total_cmp);
        assert!(sorted.windows(2).all(|pair| pair[1] - pair[0] >= LINE - 1e-9), "{places:?}");
        assert!(sorted[4] <= 100.0);
    }
}
