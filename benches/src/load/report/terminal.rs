//! Runs and comparisons as tables for a terminal.

use super::tables::{COLUMNS, case_rows, ceiling_note, rate_cell};
use super::{Comparison, Metric, NONE, Recording, errors, fullest, is_idle, memory, metric};
use crate::load::latencies::Latencies;
use crate::load::recording::Sample;
use crate::load::stats;
use crate::load::workload::Workload;
use crate::text::{bytes, digits, nanos, whole};
use comfy_table::presets::UTF8_FULL_CONDENSED;
use comfy_table::{CellAlignment, ContentArrangement, Table};
use std::fmt::Write as _;

/// All there is to say of one run.
pub fn recording(run: &Recording) -> String {
    let mut out = String::new();
    let show = |metric: Metric| metric.show_of(std::iter::once(run));
    let totals = &run.totals;
    let _ = writeln!(
        out,
        "{}: {} in {} s, {} requests answered, {} read, {} written",
        printable(&run.server),
        show(Metric::Rate),
        digits(run.seconds),
        whole(totals.done as f64),
        bytes(totals.bytes_in as f64),
        bytes(totals.bytes_out as f64)
    );

    let mut latencies = ruled(&["", "p50", "p90", "p99", "p99.9", "max"]);
    let of = |times: &Latencies| {
        [50.0, 90.0, 99.0, 99.9, 100.0].map(|p| match times.0.is_empty() {
            true => NONE.to_owned(),
            false => nanos(times.percentile(p) as f64),
        })
    };
    let response = [Metric::P50, Metric::P90, Metric::P99, Metric::P999, Metric::Max].map(show);
    for (name, cells) in [
        ("service time", of(&run.service_time)),
        ("response time", response),
        ("generator's lag", of(&run.lag)),
    ] {
        latencies.add_row(std::iter::once(name.to_owned()).chain(cells));
    }
    let _ = writeln!(out, "{latencies}");

    let mut rest = ruled(&["", ""]);
    rest.add_row([
        "clients served".to_owned(),
        format!(
            "{} of {} ({} connected at once), fairness {}",
            whole(totals.clients_served as f64),
            whole(totals.connections_asked as f64),
            whole(totals.connections_made as f64),
            show(Metric::Fairness)
        ),
    ]);
    rest.add_row(["errors".to_owned(), errors_by_kind(run)]);
    if let (Some(rate), Some(most)) = (run.workload.arrivals.rate(), run.workload.in_flight()) {
        let load = format!(
            "{} planned, at most {} in flight",
            crate::text::rate(rate),
            whole(most as f64)
        );
        rest.add_row(["arrivals".to_owned(), load]);
    }
    if totals.dropped > 0 {
        let of =
            format!("{} of {} planned", whole(totals.dropped as f64), whole(totals.planned as f64));
        rest.add_row(["arrivals dropped".to_owned(), of]);
    }
    rest.add_row([
        "generator".to_owned(),
        format!(
            "{} s of CPU, {} % of its core; waited for its core {}, which was taken from it {} times",
            digits(run.generator.cpu_seconds),
            digits(run.generator.share * 100.0),
            match run.generator.run_queue_share() {
                Some(share) => format!("{} % of the time", digits(share * 100.0)),
                None => "for an unknown time".to_owned(),
            },
            whole(run.generator.involuntary as f64)
        ),
    ]);
    rest.add_row([
        "server per request".to_owned(),
        format!(
            "{} switches ({} voluntary), {} of CPU ({} in the kernel)",
            show(Metric::Switches),
            show(Metric::Voluntary),
            show(Metric::Cpu),
            show(Metric::System)
        ),
    ]);
    rest.add_row(["server's memory".to_owned(), memory_text(run)]);
    let _ = writeln!(out, "{rest}");
    for why in &run.invalid {
        let _ = writeln!(out, "INVALID: {}", printable(why));
    }
    for note in &run.notes {
        let _ = writeln!(out, "Note: {}", printable(note));
    }
    out
}

