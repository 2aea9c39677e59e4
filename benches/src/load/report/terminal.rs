//! Runs and comparisons as text for a terminal, laid out for its width.

use super::tables::{
    NEAR, case_ratio, ceiling_note, course_columns, is_near, notes_of, percentile_rows, summary,
};
use super::{Case, Comparison, Metric, Recording, ServerResult, is_idle, memory, metric};
use crate::layout::{Layout, Table, printable};
use crate::load::recording::Sample;
use crate::load::stats::{self, Difference};
use crate::load::workload::Workload;
use crate::text::{bytes, digits, whole};
use std::fmt::Write as _;

/// The figures of one run.
pub fn recording(run: &Recording, layout: Layout) -> String {
    let mut out = String::new();
    let totals = &run.totals;
    let head = format!(
        "{}: {} in {} s, {} requests answered, {} read, {} written",
        printable(&run.server),
        Metric::Rate.show_of(std::iter::once(run)),
        digits(run.seconds),
        whole(totals.done as f64),
        bytes(totals.bytes_in as f64),
        bytes(totals.bytes_out as f64)
    );
    let _ = writeln!(out, "{}\n", layout.text(&head));
    let mut rows = percentile_rows(run).into_iter();
    let mut table = Table::new("");
    for heading in rows.next().unwrap_or_default().iter().skip(1) {
        // The median, the 99th percentile and the greatest stay longest.
        table = table.column(heading, usize::from(matches!(heading.as_str(), "p90" | "p99.9")));
    }
    rows.for_each(|row| table.row(row));
    let _ = writeln!(out, "{}", layout.table(&table));
    out.push_str(&layout.pairs(&summary(run)));
    for why in &run.invalid {
        let _ = writeln!(out, "{}", layout.text(&format!("INVALID: {}", printable(why))));
    }
    for note in &run.notes {
        let _ = writeln!(out, "{}", layout.text(&format!("Note: {}", printable(note))));
    }
    out
}

/// A table for every case: medians of the rounds, and ratios to the baseline with their intervals.
pub fn comparison(comparison: &Comparison, layout: Layout) -> String {
    let mut out = String::new();
    if let Some(driver) = &comparison.driver {
        let _ = writeln!(out, "load by {}\n", printable(driver));
    }
    for case in &comparison.cases {
        let baseline = comparison.baseline_of(case).unwrap_or_default();
        let mut title = format!("{} ({})", printable(&case.title), printable(&case.name));
        if case.results.len() > 1 {
            let _ = write!(title, "; ratios are to {}", printable(baseline));
        }
        let _ = writeln!(out, "{}", layout.text(&title));
        let rows: Vec<(&str, &ServerResult)> =
            case.results.iter().map(|result| (result.server.as_str(), result)).collect();
        let ratio = |result: &ServerResult| ratio_cell(case, result, baseline);
        let ratios = (case.results.len() > 1).then_some(&ratio as &dyn Fn(&ServerResult) -> String);
        let table = layout.table(&of_results("server", &rows, |_| case, ratios));
        out.push_str(&table);
        let mut line = |text: String| {
            let _ = writeln!(out, "{}", layout.text(&printable(&text)));
        };
        if table.contains(NO_DIFFERENCE) {
            line(format!("{NO_DIFFERENCE}: no difference is shown, the interval holds 1"));
        }
        for result in &case.results {
            let server = &result.server;
            result.invalid().iter().for_each(|why| line(format!("! INVALID {server}: {why}")));
            if let Some(why) = &result.failure {
                line(format!("FAILED {server}: {why}"));
            }
            if let Some(note) = &result.note {
                line(format!("{server}: {note}"));
            }
            if let Some(text) = idle_text(case, result) {
                line(text);
            }
        }
        for (servers, note) in notes_of(&rows) {
            line(format!("Note on {}: {note}", servers.join(", ")));
        }
        if let Some(ceiling) = case.ceiling {
            line(ceiling_note(ceiling));
        }
        out.push('\n');
    }
    out
}

/// The steps of a run, a row for each; those that were not reached have one too.
pub fn course(run: &Comparison, layout: Layout) -> String {
    let cases: Vec<(&Case, &ServerResult)> =
        run.cases.iter().filter_map(|case| Some((case, case.results.first()?))).collect();
    let rows: Vec<(&str, &ServerResult)> =
        cases.iter().map(|(case, result)| (case.title.as_str(), *result)).collect();
    let server = run.servers().first().copied().unwrap_or_default();
    let table = of_results("step", &rows, |nth| cases[nth].0, None);
    let mut out = format!("{}, step by step\n{}", printable(server), layout.table(&table));
    let mut line = |text: String| {
        let _ = writeln!(out, "{}", layout.text(&printable(&text)));
    };
    for (case, result) in &cases {
        let title = &case.title;
        for run in result.runs() {
            run.invalid.iter().for_each(|why| line(format!("! INVALID, {title}: {why}")));
        }
        if let Some(why) = &result.failure {
            line(format!("{title}: {why}"));
        }
    }
    for (titles, note) in notes_of(&rows) {
        line(format!("Note, {}: {note}", titles.join("; ")));
    }
    let most = run.cases.first().and_then(|case| case.workload.in_flight());
    if let Some(most) = most {
        line(format!("At most {} in flight.", whole(most as f64)));
    }
    out
}

