//! The sizes of the files: a list, or a distribution that they are drawn from.

use super::Workload;
use fastrand::Rng;
use serde::{Deserialize, Serialize};

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
}
