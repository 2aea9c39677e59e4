//! What a run asks of a server: the same words as flags of the command line and as a TOML scenario.

mod profile;
mod sizes;
mod validate;

#[cfg(test)]
mod tests;

pub use profile::{Phase, Profile};
pub use sizes::{Distribution, Sizes};

use serde::{Deserialize, Serialize};
use std::time::Duration;

/// The most names that a workload may have: as many as six digits can tell apart.
pub(crate) const MOST_NAMES: usize = 1_000_000;

/// A whole run, as a scenario file holds it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Workload {
    /// Which protocol the generator speaks.
    pub protocol: Protocol,
    /// How many connections are made before the load begins. In a closed loop these are the clients.
    pub connections: usize,
    /// The most requests that an open loop has under way at once: an arrival beyond that is dropped. An arrival that
    /// finds all connections busy makes one more, up to this number. If it is left out, `connections` is the most.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_in_flight: Option<usize>,
    /// When requests are sent.
    pub arrivals: Arrivals,
    /// How the load grows while the connections live.
    #[serde(alias = "course")]
    pub profile: Profile,
    /// How long is measured.
    #[serde(with = "seconds")]
    pub duration: Duration,
    /// How long is run before that and thrown away.
    #[serde(with = "seconds")]
    pub warm_up: Duration,
    /// What is asked for, by weight.
    pub mix: Mix,
    /// How large the files are.
    pub sizes: Sizes,
    /// How many names there are.
    pub names: usize,
    /// The exponent of Zipf's law by which names are chosen; 0 chooses all alike.
    pub zipf: f64,
    /// How long connections live.
    pub lifetime: Lifetime,
    /// How many requests are sent ahead of their replies.
    pub pipelining: usize,
    /// The share of connections that read slowly, between 0 and 1.
    pub slow_share: f64,
    /// How many bytes a slow client reads in a second.
    pub slow_rate: u64,
    /// Whether every body is verified.
    pub verify: bool,
    /// Where all that is random begins.
    pub seed: u64,
    /// How long a reply may take before it is counted as lost.
    #[serde(with = "seconds")]
    pub timeout: Duration,
    /// How long a client pauses after an error; after one whose reply has Retry-After, as long as that says.
    #[serde(with = "seconds")]
    pub pause_after_error: Duration,
}

/// Which protocol the generator speaks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum Protocol {
    /// The workspace's file protocol
    #[default]
    File,
    /// HTTP/1.1, so that third-party servers can be driven too
    Http,
}

/// When requests are sent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "loop")]
pub enum Arrivals {
    /// The next request follows the last reply: the server sets the pace.
    #[default]
    Closed,
    /// So many a second, evenly spaced, whatever the server does.
    Fixed {
        /// Requests per second; may be left out where a [`Profile`] says it.
        #[serde(default)]
        rate: f64,
    },
    /// So many a second on average, at random, as independent people come.
    Poisson {
        /// Requests per second; may be left out where a [`Profile`] says it.
        #[serde(default)]
        rate: f64,
    },
}

impl Arrivals {
    /// Requests per second; none in a closed loop, in which the server sets the pace.
    pub fn rate(self) -> Option<f64> {
        match self {
            Arrivals::Closed => None,
            Arrivals::Fixed { rate } | Arrivals::Poisson { rate } => Some(rate),
        }
    }

    /// The same at another rate; a closed loop stays what it is.
    pub fn at(self, rate: f64) -> Arrivals {
        match self {
            Arrivals::Closed => Arrivals::Closed,
            Arrivals::Fixed { .. } => Arrivals::Fixed { rate },
            Arrivals::Poisson { .. } => Arrivals::Poisson { rate },
        }
    }
}

/// What is asked for, by weight.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Mix {
    /// A whole file.
    pub get: u32,
    /// A new version of a file.
    pub put: u32,
    /// The directory.
    pub list: u32,
    /// The hash of a file.
    pub hash: u32,
    /// The end of the conversation, after which a new connection is made.
    pub quit: u32,
}

/// How long connections live.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "policy")]
pub enum Lifetime {
    /// For the whole run.
    #[default]
    KeepAlive,
    /// For one request.
    PerRequest,
    /// Each request is a connection's last with this probability.
    Churn {
        /// Between 0 and 1.
        ratio: f64,
    },
}

impl Default for Workload {
    fn default() -> Workload {
        Workload {
            protocol: Protocol::File,
            connections: 64,
            max_in_flight: None,
            arrivals: Arrivals::Closed,
            profile: Profile::Steady,
            duration: Duration::from_secs(5),
            warm_up: Duration::from_secs(1),
            mix: Mix::default(),
            sizes: vec![4096].into(),
            names: 64,
            zipf: 0.0,
            lifetime: Lifetime::KeepAlive,
            pipelining: 1,
            slow_share: 0.0,
            slow_rate: 16 * 1024,
            verify: true,
            seed: 1,
            timeout: Duration::from_secs(10),
            pause_after_error: Duration::ZERO,
        }
    }
}

/// The least and the most that [`Workload::default_in_flight`] returns.
const DEFAULT_IN_FLIGHT: (f64, f64) = (64.0, 10_000.0);

impl Workload {
    /// How many requests of an open loop may be under way at once where neither this nor the connections are set: the
    /// arrivals of ten seconds, at least 64 and at most 10,000. None in a closed loop.
    pub fn default_in_flight(&self) -> Option<usize> {
        let rate = self.arrivals.rate()?;
        let highest = match &self.profile {
            Profile::Steady => rate,
            Profile::Steps { levels } => levels.iter().copied().fold(0.0, f64::max),
            Profile::Ramp { from, to } => from.max(*to),
        };
        let (least, most) = DEFAULT_IN_FLIGHT;
        // The least of no number, too.
        Some((highest * 10.0).ceil().max(least).min(most) as usize)
    }

    /// The most requests that an open loop has under way at once; none in a closed loop.
    pub fn in_flight(&self) -> Option<usize> {
        self.arrivals.rate()?;
        Some(self.max_in_flight.unwrap_or(self.connections.saturating_mul(self.depth())))
    }

    /// How many requests one connection has under way at most.
    pub(crate) fn depth(&self) -> usize {
        match self.lifetime {
            Lifetime::PerRequest => 1,
            Lifetime::KeepAlive | Lifetime::Churn { .. } => self.pipelining,
        }
    }
}

impl Default for Mix {
    fn default() -> Mix {
        Mix { get: 1, put: 0, list: 0, hash: 0, quit: 0 }
    }
}

/// Durations are seconds in a scenario file.
mod seconds {
    use serde::{Deserialize, Deserializer, Serializer, de::Error};
    use std::time::Duration;

    pub(super) fn serialize<S: Serializer>(d: &Duration, s: S) -> Result<S::Ok, S::Error> {
        s.serialize_f64(d.as_secs_f64())
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(d: D) -> Result<Duration, D::Error> {
        let seconds = f64::deserialize(d)?;
        Duration::try_from_secs_f64(seconds).map_err(D::Error::custom)
    }
}
