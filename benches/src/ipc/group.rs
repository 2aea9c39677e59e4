//! Cases that stand in one table, and how their figures are written.

use super::cases::{Cores, Mechanism, Pattern, Waiting, bytes};
use super::report::{Measured, Report, Verdict};
use crate::load::report::NONE;
use crate::load::stats::Ratio;

/// Cases that stand in one table: alike but for mechanism and size.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Group {
    /// In which directions.
    pub pattern: Pattern,
    /// Where.
    pub cores: Cores,
    /// What they do meanwhile.
    pub waiting: Waiting,
}

impl Group {
    /// Those of a report, in order.
    pub fn of(report: &Report) -> Vec<Group> {
        let mut groups = Vec::new();
        for pattern in [Pattern::RoundTrip, Pattern::OneWay] {
            for (cores, waiting) in [
                (Cores::One, Waiting::Sleeping),
                (Cores::Two, Waiting::Sleeping),
                (Cores::Two, Waiting::Spinning),
                (Cores::One, Waiting::Spinning),
            ] {
                let group = Group { pattern, cores, waiting };
                if group.results(report).any(|result| !result.outcomes.is_empty()) {
                    groups.push(group);
                }
            }
        }
        groups
    }

    /// Its results.
    pub fn results(self, report: &Report) -> impl Iterator<Item = &Measured> {
        report.results.iter().filter(move |result| {
            let case = &result.case;
            self == Group { pattern: case.pattern, cores: case.cores, waiting: case.waiting }
        })
    }

    /// The mechanisms in it, in order, each once.
    pub fn mechanisms(self, report: &Report) -> Vec<Mechanism> {
        let mut mechanisms: Vec<Mechanism> =
            self.results(report).map(|result| result.case.mechanism).collect();
        mechanisms.dedup();
        mechanisms
    }

    /// The sizes in it.
    pub fn sizes(self, report: &Report) -> Vec<usize> {
        let mut sizes: Vec<usize> = self.results(report).map(|result| result.case.size).collect();
        sizes.sort_unstable();
        sizes.dedup();
        sizes
    }

    /// In words: `Round trip, both on one core, sleeping`.
    pub fn title(self) -> String {
        let pattern = match self.pattern {
            Pattern::RoundTrip => "Round trip",
            Pattern::OneWay => "One way",
        };
        format!("{pattern}, {}, {}", self.cores.title(), self.waiting.title())
    }

    /// Figures by mechanism and size; the first row is the header.
    pub fn rows(self, report: &Report) -> Vec<Vec<String>> {
        let sizes = self.sizes(report);
        let mut header = vec![String::new()];
        header.extend(sizes.iter().map(|size| bytes(*size)));
        header.push("baseline".to_owned());
        let mut rows = vec![header];
        for mechanism in self.mechanisms(report) {
            let mut row = vec![mechanism.title().to_owned()];
            row.extend(sizes.iter().map(|&size| {
                let Group { pattern, cores, waiting } = self;
                report.find(mechanism, pattern, cores, waiting, size).map_or(NONE.to_owned(), cell)
            }));
            row.push(mechanism.baseline().to_owned());
            rows.push(row);
        }
        rows
    }
}

/// A figure and its ratio to the baseline: `4.61 µs ×1.02`.
fn cell(result: &Measured) -> String {
    let Some(own) = result.primary_nanos() else { return NONE.to_owned() };
    let mark = if result.verdict() == Some(Verdict::Missed) { " !" } else { "" };
    match result.to_baseline() {
        Some(ratio) => format!("{} ×{:.2}{mark}", nanos(own), ratio.value),
        None => format!("{} baseline", nanos(own)),
    }
}

/// Nanoseconds as people read them: `31 ns`, `4.61 µs`.
pub fn nanos(value: f64) -> String {
    let three = |value: f64| match value {
        v if v < 9.995 => format!("{v:.2}"),
        v if v < 99.95 => format!("{v:.1}"),
        v => format!("{v:.0}"),
    };
    match value {
        v if v < 999.5 => format!("{} ns", three(v)),
        v if v < 999.5e3 => format!("{} µs", three(v / 1e3)),
        v if v < 999.5e6 => format!("{} ms", three(v / 1e6)),
        v => format!("{} s", three(v / 1e9)),
    }
}

/// A ratio with its interval: `1.02 (0.99 to 1.04)`.
pub fn interval(ratio: Ratio) -> String {
    match ratio.interval {
        Some((low, high)) => format!("{:.2} ({low:.2} to {high:.2})", ratio.value),
        None => format!("{:.2} (one round)", ratio.value),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nanoseconds_have_three_digits() {
        assert_eq!(nanos(31.4), "31.4 ns");
        assert_eq!(nanos(110.2), "110 ns");
        assert_eq!(nanos(4_611.0), "4.61 µs");
        assert_eq!(nanos(51_000.0), "51.0 µs");
        assert_eq!(nanos(2.5e6), "2.50 ms");
    }
}
