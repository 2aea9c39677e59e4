//! What came of it: JSON that keeps every round, and a table for a terminal.

use super::cases::{Bound, Case, Cores, Course, Mechanism, Waiting, Who, bytes};
use crate::load::recording::Environment;
use crate::load::report::NONE;
use crate::load::stats::{self, Ratio};
use comfy_table::presets::UTF8_FULL_CONDENSED;
use comfy_table::{CellAlignment, ContentArrangement, Table};
use serde::{Deserialize, Serialize};
use std::fmt::Write as _;

/// The version of the JSON that a [`Report`] is written as.
pub const SCHEMA: u32 = 1;

/// As few rounds as a bound is judged by.
pub const ENOUGH: usize = 15;

/// All cases of one run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// [`SCHEMA`].
    pub schema: u32,
    /// Where and how it was run.
    pub environment: Environment,
    /// How many interleaved rounds were asked for.
    pub rounds: usize,
    /// For how many milliseconds each contestant was measured in each round; 0 for a few messages.
    pub millis: u64,
    /// What came of each case.
    pub results: Vec<Measured>,
}

/// What came of a case.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Measured {
    /// What was measured.
    #[serde(flatten)]
    pub case: Case,
    /// Why there is nothing; the rest is empty then.
    pub missing: Option<String>,
    /// For each who took part.
    pub outcomes: Vec<Outcome>,
}

/// How one of them did.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Outcome {
    /// Who.
    pub who: Who,
    /// How many messages, or round trips, were timed as one.
    pub messages: u64,
    /// Nanoseconds for one of them, in each round; the third of one and the third of another were run next to each other.
    pub nanos: Vec<Option<f64>>,
    /// Why rounds are missing.
    pub failure: Option<String>,
}

/// Whether a ratio is what it is to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It is.
    Kept,
    /// It is not.
    Missed,
    /// There were too few rounds to say.
    TooFew,
}

impl Report {
    /// The same from JSON.
    ///
    /// # Errors
    ///
    /// It is something else; the error says what is wrong in one line.
    pub fn read(json: &str) -> Result<Report, String> {
        let value: serde_json::Value =
            serde_json::from_str(json).map_err(|error| format!("no JSON: {error}"))?;
        match value.get("schema").and_then(serde_json::Value::as_u64) {
            Some(found) if found == u64::from(SCHEMA) => {}
            found => return Err(format!("no report of schema {SCHEMA}, but {found:?}")),
        }
        serde_json::from_value(value).map_err(|error| format!("no report: {error}"))
    }

    /// As JSON.
    ///
    /// # Errors
    ///
    /// A figure that JSON cannot hold.
    pub fn json(&self) -> serde_json::Result<String> {
        serde_json::to_string(self).map(|json| json + "\n")
    }

    /// What came of one case.
    pub fn find(
        &self,
        mechanism: Mechanism,
        course: Course,
        cores: Cores,
        waiting: Waiting,
        size: usize,
    ) -> Option<&Measured> {
        let case = Case { mechanism, course, cores, waiting, size };
        self.results.iter().find(|result| result.case == case)
    }

    /// Failures: not what the machine does not allow, but what went wrong.
    pub fn failures(&self) -> Vec<String> {
        let failures = self.results.iter().flat_map(|result| {
            result.outcomes.iter().filter_map(|outcome| {
                let why = outcome.failure.as_ref()?;
                Some(format!("{}, {}: {why}", result.case, outcome.who.title()))
            })
        });
        failures.collect()
    }
}

impl Measured {
    /// How one of them did.
    pub fn outcome(&self, who: Who) -> Option<&Outcome> {
        self.outcomes.iter().find(|outcome| outcome.who == who)
    }

    /// Nanoseconds of one of them: the median of the rounds.
    pub fn nanos(&self, who: Who) -> Option<f64> {
        stats::median_of(self.outcome(who)?.nanos.iter().copied())
    }

