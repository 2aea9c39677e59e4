//! What a run asks of a server: the same words as flags of the command line and as a TOML scenario.

use fastrand::Rng;
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// A whole run, as a scenario file holds it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Workload {
    /// Which protocol the generator speaks.
    pub protocol: Protocol,
    /// How many connections are held open, or at most in flight in an open loop.
    pub connections: usize,
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
}

/// Which protocol the generator speaks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum Protocol {
    /// The workspace's file protocol
    #[default]
    File,
    /// HTTP/1.1, so that foreign servers can be driven too
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

/// How the load grows within one run. Levels are connections in a closed loop, and requests per second in an
/// open one, where they take the place of the rate.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "shape")]
pub enum Profile {
    /// Not at all.
    #[default]
    Steady,
    /// From level to level. Each is warmed up and then measured for `duration`, and has a recording of its own.
    Steps {
        /// One after the other.
        levels: Vec<f64>,
    },
    /// Evenly from one level to another over `duration`.
    Ramp {
        /// The level at the beginning, which is warmed up.
        from: f64,
        /// The level at the end.
        to: f64,
    },
}

/// The phases that a ramp is recorded in.
const RAMP_PHASES: usize = 10;

/// A part of a run that has a recording of its own.
#[derive(Clone, Debug, PartialEq)]
pub struct Phase {
    /// What is asked in it; of a ramp's phase, in the middle of it.
    pub workload: Workload,
    /// The level at its beginning.
    pub from: f64,
    /// The level at its end.
    pub to: f64,
    /// A short name: `step-16`, `ramp-3`.
    pub name: String,
    /// The same in words: `steps, 16 connections`.
    pub title: String,
}

/// How large the files are.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(
    untagged,
    expecting = "a list of sizes in bytes, or a table with distribution = \"lognormal\" or \"pareto\" and its figures"
)]
pub enum Sizes {
    /// These, in bytes, each used by equally many names.
    List(Vec<u64>),
    /// Drawn from a distribution for every name, from the workload's seed.
    Distribution(Distribution),
}

/// How the sizes of files are distributed.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "distribution", try_from = "Parameters")]
pub enum Distribution {
    /// Their logarithms are normally distributed: most files of a file system.
    Lognormal {
        /// Half of the files are smaller.
        median: u64,
        /// The standard deviation of the natural logarithm; 0 makes all alike.
        sigma: f64,
        /// What would be larger has this size.
        max: u64,
    },
    /// A file is larger than x with the probability (min / x)^alpha: the few large files of the web.
    Pareto {
        /// None is smaller.
        min: u64,
        /// The less, the more of the bytes are in a few large files: below 2 there is no variance.
        alpha: f64,
        /// What would be larger has this size.
        max: u64,
    },
}

/// A [`Distribution`] as it is written; `law` is the key of earlier versions.
#[derive(Deserialize)]
struct Parameters {
    #[serde(alias = "law")]
    distribution: String,
    median: Option<u64>,
    sigma: Option<f64>,
    min: Option<u64>,
    alpha: Option<f64>,
    max: Option<u64>,
}

impl TryFrom<Parameters> for Distribution {
    type Error = String;

    fn try_from(parameters: Parameters) -> Result<Distribution, String> {
        let Parameters { distribution, median, sigma, min, alpha, max } = parameters;
        let max = max.unwrap_or(Distribution::LARGEST);
        match (distribution.as_str(), median, sigma, min, alpha) {
            ("lognormal", Some(median), Some(sigma), _, _) => {
                Ok(Distribution::Lognormal { median, sigma, max })
            }
            ("pareto", _, _, Some(min), Some(alpha)) => {
                Ok(Distribution::Pareto { min, alpha, max })
            }
            (name, ..) => Err(format!("{name:?} is unknown or has no parameters")),
        }
    }
}

impl Distribution {
    /// The largest file of a distribution that has no `max`: a tail without an end would fill the disk.
    pub const LARGEST: u64 = 16 << 20;

