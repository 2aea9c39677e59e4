//! Latencies and their percentiles, over HDR histograms.

use hdrhistogram::Histogram;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// How long things took, in nanoseconds, to three significant digits.
#[derive(Clone, Debug, PartialEq)]
pub struct Latencies(pub Histogram<u64>);

impl Latencies {
    /// From 1 ns to an hour.
    pub fn new() -> Latencies {
        // The bounds are constants that the library accepts.
        Latencies(Histogram::new_with_bounds(1, 3_600_000_000_000, 3).expect("legal bounds"))
    }

    /// Adds one.
    pub fn record(&mut self, nanos: u64) {
        self.0.saturating_record(nanos.max(1));
    }

    /// Adds all of `other`.
    pub fn merge(&mut self, other: &Latencies) {
        // Both have the same bounds.
        let _ = self.0.add(&other.0);
    }

    /// The value below which `percentile` percent lie, in nanoseconds; 0 if there is none.
    pub fn percentile(&self, percentile: f64) -> u64 {
        self.0.value_at_percentile(percentile)
    }

    /// A percentile of these and of `unanswered` more that rank above all of them, in nanoseconds. It is infinite where it
    /// falls among the latter; `None` if there are neither.
    pub fn percentile_below(&self, percentile: f64, unanswered: u64) -> Option<f64> {
        let answered = self.0.len();
        let all = answered + unanswered;
        // The rank of the percentile, as the histogram counts it.
        let rank = ((percentile / 100.0 * all as f64 - 1e-9).ceil() as u64).clamp(1, all.max(1));
        match rank {
            _ if all == 0 => None,
            rank if rank > answered => Some(f64::INFINITY),
            rank => Some(self.percentile(share_of_rank(rank, answered)) as f64),
        }
    }
}

/// The percentile at which a value of this rank stands. Half a rank below, so that no rounding leads to the next.
pub(crate) fn share_of_rank(rank: u64, answered: u64) -> f64 {
    100.0 * (rank as f64 - 0.5) / answered as f64
}

impl Default for Latencies {
    fn default() -> Latencies {
        Latencies::new()
    }
}

/// As pairs of value and count.
impl Serialize for Latencies {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let pairs = self.0.iter_recorded().map(|v| (v.value_iterated_to(), v.count_at_value()));
        serializer.collect_seq(pairs)
    }
}

impl<'de> Deserialize<'de> for Latencies {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Latencies, D::Error> {
        let mut latencies = Latencies::new();
        for (value, count) in Vec::<(u64, u64)>::deserialize(deserializer)? {
            latencies.0.saturating_record_n(value, count);
        }
        Ok(latencies)
    }
}
