//! One attempt at a rate, and whether the bound held in it.

use super::bracket::Verdict;
use crate::load::recording::Recording;
use crate::load::verdict::{self, Bounds};
use std::time::Duration;

/// A percentile, and what it may be at most.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Bound {
    /// Between 0 and 100.
    pub percentile: f64,
    /// How long it may be.
    pub time: Duration,
}

/// Parses `p99=5ms` or `p99.9=500us`.
///
/// # Errors
///
/// It is something else.
pub(super) fn parse_bound(words: &str) -> Result<Bound, String> {
    let usage = || format!("{words:?} is no bound; p99=5ms is one (us, ms and s are known)");
    let (percentile, time) = words.split_once('=').ok_or_else(usage)?;
    let percentile = percentile.strip_prefix('p').and_then(|p| p.parse().ok()).ok_or_else(usage)?;
    let units = [("us", 1e-6), ("µs", 1e-6), ("ms", 1e-3), ("s", 1.0)];
    let time = units.iter().find_map(|(unit, factor)| {
        let number: f64 = time.strip_suffix(unit)?.trim().parse().ok()?;
        Duration::try_from_secs_f64(number * factor).ok()
    });
    let time = time.filter(|time| !time.is_zero()).ok_or_else(usage)?;
    if !(0.0..=100.0).contains(&percentile) {
        return Err(usage());
    }
    Ok(Bound { percentile, time })
}

/// The outcome of one attempt at a rate.
#[derive(Clone, Debug)]
pub(super) struct Attempt {
    pub(super) rate: f64,
    pub(super) verdict: Verdict,
    /// The percentile of the bound; the longest reply, if it falls among requests that were not answered.
    pub(super) time: Duration,
    /// Whether it does.
    pub(super) unanswered: bool,
    /// Why the verdict is not that the bound holds.
    pub(super) reason: Option<String>,
}

/// Judges a run at a rate.
pub(super) fn judge(bound: Bound, rate: f64, recording: &Recording) -> Attempt {
    let totals = &recording.totals;
    let found = recording.response_percentile(bound.percentile);
    let unanswered = found.is_some_and(f64::is_infinite);
    let longest = recording.response_time.0.max();
    let nanos = found.filter(|nanos| nanos.is_finite()).map_or(longest, |nanos| nanos as u64);
    let time = Duration::from_nanos(nanos);
    let errors: u64 = recording.errors.values().sum();
    let dropped = totals.dropped as f64 / totals.planned.max(1) as f64;
    // A generator that is late itself makes the server look late.
    let own = verdict::own_reasons(recording, &Bounds::default()).len();
    let late = own > 0;
    // Times count from what was planned: within the bound in spite of the generator is within the bound.
    let in_spite = late && recording.invalid.len() == own;
    let (verdict, reason) = if errors > 0 {
        (Verdict::Breaks, Some(format!("{errors} errors")))
    } else if totals.done == 0 {
        (Verdict::Breaks, Some("nothing was answered".into()))
    } else if unanswered || time > bound.time {
        (Verdict::Breaks, None)
    } else if dropped > 0.01 {
        (Verdict::Breaks, Some(format!("{:.1}% dropped", 100.0 * dropped)))
    } else if let Some(first) = recording.invalid.first().filter(|_| !in_spite) {
        (Verdict::Unknown, Some(first.clone()))
    } else {
        (Verdict::Holds, None)
    };
    match (verdict, recording.invalid.first()) {
        (Verdict::Breaks, Some(first)) if late && errors == 0 => {
            let (verdict, reason) = (Verdict::Unknown, Some(first.clone()));
            Attempt { rate, verdict, time, unanswered, reason }
        }
        _ => Attempt { rate, verdict, time, unanswered, reason },
    }
}

/// The verdict of most attempts; a tie is decided against the server.
pub(super) fn majority(attempts: &[Attempt]) -> Verdict {
    let count = |verdict| attempts.iter().filter(|attempt| attempt.verdict == verdict).count();
    if 2 * count(Verdict::Holds) > attempts.len() {
        Verdict::Holds
    } else if count(Verdict::Unknown) > count(Verdict::Breaks) {
        Verdict::Unknown
    } else {
        Verdict::Breaks
    }
}