/// A table for every case: medians of the rounds, and ratios to the baseline with their intervals.
pub fn comparison(comparison: &Comparison) -> String {
    let mut out = String::new();
    if let Some(driver) = &comparison.driver {
        let _ = writeln!(out, "load by {}\n", printable(driver));
    }
    for case in &comparison.cases {
        let _ = writeln!(out, "{} ({})", printable(&case.title), printable(&case.name));
        let mut rows = case_rows(comparison, case).into_iter();
        let mut table = ruled(&[]);
        table.set_header(rows.next().unwrap_or_default().iter().map(|cell| printable(cell)));
        // Reasons stand below, where they do not tear the columns apart.
        for row in rows {
            table.add_row(row.iter().map(|cell| printable(cell)));
        }
        align(&mut table);
        let _ = writeln!(out, "{table}");
        for result in &case.results {
            for why in result.invalid() {
                let _ = writeln!(out, "INVALID {}: {}", printable(&result.server), printable(&why));
            }
            if let Some(why) = &result.failure {
                let _ = writeln!(out, "FAILED {}: {}", printable(&result.server), printable(why));
            }
            if let Some(note) = &result.note {
                let _ = writeln!(out, "{}: {}", printable(&result.server), printable(note));
            }
            if let Some(each) = result.median(Metric::PerClient).filter(|_| is_idle(&case.workload))
            {
                let empty = stats::median_of(
                    result.runs().map(|run| run.empty.as_ref().map(|sample| memory(sample) as f64)),
                );
                let part = |of: fn(&Sample) -> u64| {
                    let parts = result.runs().map(|run| metric::per_client(run, of));
                    Metric::PerClient.show(stats::median_of(parts))
                };
                let _ = writeln!(
                    out,
                    "{}: {} for each idle client ({} PSS, {} page tables, {} kernel stacks), beyond the {} of the empty server",
                    printable(&result.server),
                    bytes(each),
                    part(|sample| sample.pss),
                    part(|sample| sample.page_tables),
                    part(|sample| sample.kernel_stacks),
                    Metric::Memory.show(empty)
                );
            }
        }
        if let Some(ceiling) = case.ceiling {
            let _ = writeln!(out, "{}", ceiling_note(ceiling));
        }
        out.push('\n');
    }
    out
}

/// The steps of a run, a row for each; those that were not reached have one too.
pub fn course(run: &Comparison) -> String {
    let mut out = String::new();
    let mut table = ruled(&[]);
    let mut head = vec!["".to_owned(), "rate".to_owned()];
    head.extend(COLUMNS.iter().map(|metric| metric.heading().to_owned()));
    head.push("mark".to_owned());
    table.set_header(head);
    let mut reasons = String::new();
    for case in &run.cases {
        let Some(result) = case.results.first() else { continue };
        let mut row = vec![case.title.clone(), rate_cell(case, result.median(Metric::Rate))];
        row.extend(COLUMNS.iter().map(|metric| result.show(*metric)));
        row.push(if result.is_invalid() { "INVALID".to_owned() } else { String::new() });
        table.add_row(row);
        for why in result.runs().flat_map(|run| &run.invalid) {
            let _ = writeln!(reasons, "INVALID, {}: {}", case.title, printable(why));
        }
        for note in result.runs().flat_map(|run| &run.notes) {
            let _ = writeln!(reasons, "Note, {}: {}", case.title, printable(note));
        }
        if let Some(why) = &result.failure {
            let _ = writeln!(reasons, "{}: {}", case.title, printable(why));
        }
    }
    align(&mut table);
    let most = run.cases.first().and_then(|case| case.workload.in_flight());
    if let Some(most) = most {
        let _ = writeln!(reasons, "At most {} in flight.", whole(most as f64));
    }
    let server = run.servers().first().copied().unwrap_or_default();
    let _ = writeln!(out, "{}, step by step\n{table}\n{reasons}", printable(server));
    out
}

/// What a law has made of the sizes, in a line.
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

fn errors_by_kind(run: &Recording) -> String {
    let kinds: Vec<String> = run
        .errors
        .iter()
        .filter(|(_, count)| **count > 0)
        .map(|(kind, count)| format!("{} {}", whole(*count as f64), printable(kind)))
        .collect();
    match errors(run) {
        0 => "none".to_owned(),
        _ => kinds.join(", "),
    }
}

fn memory_text(run: &Recording) -> String {
    let Some(sample) = fullest(run) else { return NONE.to_owned() };
    let mut words = format!(
        "{} at most ({} its own, {} kernel stacks, {} page tables)",
        bytes(memory(sample) as f64),
        bytes(sample.pss as f64),
        bytes(sample.kernel_stacks as f64),
        bytes(sample.page_tables as f64)
    );
    if let (Some(empty), Some(each)) = (&run.empty, Metric::PerClient.of(run)) {
        let _ = write!(
            words,
            "; {} of it before anybody came, so {} for each client",
            bytes(memory(empty) as f64),
            bytes(each)
        );
    }
    words
}

/// Names come from the command line and reasons from servers: nothing of them may steer the terminal.
fn printable(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect()
}

fn ruled(head: &[&str]) -> Table {
    let mut table = Table::new();
    table.load_style(UTF8_FULL_CONDENSED).set_content_arrangement(ContentArrangement::Dynamic);
    if head.iter().any(|cell| !cell.is_empty()) {
        table.set_header(head.to_vec());
    }
    table
}

fn align(table: &mut Table) {
    for column in table.column_iter_mut().skip(1) {
        column.set_cell_alignment(CellAlignment::Right);
    }
}
