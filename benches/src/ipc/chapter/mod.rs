//! The chapter of the comparison's page: latency by mechanism and size, and which mechanism when.

mod choice;
mod plots;
#[cfg(test)]
mod tests;

use super::cases::{Cores, NUMBER, USUAL};
use super::group::Group;
use super::report::Report;
use super::table;
use crate::load::report::{self as reports, Chapter, Comparison, Figure, NONE, Timeline, json};
use std::fs;
use std::io;
use std::path::Path;

/// The chapters that a directory has figures for: none, or one.
pub fn chapters(directory: &Path) -> Vec<Chapter> {
    let text = fs::read_to_string(directory.join("ipc.json")).unwrap_or_default();
    Report::read(&text).iter().map(chapter).collect()
}

/// Writes the page in `directory` again, from the figures that are saved there: those of the models, where there are any,
/// and these.
///
/// # Errors
///
/// Those of writing the file.
pub fn rewrite(directory: &Path) -> io::Result<()> {
    let text = |name: &str| fs::read_to_string(directory.join(name)).unwrap_or_default();
    let further = chapters(directory);
    let comparison = json::read_comparison(&text("comparison.json"));
    let environment = Report::read(&text("ipc.json")).map(|report| report.environment);
    let comparison = comparison.unwrap_or_else(|_| Comparison {
        schema: reports::SCHEMA,
        environment: environment.unwrap_or_default(),
        driver: None,
        baseline: None,
        cases: Vec::new(),
    });
    let timelines: Vec<Timeline> =
        serde_json::from_str(&text("timelines.json")).unwrap_or_default();
    let page = reports::page(&comparison, &timelines, &further);
    reports::write(&directory.join("index.html"), &page)
}

/// The chapter of one report.
pub fn chapter(report: &Report) -> Chapter {
    let mut figures: Vec<Figure> = vec![choice::which_one_when(report)];
    for group in Group::of(report) {
        figures.extend(plots::by_size(report, group));
    }
    for cores in [Cores::One, Cores::Two] {
        figures.extend(plots::of_numbers(report, cores));
    }
    figures.extend(plots::of_ratios(report));
    let reasons = table::reasons(report).into_iter().map(|why| (NONE.to_owned(), why));
    let verdicts = table::verdicts(report).into_iter();
    let verdicts = verdicts.map(|line| match line.strip_prefix("! ") {
        Some(missed) => ("!".to_owned(), missed.to_owned()),
        None => (String::new(), line),
    });
    let failures = report.failures().into_iter().map(|failure| ("!".to_owned(), failure));
    Chapter {
        id: "ipc".to_owned(),
        title: "Between processes".to_owned(),
        intro: format!(
            "How long two processes take to exchange a message, by every mechanism of the crate ipc: {}. {}. The \
             baseline is the same system calls without the library. {} rounds, in which the library and its baseline ran next to each \
             other; points are medians.",
            report.environment.machine, report.environment.placement, report.rounds
        ),
        figures,
        notes: reasons.chain(verdicts).chain(failures).collect(),
    }
}

/// The size that stands for all in this report.
fn representative_size(report: &Report) -> usize {
    let sizes = report.results.iter().map(|result| result.case.size);
    let sizes: Vec<usize> = sizes.filter(|size| *size != NUMBER).collect();
    match sizes.contains(&USUAL) {
        true => USUAL,
        false => sizes.into_iter().min().unwrap_or(NUMBER),
    }
}
