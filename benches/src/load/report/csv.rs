//! Runs and their course as CSV (RFC 4180), for spreadsheets and plotting programs. An empty field is a figure
//! that there is not. A percentile that falls among requests without a reply is such a figure, and `unanswered` is their
//! number.

use super::{Comparison, Metric, Recording, errors};
use std::fmt::Write as _;

const RUN: &str = "case,server,round,seconds,done,rate,service_p50_ns,service_p99_ns,\
    response_p50_ns,response_p90_ns,response_p99_ns,response_p999_ns,response_max_ns,errors,dropped,\
    clients_served,connections_asked,connections_made,generator_share,switches_per_request,\
    cpu_us_per_request,memory_bytes,bytes_per_client,fairness,generator_ceiling,\
    unanswered,generator_run_queue_wait_s,generator_involuntary_switches,invalid,notes\n";

const INTERVAL: &str = "case,server,round,at,done,errors,p50_ns,p99_ns,max_ns,dropped\n";

/// One row for every run of a comparison; a run that has failed has a row without figures.
pub fn runs_of(comparison: &Comparison) -> String {
    let mut csv = RUN.to_owned();
    for case in &comparison.cases {
        for result in &case.results {
            for (round, run) in result.rounds.iter().enumerate() {
                let case = (case.name.as_str(), case.ceiling);
                run_row(&mut csv, case, &result.server, round + 1, run.as_ref());
            }
        }
    }
    csv
}

/// One row for every tenth of a second of every run of a comparison.
pub fn intervals_of(comparison: &Comparison) -> String {
    let mut csv = INTERVAL.to_owned();
    for case in &comparison.cases {
        for result in &case.results {
            for (round, run) in result.rounds.iter().enumerate() {
                if let Some(run) = run {
                    interval_rows(&mut csv, &case.name, &result.server, round + 1, run);
                }
            }
        }
    }
    csv
}

fn run_row(
    csv: &mut String,
    (case, ceiling): (&str, Option<f64>),
    server: &str,
    round: usize,
    run: Option<&Recording>,
) {
    let mut fields = vec![field(case), field(server), round.to_string()];
    match run {
        None => fields.resize(RUN.split(',').count(), String::new()),
        Some(run) => {
            let metric = |metric: Metric| known(metric.of(run).filter(|value| value.is_finite()));
            let service = |percentile: f64| match run.service_time.0.is_empty() {
                true => String::new(),
                false => run.service_time.percentile(percentile).to_string(),
            };
            fields.extend([
                run.seconds.to_string(),
                run.totals.done.to_string(),
                metric(Metric::Rate),
                service(50.0),
                service(99.0),
                metric(Metric::P50),
                metric(Metric::P90),
                metric(Metric::P99),
                metric(Metric::P999),
                metric(Metric::Max),
                errors(run).to_string(),
                run.totals.dropped.to_string(),
                run.totals.clients_served.to_string(),
                run.totals.connections_asked.to_string(),
                run.totals.connections_made.to_string(),
                run.generator.share.to_string(),
                metric(Metric::Switches),
                metric(Metric::Cpu),
                metric(Metric::Memory),
                metric(Metric::PerClient),
                metric(Metric::Fairness),
                known(ceiling),
                run.unanswered().to_string(),
                known(run.generator.run_queue_wait),
                run.generator.involuntary.to_string(),
                field(&run.invalid.join("; ")),
                field(&run.notes.join("; ")),
            ]);
        }
    }
    csv.push_str(&fields.join(","));
    csv.push('\n');
}

fn interval_rows(csv: &mut String, case: &str, server: &str, round: usize, run: &Recording) {
    let (case, server) = (field(case), field(server));
    for i in &run.intervals {
        // Writing into a string cannot fail.
        let _ = writeln!(
            csv,
            "{case},{server},{round},{},{},{},{},{},{},{}",
            i.at,
            i.done,
            i.errors,
            known(i.p50),
            known(i.p99),
            known(i.max),
            i.dropped
        );
    }
}

/// A figure, if there is one.
fn known(figure: Option<impl ToString>) -> String {
    figure.map_or(String::new(), |figure| figure.to_string())
}

/// A field, in quotes where its text needs them. One that a spreadsheet would take for a formula begins
/// with an apostrophe.
fn field(text: &str) -> String {
    let text = match text.starts_with(['=', '+', '-', '@']) {
        true => format!("'{text}"),
        false => text.to_owned(),
    };
    match text.contains([',', '"', '\n', '\r']) {
        true => format!("\"{}\"", text.replace('"', "\"\"")),
        false => text,
    }
}
