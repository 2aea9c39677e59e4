//! A report as tables for a terminal, and the lines below them.

use super::cases::{Bound, Contestant, Pattern, bytes};
use super::group::{Group, interval, nanos};
use super::report::{ENOUGH, Report, Verdict};
use crate::layout::{Layout, Table};
use crate::load::report::NONE;
use std::fmt::Write as _;

/// A report as tables for a terminal.
pub fn table(report: &Report, layout: Layout) -> String {
    let mut out = String::new();
    for group in Group::of(report) {
        let title = format!(
            "{}: for one {}",
            group.title(),
            match group.pattern {
                Pattern::RoundTrip => "there and back",
                Pattern::OneWay => "message",
            }
        );
        let _ = writeln!(out, "{}", layout.text(&title));
        let mut rows = group.rows(report).into_iter();
        let header = rows.next().unwrap_or_default();
        let mut table = Table::new("mechanism");
        for (nth, heading) in header.iter().enumerate().skip(1) {
            // The least and the greatest size stay longest.
            table = match nth + 1 == header.len() {
                true => table.words(heading, header.len()),
                false if nth == 1 => table.column(heading, 0),
                false if nth + 2 == header.len() => table.column(heading, 1),
                false => table.column(heading, nth),
            };
        }
        rows.for_each(|row| table.row(row));
        let _ = writeln!(out, "{}", layout.table(&table));
    }
    let mut line = |text: String| {
        let _ = writeln!(out, "{}", layout.text(&text));
    };
    line(format!(
        "A figure is the median of the rounds ({}); × is the library's time as a ratio to that of its baseline, the calls of the \
         last column, in the same rounds.",
        report.rounds
    ));
    if report.results.iter().any(|r| r.outcome(Contestant::Iceoryx2).is_some()) {
        line(String::new());
        line("iceoryx2 (publish and subscribe, spinning) next to the ring:".to_owned());
        for result in &report.results {
            if let Some(theirs) = result.nanos(Contestant::Iceoryx2) {
                let ratio = result
                    .ratio(Contestant::Library, Contestant::Iceoryx2)
                    .map_or(NONE.into(), interval);
                let case = result.case;
                line(format!(
                    "- {}, {}: {}; the library takes {ratio} times that",
                    bytes(case.size),
                    case.pattern.title(),
                    nanos(theirs)
                ));
            }
        }
    }
    reasons(report).iter().for_each(|reason| line(format!("- {reason}")));
    verdicts(report).into_iter().for_each(&mut line);
    report.failures().iter().for_each(|failure| line(format!("FAILED {failure}")));
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
        lines.push(format!("Bounds are judged with {ENOUGH} rounds or more."));
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
