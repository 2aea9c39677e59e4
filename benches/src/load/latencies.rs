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
