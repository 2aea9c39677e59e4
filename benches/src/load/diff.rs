//! Two kept comparisons of the same work: which differences are shown, which are not.
//!
//! The two were not run next to each other, so there is less to go by than within one: that the machine was
//! busier on one of the two days looks the same as a slower server. A change that shows up here is a reason
//! to measure both versions in one run, not a verdict.

use super::failure::Failure;
use super::report::{self, Case, Comparison, Metric, ServerResult};
use super::stats::{self, Difference, Direction, Ratio};
use crate::layout::{Layout, Table, printable};
use crate::{outln, text};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// What `diff` takes.
#[derive(Clone, Debug, clap::Args)]
pub struct Options {
    /// The JSON of `compare` or of a run, before
    #[arg(value_name = "OLD.json")]
    old: PathBuf,
    /// The JSON after
    #[arg(value_name = "NEW.json")]
    new: PathBuf,
    /// Print all columns of the tables, however wide they become; a pipe has 100 columns, a terminal its width
    #[arg(long)]
    wide: bool,
}

/// The figures that are compared, with their names and which way is better.
const FIGURES: [(Metric, &str, Direction); 6] = [
    (Metric::Rate, "requests per second", Direction::Higher),
    (Metric::P50, "p50", Direction::Lower),
    (Metric::P99, "p99", Direction::Lower),
    (Metric::Cpu, "CPU per request", Direction::Lower),
    (Metric::Switches, "switches per request", Direction::Lower),
    (Metric::Memory, "memory", Direction::Lower),
];

/// One figure of one server in one case, before and after.
#[derive(Clone, Debug, PartialEq)]
pub struct Change {
    /// The name of the case.
    pub case: String,
    /// The name of the server.
    pub server: String,
    /// What the figure is called.
    pub metric: &'static str,
    /// The median before, as people read it.
    pub old: String,
    /// And after.
    pub new: String,
    /// How many times as much it is after.
    pub ratio: Ratio,
    /// Whether that is for the better; `None` where no difference is shown.
    pub better: Option<bool>,
}

/// What comes of a comparison of two comparisons.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Changes {
    /// Differences that the rounds show.
    pub shown: Vec<Change>,
    /// What they do not show: there may be no difference, or too few rounds to see it.
    pub not_shown: Vec<Change>,
    /// What could not be compared, and why.
    pub left_out: Vec<String>,
}

/// Compares what both hold.
pub fn changes(old: &Comparison, new: &Comparison) -> Changes {
    let mut changes = Changes::default();
    for case in &new.cases {
        let Some(before) = old.cases.iter().find(|before| before.name == case.name) else {
            changes.left_out.push(format!("{}: only in the new file", case.name));
            continue;
        };
        if let Some(why) = other_work(before, case) {
            changes.left_out.push(format!("{}: {why}", case.name));
            continue;
        }
        for result in &case.results {
            match before.result(&result.server) {
                Some(before) => of_server(&mut changes, case, before, result),
                None => {
                    let line = format!("{}, {}: only in the new file", case.name, result.server);
                    changes.left_out.push(line);
                }
            }
        }
        for gone in before.results.iter().filter(|gone| case.result(&gone.server).is_none()) {
            changes.left_out.push(format!("{}, {}: only in the old file", case.name, gone.server));
        }
    }
    for gone in old.cases.iter().filter(|old| !new.cases.iter().any(|new| new.name == old.name)) {
        changes.left_out.push(format!("{}: only in the old file", gone.name));
    }
    changes
}

/// Why two cases of one name cannot be compared: figures of other work say nothing about a server.
fn other_work(old: &Case, new: &Case) -> Option<&'static str> {
    let mut old = old.workload.clone();
    // A run that lasts longer is the same work.
    (old.duration, old.warm_up, old.seed) =
        (new.workload.duration, new.workload.warm_up, new.workload.seed);
    (old != new.workload).then_some("the two files asked for different work")
}

