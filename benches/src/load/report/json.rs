//! Recordings and comparisons as JSON, for other programs and for `diff` months later.

use super::{Comparison, SCHEMA};
use crate::load::latencies::{Latencies, share_of_rank};
use crate::load::recording::{self, Recording};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use std::io;

/// The percentiles that a condensed histogram keeps exactly, beside the least and the greatest.
const KEPT: [f64; 9] = [50.0, 75.0, 90.0, 95.0, 99.0, 99.5, 99.9, 99.99, 99.999];

/// How many samples a condensed recording keeps at most.
const KEPT_MOMENTS: usize = 121;

/// A recording as JSON.
pub fn recording(recording: &Recording) -> io::Result<String> {
    write(recording)
}

/// A comparison as JSON.
pub fn comparison(comparison: &Comparison) -> io::Result<String> {
    write(comparison)
}

/// Reads what [`recording()`] has written; the error says what is wrong in one line.
pub fn read_recording(json: &str) -> Result<Recording, String> {
    read(json, recording::SCHEMA, "recording")
}

/// Reads what [`comparison`] has written; the error says what is wrong in one line.
pub fn read_comparison(json: &str) -> Result<Comparison, String> {
    read(json, SCHEMA, "comparison")
}

/// The same recording in few bytes: hundreds of them fit into one file.
///
/// The histograms keep their count, their least and greatest value, the percentiles that reports show, exactly,
/// and about 200 values in between; of a long run every n-th sample is kept, the first and the
/// last always. The intervals stay, since they are counts.
pub fn condensed(recording: &Recording) -> Recording {
    let mut small = recording.clone();
    small.response_time = condense(&small.response_time, small.unanswered());
    for latencies in [&mut small.service_time, &mut small.lag] {
        *latencies = condense(latencies, 0);
    }
    thin(&mut small.samples);
    small
}

/// Keeps the percentiles of what was answered, and of all, `unanswered` requests more.
fn condense(latencies: &Latencies, unanswered: u64) -> Latencies {
    let histogram = &latencies.0;
    let answered = histogram.len();
    let mut marks: Vec<f64> = KEPT.to_vec();
    let of_all = KEPT.map(|mark| {
        let rank = (mark / 100.0 * (answered + unanswered) as f64 - 1e-9).ceil() as u64;
        share_of_rank(rank.clamp(1, answered.max(1)), answered.max(1))
    });
    marks.extend(of_all);
    // Evenly spaced on the axis on which distributions are drawn.
    marks.extend((0..200).map(|at| 100.0 * (1.0 - 10f64.powf(-f64::from(at) / 200.0 * 6.0))));
    let mut values: Vec<u64> = marks.iter().map(|&mark| latencies.percentile(mark)).collect();
    values.extend([histogram.min(), histogram.max()]);
    values.sort_unstable();
    values.dedup();
    let mut few = Latencies::new();
    for step in histogram.iter_recorded() {
        // What lies between two marks moves up to the next of them: a percentile at a mark stays as it was.
        let at = values.partition_point(|&value| value < step.value_iterated_to());
        let value = values.get(at).copied().unwrap_or(step.value_iterated_to());
        few.0.saturating_record_n(value, step.count_at_value());
    }
    few
}

fn thin<T: Copy>(moments: &mut Vec<T>) {
    let step = moments.len().div_ceil(KEPT_MOMENTS).max(1);
    let last = moments.len().saturating_sub(1);
    let mut at = 0;
    moments.retain(|_| {
        let keep = at % step == 0 || at == last;
        at += 1;
        keep
    });
}

fn write(what: &impl Serialize) -> io::Result<String> {
    let mut json = serde_json::to_string(what)?;
    json.push('\n');
    Ok(json)
}

fn read<T: DeserializeOwned>(json: &str, schema: u32, what: &str) -> Result<T, String> {
    let value: Value = serde_json::from_str(json).map_err(|error| {
        let (line, column) = (error.line(), error.column());
        format!("not JSON, or only the beginning of it: line {line}, column {column}")
    })?;
    match value.get("schema").and_then(Value::as_u64) {
        // Keys of earlier versions are read as aliases.
        Some(found) if (1..=u64::from(schema)).contains(&found) => {}
        Some(found) => {
            return Err(format!(
                "a {what} of schema {found}; this program reads schemas 1 to {schema}"
            ));
        }
        None => return Err(format!("not a {what}: it has no schema")),
    }
    // Which of its parts is not as this program writes it would help no user.
    serde_json::from_value(value).map_err(|_| format!("not a {what}, or a damaged one"))
}