/// A row for every result, under the case that it belongs to.
fn of_results<'a>(
    heading: &str,
    rows: &[(&str, &ServerResult)],
    case: impl Fn(usize) -> &'a Case,
    ratio: Option<&dyn Fn(&ServerResult) -> String>,
) -> Table {
    let any = |of: &dyn Fn(&ServerResult) -> bool| rows.iter().any(|(_, result)| of(result));
    // Without a figure for any server there is no column.
    let metrics: Vec<Metric> = course_columns(rows.iter().map(|(_, result)| *result)).collect();
    // The most telling first; what is the same for all and as it should be comes last.
    let rank = |metric: Metric| match metric {
        Metric::P99 => 0,
        Metric::Memory if !rows.is_empty() && is_idle(&case(0).workload) => 1,
        Metric::Errors if any(&|result| result.median(metric).is_some_and(|n| n > 0.0)) => 1,
        Metric::Served if any(&|result| result.median(metric).is_some_and(|n| n < 1.0)) => 2,
        Metric::P50 => 3,
        Metric::P999 => 4,
        Metric::Cpu => 5,
        Metric::Max => 6,
        Metric::Memory => 7,
        Metric::Errors => 8,
        Metric::Served => 9,
        _ => 10,
    };
    let mut table = Table::new(heading).column("rate", 0).words("", 0);
    if ratio.is_some() {
        table = table.column("ratio", 0);
    }
    for metric in &metrics {
        table = table.column(&metric.heading().replace('/', " per "), rank(*metric));
    }
    let missing = any(&|result| result.rounds.iter().any(Option::is_none));
    let several = any(&|result| result.rounds.len() > 1);
    if several {
        table = table.column("rounds", if missing { 1 } else { 11 });
    }
    for (nth, (name, result)) in rows.iter().enumerate() {
        let rate = result.median(Metric::Rate);
        let near = if is_near(case(nth), rate) { NEAR } else { "" };
        let invalid = if result.is_invalid() { "!" } else { "" };
        let mut row = vec![(*name).to_owned(), Metric::Rate.show(rate), format!("{near}{invalid}")];
        row.extend(ratio.map(|ratio| ratio(result)));
        row.extend(metrics.iter().map(|metric| result.show(*metric)));
        if several {
            row.push(format!("{} of {}", result.runs().count(), result.rounds.len()));
        }
        table.row(row);
    }
    table
}

/// Stands before a ratio whose interval holds 1.
const NO_DIFFERENCE: &str = "≈";

/// A ratio and its interval, with [`NO_DIFFERENCE`] in front where they show no difference.
fn ratio_cell(case: &Case, result: &ServerResult, baseline: &str) -> String {
    let Some(ratio) = case_ratio(case, result, baseline) else {
        let itself = result.server == baseline && result.runs().next().is_some();
        return if itself { "1".to_owned() } else { super::NONE.to_owned() };
    };
    let Some((low, high)) = ratio.interval else {
        return format!("{} (one round)", digits(ratio.value));
    };
    let mark = match ratio.difference() {
        Difference::NotShown => format!("{NO_DIFFERENCE} "),
        Difference::Shown(_) => String::new(),
    };
    format!("{mark}{} ({} to {})", digits(ratio.value), digits(low), digits(high))
}

/// The memory of each idle client, in its parts.
fn idle_text(case: &Case, result: &ServerResult) -> Option<String> {
    let each = result.median(Metric::PerClient).filter(|_| is_idle(&case.workload))?;
    let empty = stats::median_of(
        result.runs().map(|run| run.empty.as_ref().map(|sample| memory(sample) as f64)),
    );
    let part = |of: fn(&Sample) -> u64| {
        let parts = result.runs().map(|run| metric::per_client(run, of));
        Metric::PerClient.show(stats::median_of(parts))
    };
    Some(format!(
        "{}: {} for each idle client ({} PSS, {} page tables, {} kernel stacks), beyond the {} of the empty server",
        result.server,
        bytes(each),
        part(|sample| sample.pss),
        part(|sample| sample.page_tables),
        part(|sample| sample.kernel_stacks),
        Metric::Memory.show(empty)
    ))
}

/// The sizes that a distribution has drawn, in a line.
pub fn files(workload: &Workload) -> String {
    let mut sizes = workload.file_sizes();
    sizes.sort_unstable();
    let (Some(least), Some(most)) = (sizes.first(), sizes.last()) else { return String::new() };
    let sum: u64 = sizes.iter().sum();
    format!(
        "{} files from {} to {}, median {}, {} in all",
        whole(sizes.len() as f64),
        bytes(*least as f64),
        bytes(*most as f64),
        bytes(sizes[sizes.len() / 2] as f64),
        bytes(sum as f64)
    )
}