fn of_server(changes: &mut Changes, case: &Case, old: &ServerResult, new: &ServerResult) {
    let runs = |result: &ServerResult| result.runs().count();
    if runs(old) == 0 || runs(new) == 0 {
        if runs(old) != runs(new) {
            let which = if runs(old) == 0 { "old" } else { "new" };
            changes
                .left_out
                .push(format!("{}, {}: failed in the {which} file", case.name, old.server));
        }
        return;
    }
    for (file, result) in [("old", old), ("new", new)] {
        for reason in result.invalid() {
            let line =
                format!("{}, {}: INVALID in the {file} file: {reason}", case.name, old.server);
            changes.left_out.push(line);
        }
    }
    if old.is_invalid() || new.is_invalid() {
        return;
    }
    for (metric, name, good) in FIGURES {
        let values = |result: &ServerResult| -> Vec<Option<f64>> {
            result.runs().map(|run| metric.of(run)).collect()
        };
        // Any pairs will do, since no round of the one belongs to one of the other.
        let pairs: Vec<_> = values(new).into_iter().zip(values(old)).collect();
        if pairs.iter().any(|(new, old)| [new, old].contains(&&Some(f64::INFINITY))) {
            changes.left_out.push(format!(
                "{}, {}, {name}: among requests without a reply",
                case.name, new.server
            ));
            continue;
        }
        let Some(ratio) = stats::ratio(&pairs, 1) else { continue };
        let difference = ratio.difference();
        let change = Change {
            case: case.name.clone(),
            server: new.server.clone(),
            metric: name,
            old: old.show(metric),
            new: new.show(metric),
            ratio,
            better: match difference {
                Difference::Shown(way) => Some(way == good),
                Difference::NotShown => None,
            },
        };
        match difference {
            Difference::Shown(_) => changes.shown.push(change),
            Difference::NotShown => changes.not_shown.push(change),
        }
    }
}

/// Runs `diff` as a program does.
pub fn main(options: &Options) -> ExitCode {
    let layout = Layout::of_stdout(options.wide);
    run(&options.old, &options.new, layout).unwrap_or_else(|failure| failure.report("loadgen"))
}

/// Reads both files and prints what is to be said.
///
/// # Errors
///
/// A file cannot be read.
pub fn run(old: &Path, new: &Path, layout: Layout) -> Result<ExitCode, Failure> {
    let (before, after) = (read(old)?, read(new)?);
    if before.driver != after.driver {
        let of = |comparison: &Comparison| comparison.driver.clone().unwrap_or("loadgen".into());
        let (was, is) = (of(&before), of(&after));
        let why = format!("the load of the one is {was}'s and of the other {is}'s: not comparable");
        return Err(Failure::Unusable(why));
    }
    let changes = changes(&before, &after);
    outln!("{} to {}", old.display(), new.display());
    if before.environment.machine != after.environment.machine {
        outln!(
            "TWO MACHINES: {}; and {}. What follows compares them, too.",
            before.environment.machine,
            after.environment.machine
        );
    }
    if changes.shown.is_empty() {
        outln!("\nNo difference is shown.");
    } else {
        outln!("\nDifferences shown:\n{}", layout.table(&table(&changes.shown)));
    }
    if !changes.not_shown.is_empty() {
        outln!(
            "\nNo difference shown (none, or too small for so few rounds):\n{}",
            layout.table(&table(&changes.not_shown))
        );
    }
    if !changes.left_out.is_empty() {
        outln!("\nNot compared:");
        changes
            .left_out
            .iter()
            .for_each(|line| outln!("{}", layout.text(&format!("- {}", printable(line)))));
    }
    let caution =
        "The two were not run next to each other: what looks like a change may be the machine's.";
    outln!("\n{}", layout.text(caution));
    Ok(ExitCode::SUCCESS)
}

/// The changes under the case and the server that they belong to.
fn table(changes: &[Change]) -> Table {
    let mut table =
        Table::new("figure").column("old", 1).column("new", 1).column("new to old", 0).words("", 0);
    let mut before = None;
    for change in changes {
        let of = (&change.case, &change.server);
        if before.replace(of) != Some(of) {
            table.section(&format!("{}, {}", change.case, change.server));
        }
        let interval = change
            .ratio
            .interval
            .map_or("one round".to_owned(), |(low, high)| format!("{low:.2} to {high:.2}"));
        table.row([
            change.metric.to_owned(),
            change.old.clone(),
            change.new.clone(),
            format!("{:.2} ({interval})", change.ratio.value),
            change.better.map_or("", |better| if better { "better" } else { "worse" }).to_owned(),
        ]);
    }
    table
}

/// A comparison that was kept, or a single run as a comparison of one round.
///
/// # Errors
///
/// It cannot be read, or is neither.
pub fn read(path: &Path) -> Result<Comparison, Failure> {
    let unusable = |why: String| Failure::Unusable(format!("{}: {why}", path.display()));
    let text = fs::read_to_string(path).map_err(|error| unusable(text::error(&error)))?;
    report::json::read_comparison(&text).or_else(|why| {
        let recording = report::json::read_recording(&text).map_err(|_| unusable(why))?;
        Ok(Comparison::alone(&recording.workload.clone(), &[recording], None))
    })
}

#[cfg(test)]
mod tests;
