//! A report as tables for a terminal, and the lines below them.

use super::cases::{Bound, Contestant, Pattern, bytes};
use super::group::{Group, interval, nanos};
use super::report::{ENOUGH, Report, Verdict};
use crate::load::report::NONE;
use comfy_table::presets::UTF8_FULL_CONDENSED;
use comfy_table::{CellAlignment, ContentArrangement, Table};
use std::fmt::Write as _;

/// A report as tables for a terminal.
pub fn table(report: &Report) -> String {
    let mut out = String::new();
    for group in Group::of(report) {
        let _ = writeln!(
            out,
            "{}: for one {}",
            group.title(),
            match group.pattern {
                Pattern::RoundTrip => "there and back",
                Pattern::OneWay => "message",
            }
        );
        let mut rows = group.rows(report).into_iter();
        let mut table = Table::new();
        table.load_style(UTF8_FULL_CONDENSED).set_content_arrangement(ContentArrangement::Dynamic);
        table.set_header(rows.next().unwrap_or_default());
        table.add_rows(rows);
        for column in table.column_iter_mut().skip(1) {
            column.set_cell_alignment(CellAlignment::Right);
        }
        let _ = writeln!(out, "{table}\n");
    }
    let _ = writeln!(
        out,
        "A figure is the median of the rounds ({}); × is the library's time as a ratio to that of its baseline, the calls of the \
         last column, in the same rounds.",
        report.rounds
    );
    if report.results.iter().any(|r| r.outcome(Contestant::Iceoryx2).is_some()) {
        let _ = writeln!(out, "\niceoryx2 (publish and subscribe, spinning) next to the ring:");
        for result in &report.results {
            if let Some(theirs) = result.nanos(Contestant::Iceoryx2) {
                let ratio = result
                    .ratio(Contestant::Library, Contestant::Iceoryx2)
                    .map_or(NONE.into(), interval);
                let case = result.case;
                let _ = writeln!(
                    out,
                    "  {}, {}: {}; the library takes {ratio} times that",
                    bytes(case.size),
                    case.pattern.title(),
                    nanos(theirs)
                );
            }
        }
    }
    for reason in reasons(report) {
        let _ = writeln!(out, "- {reason}");
    }
    for line in verdicts(report) {
        let _ = writeln!(out, "{line}");
    }
    for failure in report.failures() {
        let _ = writeln!(out, "FAILED {failure}");
    }
    out
}

/// Why there is "-", each reason once with what it concerns.
pub fn reasons(report: &Report) -> Vec<String> {
    let mut reasons: Vec<(String, Vec<String>)> = Vec::new();
    for result in &report.results {
        let Some(why) = &result.missing else { continue };
        let case = &result.case;
        let what = match case.cores {
            _ if case.exclusion().is_some() => {
                format!(
                    "{}, {}, {}",
                    case.mechanism.title(),
                    case.pattern.title(),
                    case.waiting.title()
                )
            }
            _ => format!("{} of {}", case.mechanism.title(), bytes(case.size)),
        };
        let kind = |why: &str| why.replace(|c: char| c.is_ascii_digit(), "");
        match reasons.iter_mut().find(|(known, _)| kind(known) == kind(why)) {
            Some((_, concerned)) if concerned.contains(&what) => {}
            Some((_, concerned)) => concerned.push(what),
            None => reasons.push((why.clone(), vec![what])),
        }
    }
    reasons.into_iter().map(|(why, concerned)| format!("{}: {why}", concerned.join("; "))).collect()
}

/// How many ratios are within their bounds, and then each that is not.
pub fn verdicts(report: &Report) -> Vec<String> {
    let count = |verdict| report.results.iter().filter(|r| r.verdict() == Some(verdict)).count();
    let (kept, missed) = (count(Verdict::Kept), count(Verdict::Missed));
    let mut lines = Vec::new();
    if kept + missed > 0 {
        lines.push(format!(
            "{kept} of {} ratios to the baseline are within their bounds (marked ! where not).",
            kept + missed
        ));
    }
    if count(Verdict::TooFew) > 0 {
        lines.push(format!("No bound is judged by fewer than {ENOUGH} rounds."));
    }
    for result in report.results.iter().filter(|r| r.verdict() == Some(Verdict::Missed)) {
        if let (Some(ratio), Some(bound)) = (result.to_baseline(), result.case.bound()) {
            let wanted = match bound {
                Bound::Reaches(most) => format!("is to reach {most}"),
                Bound::AtMost(most) => format!("is to be at most {most}"),
            };
            lines.push(format!("! {}: {}, {wanted}", result.case, interval(ratio)));
        }
    }
    lines
}

#[cfg(test)]
mod tests;