    fn draw(self, rng: &mut Rng) -> u64 {
        // Never 0, of which there is no logarithm.
        let mut uniform = || 1.0 - rng.f64();
        let (size, max) = match self {
            Distribution::Lognormal { median, sigma, max } => {
                // Box and Muller.
                let angle = std::f64::consts::TAU * uniform();
                let normal = (-2.0 * uniform().ln()).sqrt() * angle.cos();
                (median as f64 * (sigma * normal).exp(), max)
            }
            Distribution::Pareto { min, alpha, max } => {
                (min as f64 * uniform().powf(-1.0 / alpha), max)
            }
        };
        (size as u64).min(max)
    }
}

impl From<Vec<u64>> for Sizes {
    fn from(sizes: Vec<u64>) -> Sizes {
        Sizes::List(sizes)
    }
}

impl Workload {
    /// The size of every file, in the order of names.
    pub fn file_sizes(&self) -> Vec<u64> {
        match &self.sizes {
            Sizes::List(sizes) => {
                let size = |name: usize| sizes.get(name % sizes.len().max(1)).copied();
                (0..self.names).map(|name| size(name).unwrap_or(0)).collect()
            }
            Sizes::Distribution(distribution) => {
                // Neither what is asked nor when is drawn from the same numbers.
                let mut rng = Rng::with_seed(self.seed ^ 0x512e_5000);
                (0..self.names).map(|_| distribution.draw(&mut rng)).collect()
            }
        }
    }

    /// The most connections that there are at once.
    pub fn most_connections(&self) -> usize {
        match (&self.profile, self.arrivals) {
            (Profile::Steps { levels }, Arrivals::Closed) => {
                levels.iter().fold(0, |most, level| most.max(*level as usize))
            }
            (Profile::Ramp { from, to }, Arrivals::Closed) => from.max(*to) as usize,
            _ => self.connections,
        }
    }

    /// How long is measured, all phases together.
    pub fn measured(&self) -> Duration {
        match &self.profile {
            Profile::Steps { levels } => {
                self.duration.saturating_mul(u32::try_from(levels.len()).unwrap_or(u32::MAX))
            }
            Profile::Steady | Profile::Ramp { .. } => self.duration,
        }
    }

