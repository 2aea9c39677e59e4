//! The picture of a comparison, for a README.

use super::figures::{latency_plot, rate_plot};
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
         <text class=\"label\" x=\"20\" y=\"{above:.0}\" style=\"font-size:11px\">{place}</text>\
         <text class=\"label\" x=\"20\" y=\"{foot:.0}\" style=\"font-size:11px\">Medians of interleaved rounds; \
         a hollow marker with ! is not to be believed, {NONE} is no metric.</text></svg>\n",
        title = escape(&title),
        place = escape(&place),
        above = height - 28.0,
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
