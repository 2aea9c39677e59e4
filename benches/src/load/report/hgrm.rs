//! The percentile log of HdrHistogram, which its plotters and wrk2's readers understand. Values are in milliseconds.

use crate::load::latencies::Latencies;
use std::fmt::Write as _;

/// How many lines there are for every halving of what is left.
const TICKS_PER_HALF: u32 = 5;

/// Value, percentile, count and 1/(1-percentile), and the lines of summary at the end. Requests that were not answered
/// rank above all others: the percentiles end below 1, and a line of the summary has their number.
pub fn log(latencies: &Latencies, unanswered: u64) -> String {
    let histogram = &latencies.0;
    let mut log = format!(
        "{:>12} {:>14} {:>10} {:>14}\n\n",
        "Value", "Percentile", "TotalCount", "1/(1-Percentile)"
    );
    let answered = histogram.len() as f64 / (histogram.len() + unanswered).max(1) as f64;
    let mut total = 0;
    for step in histogram.iter_quantiles(TICKS_PER_HALF) {
        total += step.count_since_last_iteration();
        // Rounding in the iterator leaves the last line a hair short of 1.
        let quantile = if total == histogram.len() {
            step.quantile_iterated_to().min(1.0)
        } else {
            step.quantile_iterated_to()
        };
        let quantile = quantile * answered;
        let value = step.value_iterated_to() as f64 / 1e6;
        let _ = match quantile < 1.0 {
            true => writeln!(
                log,
                "{value:>12.6} {quantile:>2.12} {total:>10} {:>14.2}",
                1.0 / (1.0 - quantile)
            ),
            false => writeln!(log, "{value:>12.6} {quantile:>2.12} {total:>10}"),
        };
    }
    let millis = |nanos: f64| nanos / 1e6;
    let _ = writeln!(
        log,
        "#[Mean    = {:>12.6}, StdDeviation   = {:>12.6}]",
        millis(histogram.mean()),
        millis(histogram.stdev())
    );
    let _ = writeln!(
        log,
        "#[Max     = {:>12.6}, Total count    = {:>12}]",
        millis(histogram.max() as f64),
        histogram.len()
    );
    let _ =
        writeln!(log, "#[Buckets = {:>12}, SubBuckets     = {:>12}]", histogram.buckets(), 2048);
    if unanswered > 0 {
        let _ = writeln!(
            log,
            "#[Unanswered = {unanswered:>10}, dropped or without a reply in time: above every value]"
        );
    }
    log
}
