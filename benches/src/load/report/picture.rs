//! The picture of a comparison, for a README.

use super::figures::{latency_plot, pair_plot, rate_plot};
use super::notes::Notes;
use super::page::{STYLE, moment};
use super::sweeps::{closed, common_title, sweeps};
use super::{Comparison, Metric, NONE};
use crate::text::escape;

/// The picture of a README: rate and 99th percentile against the load. It brings its own ground, light or dark, since
/// nobody knows what it will be shown on.
pub fn overview_svg(comparison: &Comparison) -> String {
    let servers = comparison.servers();
    let sweep = sweeps(comparison).into_iter().next().unwrap_or_default();
    let notes = Notes::default();
    let rate = rate_plot(&servers, &sweep, "overview-rate", &notes);
    let p99 = latency_plot(&servers, &sweep, Metric::P99, "overview-p99", &notes);
    let ((rate, left), (p99, right)) = (nested(&rate, 10.0), nested(&p99, 470.0));
    let height = left.max(right) + 88.0;
    let title = sweep.first().map_or(String::new(), |case| common_title(&sweep, case));
    let what = match sweep.first().is_none_or(|case| closed(case)) {
        true => "concurrent connections",
        false => "the planned rate",
    };
    let what =
        format!("Requests per second and 99th percentile of the response time against {what}");
    let foot = format!(
        "Medians of interleaved rounds; a hollow marker with ! is not to be believed, {NONE} means no data."
    );
    drawing(comparison, 920.0, height, &what, &title, &foot, &(rate + &p99))
}

/// The picture of two servers in one case: the second one's metrics as ratios to those of the first. `None` if the
/// comparison has another shape.
pub fn pair_svg(comparison: &Comparison) -> Option<String> {
    let [case] = comparison.cases.as_slice() else { return None };
    let [one, other] = case.results.as_slice() else { return None };
    let servers = [one.server.as_str(), other.server.as_str()];
    let (plot, height) = nested(&pair_plot(case, servers, "pair"), 10.0);
    let rounds = one.rounds.len().min(other.rounds.len());
    let what = format!("{} as ratios to {}", other.server, one.server);
    let foot = "The line is an interval of 95%; a hollow marker shows no difference.";
    let title = format!("{}, {rounds} rounds", case.title);
    Some(drawing(comparison, 460.0, height + 88.0, &what, &title, foot, &plot))
}

fn drawing(
    comparison: &Comparison,
    width: f64,
    height: f64,
    what: &str,
    title: &str,
    foot: &str,
    plots: &str,
) -> String {
    let of = &comparison.environment;
    let begun = moment(of.started);
    let place = [of.machine.as_str(), begun.split(' ').next().unwrap_or_default()];
    let place = place.into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join("; ");
    // The style sheet is written for a page: `:root` is the drawing here.
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width:.0}\" height=\"{height:.0}\" \
         viewBox=\"0 0 {width:.0} {height:.0}\" role=\"img\" aria-labelledby=\"overview-t\">\
         <title id=\"overview-t\">{what}: {title}</title><style>{STYLE}</style>\
         <rect width=\"{width:.0}\" height=\"{height:.0}\" rx=\"8\" style=\"fill:var(--card)\"/>\
         <text x=\"20\" y=\"28\" style=\"font-size:{size}px;font-weight:600\">{title}</text>{plots}\
         <text class=\"label\" x=\"20\" y=\"{above:.0}\" style=\"font-size:11px\">{place}</text>\
         <text class=\"label\" x=\"20\" y=\"{below:.0}\" style=\"font-size:11px\">{foot}</text></svg>\n",
        what = escape(what),
        title = escape(title),
        place = escape(&place),
        foot = escape(foot),
        size = if width < 500.0 { 13 } else { 16 },
        above = height - 28.0,
        below = height - 12.0,
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