    /// Nanoseconds of the library, or of the bare calls where the library does not take part.
    pub fn usual(&self) -> Option<f64> {
        match self.outcome(Who::Library) {
            Some(_) => self.nanos(Who::Library),
            None => self.nanos(Who::Bare),
        }
    }

    /// How many times as long one of them takes as another, over the rounds.
    pub fn ratio(&self, who: Who, to: Who) -> Option<Ratio> {
        let (who, to) = (self.outcome(who)?, self.outcome(to)?);
        let pairs: Vec<_> = who.nanos.iter().copied().zip(to.nanos.iter().copied()).collect();
        stats::ratio(&pairs, 1)
    }

    /// The library's ratio to its floor.
    pub fn to_floor(&self) -> Option<Ratio> {
        self.ratio(Who::Library, self.case.floor())
    }

    /// What is to be said of that ratio; `None` where nothing was promised or nothing is there.
    pub fn verdict(&self) -> Option<Verdict> {
        let bound = self.case.bound()?;
        let ratio = self.to_floor()?;
        let low = ratio.interval.map_or(ratio.value, |(low, _)| low);
        Some(match bound {
            _ if ratio.rounds < ENOUGH => Verdict::TooFew,
            Bound::Reaches(most) if low <= most => Verdict::Kept,
            Bound::AtMost(most) if ratio.value <= most => Verdict::Kept,
            Bound::Reaches(_) | Bound::AtMost(_) => Verdict::Missed,
        })
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

/// Cases that stand in one table: alike but for mechanism and size.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Group {
    /// In which directions.
    pub course: Course,
    /// Where.
    pub cores: Cores,
    /// What they do meanwhile.
    pub waiting: Waiting,
}

impl Group {
    /// Those that there are, in order.
    pub fn of(report: &Report) -> Vec<Group> {
        let mut groups = Vec::new();
        for course in [Course::RoundTrip, Course::OneWay] {
            for (cores, waiting) in [
                (Cores::One, Waiting::Sleeping),
                (Cores::Two, Waiting::Sleeping),
                (Cores::Two, Waiting::Spinning),
                (Cores::One, Waiting::Spinning),
            ] {
                let group = Group { course, cores, waiting };
                if group.results(report).any(|result| !result.outcomes.is_empty()) {
                    groups.push(group);
                }
            }
        }
        groups
    }

