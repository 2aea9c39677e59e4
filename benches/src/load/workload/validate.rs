//! Whether a workload can be run.

use super::{
    Arrivals, Distribution, Lifetime, MOST_NAMES, Mix, Profile, Protocol, Sizes, Workload,
};
use std::time::Duration;

impl Workload {
    /// Checks that the workload can be run.
    ///
    /// # Errors
    ///
    /// What is wrong, in one line.
    pub fn validate(&self) -> Result<(), String> {
        let Mix { get, put, list, hash, quit } = self.mix;
        if [get, put, list, hash, quit].iter().all(|weight| *weight == 0) {
            return Err("the mix asks for nothing: give one of its weights a value above 0".into());
        }
        if self.protocol == Protocol::Http && (hash > 0 || quit > 0) {
            return Err("HTTP has no HASH and no QUIT: leave them out of the mix".into());
        }
        if self.connections == 0 || self.pipelining == 0 {
            return Err("at least 1 connection and a pipelining depth of 1 are needed".into());
        }
        if let Some(most) = self.max_in_flight {
            if self.arrivals == Arrivals::Closed {
                return Err("max-in-flight is for an open loop: add a rate, or leave it out".into());
            }
            if most == 0 {
                return Err("at least 1 request must be allowed in flight".into());
            }
        }
        let connections = self.connections.max(self.max_in_flight.unwrap_or(0));
        if u32::try_from(connections).is_err() {
            return Err(format!("{connections} connections are too many"));
        }
        if self.names == 0 || self.names > MOST_NAMES {
            return Err(format!("there must be 1 to {MOST_NAMES} names"));
        }
        validate_sizes(&self.sizes)?;
        if !(0.0..=10.0).contains(&self.zipf) {
            return Err("the exponent of Zipf's law must be between 0 and 10".into());
        }
        if !(0.0..=1.0).contains(&self.slow_share) {
            return Err("the share of slow clients must be between 0 and 1".into());
        }
        if self.slow_share > 0.0 && self.slow_rate == 0 {
            return Err("slow clients must read at least 1 byte per second".into());
        }
        if let Lifetime::Churn { ratio } = self.lifetime
            && !(0.0..=1.0).contains(&ratio)
        {
            return Err("the churn ratio must be between 0 and 1".into());
        }
        let levels = match &self.profile {
            Profile::Steady => self.arrivals.rate().into_iter().collect(),
            Profile::Steps { levels } => levels.clone(),
            Profile::Ramp { from, to } => vec![*from, *to],
        };
        if self.profile != Profile::Steady && !(1..=1000).contains(&levels.len()) {
            return Err("there must be 1 to 1000 steps".into());
        }
        if self.arrivals == Arrivals::Closed {
            // Levels are connections.
            let whole = |level: &f64| level.fract() == 0.0 && (1.0..=1e9).contains(level);
            if let Some(level) = levels.iter().find(|level| !whole(level)) {
                return Err(format!("{level} is no number of connections to step to"));
            }
        } else if !levels.iter().all(|rate| *rate > 0.0 && *rate <= 1e8) {
            return Err("the rate must be above 0 and at most 100,000,000 per second".into());
        }
        if self.duration.is_zero() || self.timeout.is_zero() {
            return Err("duration and timeout must be above 0".into());
        }
        let year = Duration::from_secs(366 * 86_400);
        let times = [self.duration, self.warm_up, self.timeout, self.pause_after_error];
        if times.iter().any(|time| *time > year) {
            return Err("no time may be longer than a year".into());
        }
        Ok(())
    }
}

fn validate_sizes(sizes: &Sizes) -> Result<(), String> {
    const LARGEST: u64 = 1 << 50;
    let (max, fine) = match *sizes {
        Sizes::List(ref sizes) if sizes.is_empty() => {
            return Err("at least one size of files is needed".into());
        }
        Sizes::List(ref sizes) => (sizes.iter().copied().max().unwrap_or(0), true),
        Sizes::Distribution(Distribution::Lognormal { median, sigma, max }) => {
            (max, (1..=max).contains(&median) && (0.0..=10.0).contains(&sigma))
        }
        Sizes::Distribution(Distribution::Pareto { min, alpha, max }) => {
            (max, (1..=max).contains(&min) && alpha > 0.0 && alpha <= 100.0)
        }
    };
    if max > LARGEST {
        return Err(format!("files of {max} bytes are too large"));
    }
    if !fine {
        return Err(
            "a distribution of sizes needs median or min between 1 and max, sigma of 0 to 10, alpha above 0 to 100"
                .into(),
        );
    }
    Ok(())
}