    /// The parts that are recorded one by one; the whole, if its profile is steady.
    pub fn phases(&self) -> Vec<Phase> {
        let open = self.arrivals.rate().is_some();
        let at = |level: f64| match open {
            true => Workload { arrivals: self.arrivals.at(level), ..self.clone() },
            false => Workload { connections: level.round() as usize, ..self.clone() },
        };
        let unit = |level: f64| match open {
            true => "requests per second",
            false if level == 1.0 => "connection",
            false => "connections",
        };
        match &self.profile {
            Profile::Steady => {
                let level = self.arrivals.rate().unwrap_or(self.connections as f64);
                let title = format!("{} {}", self.connections, unit(self.connections as f64));
                let (workload, name) = (self.clone(), "load".to_owned());
                vec![Phase { workload, from: level, to: level, name, title }]
            }
            Profile::Steps { levels } => {
                let phase = |&level: &f64| Phase {
                    workload: at(level),
                    from: level,
                    to: level,
                    name: format!("step-{level}"),
                    title: format!("steps, {level} {}", unit(level)),
                };
                levels.iter().map(phase).collect()
            }
            Profile::Ramp { from, to } => {
                let levels = if open { RAMP_PHASES } else { (to - from).abs().round() as usize };
                let count = levels.clamp(1, RAMP_PHASES);
                let place = |nth: usize| from + (to - from) * nth as f64 / count as f64;
                let phase = |nth: usize| {
                    let (from, to) = (place(nth), place(nth + 1));
                    let workload = at(f64::midpoint(from, to));
                    let duration = self.duration / count as u32;
                    Phase {
                        workload: Workload { duration, ..workload },
                        from,
                        to,
                        name: format!("ramp-{}", nth + 1),
                        title: format!("a ramp, {from:.0} to {to:.0} {}", unit(to)),
                    }
                };
                (0..count).map(phase).collect()
            }
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
    /// The folder.
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

#[cfg(test)]
mod tests {
    use super::*;

    fn drawn(distribution: Distribution, seed: u64) -> Vec<u64> {
        let sizes = Sizes::Distribution(distribution);
        let mut sizes = Workload { sizes, names: 20_000, seed, ..Workload::default() }.file_sizes();
        sizes.sort_unstable();
        sizes
    }

    #[test]
    fn sizes_follow_distribution_and_seed() {
        let distribution = Distribution::Lognormal { median: 8192, sigma: 1.5, max: 1 << 40 };
        assert_eq!(drawn(distribution, 3), drawn(distribution, 3));
        assert_ne!(drawn(distribution, 3), drawn(distribution, 4));
        let sizes = drawn(distribution, 3);
        // Quantiles of the normal distribution: 0.5 at 0, 0.8413 at 1, 0.1587 at -1.
        for (quantile, normal) in [(0.5, 0.0), (0.8413, 1.0), (0.1587, -1.0)] {
            let found = sizes[(quantile * sizes.len() as f64) as usize] as f64;
            let expected = 8192.0 * (1.5_f64 * normal).exp();
            assert!((found / expected).ln().abs() < 0.1, "{quantile}: {found}, {expected}");
        }
        let sizes = drawn(Distribution::Pareto { min: 1000, alpha: 1.2, max: 1_000_000 }, 3);
        assert!(sizes[0] >= 1000 && sizes[sizes.len() - 1] == 1_000_000);
        // (min / x)^alpha = 0.1 at 10^(1 / 1.2) times the minimum.
        let found = sizes[sizes.len() * 9 / 10] as f64;
        assert!((found / 6813.0).ln().abs() < 0.1, "{found}");
        let same = drawn(Distribution::Lognormal { median: 8192, sigma: 0.0, max: 1 << 20 }, 3);
        assert_eq!((same[0], same[19_999]), (8192, 8192));
    }

    #[test]
    fn profile_and_distribution_in_scenario() {
        let text = "sizes = { distribution = \"pareto\", min = 1024, alpha = 1.2 }\n\
                    [profile]\nshape = \"steps\"\nlevels = [1, 4, 16]\n";
        let workload: Workload = toml::from_str(text).unwrap();
        let distribution =
            Distribution::Pareto { min: 1024, alpha: 1.2, max: Distribution::LARGEST };
        assert_eq!(workload.sizes, Sizes::Distribution(distribution));
        assert_eq!(workload.profile, Profile::Steps { levels: vec![1.0, 4.0, 16.0] });
        let again: Workload =
            serde_json::from_str(&serde_json::to_string(&workload).unwrap()).unwrap();
        assert_eq!(again, workload);
        let error = toml::from_str::<Workload>("sizes = \"many\"").unwrap_err();
        assert!(error.message().contains("lognormal"), "{error}");
        // Earlier versions said `law` and `course`; the first of all had no profile.
        let earlier = text.replace("distribution", "law").replace("[profile]", "[course]");
        assert_eq!(toml::from_str::<Workload>(&earlier).unwrap(), workload);
        let old: Workload = serde_json::from_str(r#"{"sizes":[10],"connections":3}"#).unwrap();
        assert_eq!((old.profile, old.sizes), (Profile::Steady, vec![10].into()));
    }

    #[test]
    fn run_is_split_into_phases() {
        let levels = vec![1.0, 16.0];
        let steps = Workload { profile: Profile::Steps { levels }, ..Workload::default() };
        let asked = |workload: &Workload| -> Vec<usize> {
            workload.phases().iter().map(|s| s.workload.connections).collect()
        };
        assert_eq!(asked(&steps), [1, 16]);
        assert_eq!((steps.most_connections(), steps.measured()), (16, steps.duration * 2));
        let ramp = Profile::Ramp { from: 10.0, to: 110.0 };
        let ramp = Workload { profile: ramp, ..Workload::default() };
        assert_eq!(asked(&ramp), [15, 25, 35, 45, 55, 65, 75, 85, 95, 105]);
        assert_eq!((ramp.most_connections(), ramp.measured()), (110, ramp.duration));
        let open = Workload { arrivals: Arrivals::Fixed { rate: 0.0 }, ..steps };
        let rates: Vec<_> = open.phases().iter().map(|s| s.workload.arrivals.rate()).collect();
        assert_eq!(rates, [Some(1.0), Some(16.0)]);
        assert_eq!(open.most_connections(), open.connections);
    }
}