    /// What belongs to it.
    pub fn results(self, report: &Report) -> impl Iterator<Item = &Measured> {
        report.results.iter().filter(move |result| {
            let case = &result.case;
            self == Group { course: case.course, cores: case.cores, waiting: case.waiting }
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
        let course = match self.course {
            Course::RoundTrip => "Round trip",
            Course::OneWay => "One way",
        };
        format!("{course}, {}, {}", self.cores.title(), self.waiting.title())
    }

    /// Figures by mechanism and size; the first row is the head.
    pub fn rows(self, report: &Report) -> Vec<Vec<String>> {
        let sizes = self.sizes(report);
        let mut head = vec![String::new()];
        head.extend(sizes.iter().map(|size| bytes(*size)));
        head.push("floor".to_owned());
        let mut rows = vec![head];
        for mechanism in self.mechanisms(report) {
            let mut row = vec![mechanism.title().to_owned()];
            row.extend(sizes.iter().map(|&size| {
                let Group { course, cores, waiting } = self;
                report.find(mechanism, course, cores, waiting, size).map_or(NONE.to_owned(), cell)
            }));
            row.push(mechanism.floor().to_owned());
            rows.push(row);
        }
        rows
    }
}

/// A figure and its ratio to the floor: `4.61 µs ×1.02`.
fn cell(result: &Measured) -> String {
    let Some(usual) = result.usual() else { return NONE.to_owned() };
    let mark = if result.verdict() == Some(Verdict::Missed) { " !" } else { "" };
    match result.to_floor() {
        Some(ratio) => format!("{} ×{:.2}{mark}", nanos(usual), ratio.value),
        None => format!("{} bare", nanos(usual)),
    }
}

/// Why there is "-", each reason once with what it concerns.
pub fn reasons(report: &Report) -> Vec<String> {
    let mut reasons: Vec<(String, Vec<String>)> = Vec::new();
    for result in &report.results {
        let Some(why) = &result.missing else { continue };
        let case = &result.case;
        let what = match case.cores {
            _ if case.senseless().is_some() => {
                format!(
                    "{}, {}, {}",
                    case.mechanism.title(),
                    case.course.title(),
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
    let said = reasons.into_iter();
    said.map(|(why, concerned)| format!("{}: {why}", concerned.join("; "))).collect()
}

/// What is to be said of the bounds, in a sentence, and then each that was missed.
pub fn judged(report: &Report) -> Vec<String> {
    let count = |verdict| report.results.iter().filter(|r| r.verdict() == Some(verdict)).count();
    let (kept, missed) = (count(Verdict::Kept), count(Verdict::Missed));
    let mut said = Vec::new();
    if kept + missed > 0 {
        said.push(format!(
            "{kept} of {} ratios to the floor are within their bounds (marked ! where not).",
            kept + missed
        ));
    }
    if count(Verdict::TooFew) > 0 {
        said.push(format!("No bound is judged by fewer than {ENOUGH} rounds."));
    }
    for result in report.results.iter().filter(|r| r.verdict() == Some(Verdict::Missed)) {
        if let (Some(ratio), Some(bound)) = (result.to_floor(), result.case.bound()) {
            let wanted = match bound {
                Bound::Reaches(most) => format!("is to reach {most}"),
                Bound::AtMost(most) => format!("is to be at most {most}"),
            };
            said.push(format!("! {}: {}, {wanted}", result.case, interval(ratio)));
        }
    }
    said
}

/// All of it as tables.
pub fn table(report: &Report) -> String {
    let mut out = String::new();
    for group in Group::of(report) {
        let _ = writeln!(
            out,
            "{}: for one {}",
            group.title(),
            match group.course {
                Course::RoundTrip => "there and back",
                Course::OneWay => "message",
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
        "A figure is the median of the rounds ({}); × is the library's time as a ratio to that of its floor, the bare calls of the \
         last column, in the same rounds.",
        report.rounds
    );
    if report.results.iter().any(|r| r.outcome(Who::Iceoryx2).is_some()) {
        let _ = writeln!(out, "\niceoryx2 (publish and subscribe, spinning) beside the ring:");
        for result in &report.results {
            if let Some(theirs) = result.nanos(Who::Iceoryx2) {
                let ratio = result.ratio(Who::Library, Who::Iceoryx2).map_or(NONE.into(), interval);
                let case = result.case;
                let _ = writeln!(
                    out,
                    "  {}, {}: {}; the library takes {ratio} times that",
                    bytes(case.size),
                    case.course.title(),
                    nanos(theirs)
                );
            }
        }
    }
    for reason in reasons(report) {
        let _ = writeln!(out, "- {reason}");
    }
    for said in judged(report) {
        let _ = writeln!(out, "{said}");
    }
    for failure in report.failures() {
        let _ = writeln!(out, "FAILED {failure}");
    }
    out
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::ipc::cases::{SIZES, all};

    /// A report of figures that are known: the library takes `factor` times as long as its floor.
    pub fn made_up(factor: f64, rounds: usize) -> Report {
        let result = |case: Case| {
            let missing = case.senseless().map(str::to_owned).or_else(|| {
                let long = case.mechanism == Mechanism::SysvQueue && case.size > 8192;
                long.then(|| {
                    format!("message length in bytes of {}, allowed are 1 to 8192", case.size)
                })
            });
            let base = match case.waiting {
                Waiting::Spinning => 60.0,
                Waiting::Sleeping if case.cores == Cores::One => 4_000.0,
                Waiting::Sleeping => 50_000.0,
            };
            let base = base + case.size as f64 * 0.1 + case.mechanism as u32 as f64 * 7.0;
            let outcome = |who: Who| {
                let times = if who == Who::Library { factor } else { 1.0 };
                let nanos = (0..rounds).map(|round| {
                    let noise = 1.0 + 0.01 * f64::from((round * 7 % 5) as u32);
                    Some((base * times * noise * 1e3).round() / 1e3)
                });
                let nanos: Vec<_> = nanos.collect();
                Outcome { who, messages: 1000, nanos, failure: None }
            };
            let outcomes = match missing {
                Some(_) => Vec::new(),
                None => case.contestants().into_iter().map(outcome).collect(),
            };
            Measured { case, missing, outcomes }
        };
        let environment = Environment {
            machine: "A <machine> that nobody has built, 2 cores".to_owned(),
            command: "cargo bench --bench ipc".to_owned(),
            started: 1_764_000_000,
            placement: "near on core 1, far on core 0".to_owned(),
        };
        let results = all(&SIZES).into_iter().map(result).collect();
        Report { schema: SCHEMA, environment, rounds, millis: 10, results }
    }

    #[test]
    fn json_there_and_back() {
        let report = made_up(1.02, 3);
        assert!(Report::read(&report.json().unwrap()) == Ok(report), "something got lost");
        assert!(Report::read("{").unwrap_err().contains("no JSON"));
        assert!(Report::read("{}").unwrap_err().contains("schema"));
        assert!(Report::read(r#"{"schema":1}"#).unwrap_err().contains("environment"));
    }

    #[test]
    fn bounds_are_judged_by_enough_rounds() {
        let verdicts = |report: &Report| -> Vec<Verdict> {
            report.results.iter().filter_map(Measured::verdict).collect()
        };
        assert!(verdicts(&made_up(1.02, 15)).iter().all(|verdict| *verdict == Verdict::Kept));
        assert!(verdicts(&made_up(1.5, 15)).iter().all(|verdict| *verdict == Verdict::Missed));
        assert!(verdicts(&made_up(1.0, 14)).iter().all(|verdict| *verdict == Verdict::TooFew));
        // Ring and system calls have different ones.
        let some = made_up(1.25, 15);
        let kept = some.results.iter().filter(|result| result.verdict() == Some(Verdict::Kept));
        let kept: Vec<String> = kept.map(|result| result.case.to_string()).collect();
        assert_eq!(
            kept,
            [
                "ring, 100 B, round trip, two cores, spinning",
                "ring, 100 B, one way, two cores, spinning"
            ]
        );
        assert!(judged(&some)[1..].iter().all(|line| line.contains("1.25 (1.25 to 1.25)")));
    }

    #[test]
    fn the_table_says_everything() {
        let table = table(&made_up(1.02, 15));
        for said in [
            "Round trip, both on one core, sleeping: for one there and back",
            "One way, each on a core of its own, spinning: for one message",
            "×1.02",
            " bare",
            "SysV queue of 16 KiB; SysV queue of 64 KiB: message length in bytes",
            "take turns by the clock",
            "are within their bounds",
        ] {
            assert!(table.contains(said), "{said}\n{table}");
        }
        for mechanism in Mechanism::ALL {
            assert!(table.contains(mechanism.title()), "{mechanism:?}");
        }
        assert!(!table.contains("FAILED") && !table.contains("NaN"));
    }

    #[test]
    fn failures_are_told_and_are_no_figures() {
        let mut report = made_up(1.0, 3);
        let outcome = &mut report.results[0].outcomes[0];
        outcome.nanos = vec![None; 3];
        outcome.failure = Some("the Far end: WRONG DATA: message 7".to_owned());
        assert_eq!(report.results[0].usual(), None);
        assert_eq!(report.results[0].to_floor(), None);
        assert!(table(&report).contains(
            "FAILED pipe, 8 B, round trip, one core, sleeping, library: the Far end: WRONG"
        ));
    }

    #[test]
    fn times_are_read_by_people() {
        assert_eq!(nanos(31.4), "31.4 ns");
        assert_eq!(nanos(110.2), "110 ns");
        assert_eq!(nanos(4_611.0), "4.61 µs");
        assert_eq!(nanos(51_000.0), "51.0 µs");
        assert_eq!(nanos(2.5e6), "2.50 ms");
    }
}
