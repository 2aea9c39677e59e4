//! What a comparison leaves: a table, the page, JSON, CSV, and an exit code.

use super::contestants::Contestant;
use crate::layout::Layout;
use crate::load::failure::INVALID;
use crate::load::process::myself;
use crate::load::recording::Recording;
use crate::load::report::{self, Chapter, Comparison, Metric, Timeline};
use crate::load::stats::Difference;
use crate::load::{timeline, verdict};
use crate::text::progress;
use crate::{errln, out, outln};
use std::io;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, Ordering};

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

impl Files {
    /// The timelines of the page. They stay next to the data of the page: the bench `ipc` writes the page again, with a
    /// chapter of its own. `None` if neither is a file.
    fn timelines(&self) -> Option<PathBuf> {
        let file = [&self.json, &self.html].into_iter().find(|path| !out::is_stdout(path))?;
        Some(file.with_file_name("timelines.json"))
    }

    /// Checks that all of them can be written, before the comparison is run.
    ///
    /// # Errors
    ///
    /// One cannot; the error names it.
    pub fn check(&self) -> io::Result<()> {
        let Files { html, json, csv, .. } = self;
        let timelines = self.timelines();
        let given = [("--html", html), ("--json", json), ("--summary-csv", csv)];
        let mut given: Vec<_> =
            given.iter().map(|(option, path)| (*option, Some(path.as_path()))).collect();
        given.push(("the timelines", timelines.as_deref()));
        out::check_all(&given)
    }
}

/// Writes page, JSON and CSV and then prints the table. `further` are chapters of the page behind those of the comparison.
///
/// # Errors
///
/// A file cannot be written; the others are, and the table is printed.
pub fn write_reports(
    comparison: &Comparison,
    timelines: &[Timeline],
    further: &[Chapter],
    files: &Files,
) -> io::Result<()> {
    let Files { html, json, csv, layout } = files;
    let page = report::page(comparison, timelines, further);
    let written = [
        report::json::comparison(&condensed(comparison))
            .and_then(|text| report::write(json, &text)),
        report::write(csv, &report::csv::runs_of(comparison)),
        files.timelines().map_or(Ok(()), |path| {
            let text = serde_json::to_string(timelines)?;
            report::write(&path, &text)
        }),
        report::write(html, &page),
    ];
    outln!("\n{}\n", layout.text(&comparison.environment.placement));
    outln!("{}", report::terminal::comparison(comparison, *layout));
    let failed: Vec<String> =
        written.into_iter().filter_map(Result::err).map(|error| error.to_string()).collect();
    if !failed.is_empty() {
        return Err(io::Error::other(failed.join("; ")));
    }
    let all: [&Path; 3] = [html, json, csv];
    let names: Vec<String> = all
        .into_iter()
        .filter(|path| !out::is_stdout(path))
        .map(|path| path.display().to_string())
        .collect();
    let written = format!("Written to {}", crate::text::listed(&names));
    outln!("\n{}", layout.text(&written));
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

/// Records the timelines of those contestants that are variants of a model; one that leaves no trace is left out. None
/// is begun once `stop` is set.
pub fn timelines(contestants: &[Contestant], stop: &AtomicBool) -> Vec<Timeline> {
    let mut timelines: Vec<Timeline> = Vec::new();
    if stop.load(Ordering::Relaxed) {
        return timelines;
    }
    for contestant in contestants {
        let Some(variant) = contestant.variant() else { continue };
        if timelines.iter().any(|known| known.server == variant.label) {
            continue;
        }
        if stop.load(Ordering::Relaxed) {
            progress("");
            errln!("no timeline of {}: interrupted", variant.label);
            continue;
        }
        progress(&format!("the timeline of {}", variant.label));
        match myself("serve").and_then(|serve| timeline::record(serve, variant)) {
            Ok(timeline) => timelines.push(timeline),
            Err(error) => errln!("no timeline of {}: {error}", variant.label),
        }
    }
    progress("");
    timelines
}

/// The exit code of a comparison in a benchmark, which a busy machine must not fail: 1 if a server failed in a round.
pub fn exit_code(comparison: &Comparison) -> ExitCode {
    let results = comparison.cases.iter().flat_map(|case| &case.results);
    let failed = results.into_iter().any(|result| result.rounds.iter().any(Option::is_none));
    ExitCode::from(u8::from(failed))
}

/// The exit code of a comparison on the command line: 1 if a server failed in a round, ended or answered nothing, or else
/// [`INVALID`] if figures are.
pub(super) fn strict_exit_code(comparison: &Comparison) -> ExitCode {
    let results: Vec<_> = comparison.cases.iter().flat_map(|case| &case.results).collect();
    let failed = |run: &Recording| run.totals.done == 0 || verdict::server_ended(run);
    if results.iter().any(|r| r.rounds.iter().any(Option::is_none) || r.runs().any(failed)) {
        return ExitCode::FAILURE;
    }
    match results.iter().any(|result| result.is_invalid()) {
        true => ExitCode::from(INVALID),
        false => ExitCode::SUCCESS,
    }
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::load::report::json;

    /// The comparison of a test of the reports: every run of it is valid.
    fn sample() -> Comparison {
        json::read_comparison(include_str!("../../../tests/comparison-schema-1.json")).unwrap()
    }

    #[test]
    fn exit_code_is_the_worst() {
        let mut comparison = sample();
        let runs = comparison.cases.iter_mut().flat_map(|case| &mut case.results);
        for run in runs.flat_map(|result| result.rounds.iter_mut().flatten()) {
            run.invalid.clear();
            run.totals.done = run.totals.done.max(1);
        }
        assert_eq!(strict_exit_code(&comparison), ExitCode::SUCCESS);
        let result = &mut comparison.cases[0].results[0];
        let whole = result.rounds.clone();
        let run = result.rounds.iter_mut().flatten().next().unwrap();
        run.invalid.push("the generator sent late".into());
        assert_eq!(strict_exit_code(&comparison), ExitCode::from(INVALID));
        assert_eq!(exit_code(&comparison), ExitCode::SUCCESS, "a benchmark on a busy machine");
        let result = &mut comparison.cases[0].results[0];
        result.rounds.iter_mut().flatten().next().unwrap().totals.done = 0;
        assert_eq!(strict_exit_code(&comparison), ExitCode::FAILURE);
        comparison.cases[0].results[0].rounds = whole;
        comparison.cases[0].results[0].rounds.push(None);
        assert_eq!(strict_exit_code(&comparison), ExitCode::FAILURE);
        assert_eq!(exit_code(&comparison), ExitCode::FAILURE);
    }

    #[test]
    fn timelines_stay_next_to_files() {
        let files = |json: &str, html: &str| Files {
            html: html.into(),
            json: json.into(),
            csv: "a.csv".into(),
            layout: Layout::of_width(80),
        };
        assert_eq!(files("x/a.json", "y/p.html").timelines(), Some("x/timelines.json".into()));
        assert_eq!(files("-", "y/p.html").timelines(), Some("y/timelines.json".into()));
        assert_eq!(files("-", "/dev/stdout").timelines(), None);
    }
}
