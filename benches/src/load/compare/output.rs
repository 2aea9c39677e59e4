//! What a comparison leaves: a table, the page, JSON, CSV, and an exit code.

use super::contestants::Contestant;
use crate::layout::Layout;
use crate::load::process::myself;
use crate::load::report::{self, Chapter, Comparison, Metric, Timeline};
use crate::load::stats::Difference;
use crate::load::timeline;
use crate::text::progress;
use std::io;
use std::path::PathBuf;
use std::process::ExitCode;

/// Where the reports of a comparison go.
#[derive(Clone, Debug)]
pub struct Files {
    /// The page.
    pub html: PathBuf,
    /// Everything, for other programs and for [`crate::load::diff`].
    pub json: PathBuf,
    /// A row for each run.
    pub csv: PathBuf,
    /// How the table on standard output is laid out.
    pub layout: Layout,
}

/// Prints the table and writes page, JSON and CSV. `further` are chapters of the page behind those of the comparison.
///
/// # Errors
///
/// The file system refuses.
pub fn write_reports(
    comparison: &Comparison,
    timelines: &[Timeline],
    further: &[Chapter],
    files: &Files,
) -> io::Result<()> {
    let Files { html, json, csv, layout } = files;
    println!("\n{}\n", layout.text(&comparison.environment.placement));
    println!("{}", report::terminal::comparison(comparison, *layout));
    let small = condensed(comparison);
    report::write(json, &report::json::comparison(&small)?)?;
    report::write(csv, &report::csv::runs_of(comparison))?;
    // The data of the page stays next to it: the bench `ipc` writes the page again, with a chapter of its own.
    report::write(&json.with_file_name("timelines.json"), &serde_json::to_string(timelines)?)?;
    report::write(html, &report::page(comparison, timelines, further))?;
    let written =
        format!("Written to {}, {} and {}", html.display(), json.display(), csv.display());
    println!("\n{}", layout.text(&written));
    Ok(())
}

fn condensed(comparison: &Comparison) -> Comparison {
    let mut small = comparison.clone();
    for result in small.cases.iter_mut().flat_map(|case| &mut case.results) {
        for recording in result.rounds.iter_mut().flatten() {
            *recording = report::json::condensed(recording);
        }
    }
    small
}

/// Records the timelines of those contestants that are variants of a model; one that leaves no trace is left out.
pub fn timelines(contestants: &[Contestant]) -> Vec<Timeline> {
    let mut timelines: Vec<Timeline> = Vec::new();
    for contestant in contestants {
        let Some(variant) = contestant.variant() else { continue };
        if timelines.iter().any(|known| known.server == variant.label) {
            continue;
        }
        progress(&format!("the timeline of {}", variant.label));
        match myself("serve").and_then(|serve| timeline::record(serve, variant)) {
            Ok(timeline) => timelines.push(timeline),
            Err(error) => eprintln!("no timeline of {}: {error}", variant.label),
        }
    }
    progress("");
    timelines
}

/// The exit code of a comparison: 1 if a server failed in a round.
pub fn exit_code(comparison: &Comparison) -> ExitCode {
    let results = comparison.cases.iter().flat_map(|case| &case.results);
    let failed = results.into_iter().any(|result| result.rounds.iter().any(Option::is_none));
    ExitCode::from(u8::from(failed))
}

/// The differences of a server from itself, in a line.
pub(super) fn self_check(comparison: &Comparison) -> String {
    let mut shown = Vec::new();
    let mut compared = 0;
    for case in &comparison.cases {
        let [one, again, ..] = case.results.as_slice() else { continue };
        for metric in [Metric::Rate, Metric::P50, Metric::P99, Metric::Cpu] {
            let Some(ratio) = case.ratio(metric, &again.server, &one.server) else { continue };
            compared += 1;
            if ratio.difference() != Difference::NotShown {
                shown.push(format!("{} {metric:?} {}", case.name, report::ratio_text(Some(ratio))));
            }
        }
    }
    match shown.len() {
        0 => format!("A/A: {compared} figures of one server under two names, no difference shown"),
        n => format!(
            "A/A: {n} of {compared} figures of one server under two names differ, of which chance explains one in 20: {}",
            shown.join("; ")
        ),
    }
}
