//! What may be said of two servers after a few rounds: ratios, intervals, and "no difference shown".
//!
//! The unit of evidence is the round, not the request. A hundred thousand requests of one run share the
//! run's luck (which core was warm, who else used the machine), so they count as one observation of it.
//! Rounds are run next to each other and compared in pairs, which cancels what both had to endure.

use super::latencies::Latencies;
use serde::{Deserialize, Serialize};

/// How sure an interval is to hold the truth, in the long run.
pub const CONFIDENCE: f64 = 0.95;

/// How often the rounds are drawn anew.
const RESAMPLES: usize = 2_000;

/// As many rounds as the bootstrap needs to be trusted alone.
const FEW_ROUNDS: usize = 10;

/// How many times as much one server has of something as another, over rounds.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Ratio {
    /// The geometric mean of the rounds' ratios.
    pub value: f64,
    /// Between what and what the ratio lies with [`CONFIDENCE`]; none of fewer than two rounds.
    pub interval: Option<(f64, f64)>,
    /// How many pairs of rounds it rests on.
    pub rounds: usize,
}

/// Whether the rounds show that two servers differ.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Difference {
    /// They do.
    Shown(Direction),
    /// They do not: there may be none, or the rounds were too few or too noisy to see it.
    NotShown,
}

/// Which way a difference goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Direction {
    /// More than the other has.
    Higher,
    /// Less than the other has.
    Lower,
}

impl Ratio {
    /// What may be said: a difference is shown if the interval lies wholly on one side of 1.
    pub fn difference(&self) -> Difference {
        match self.interval {
            Some((low, _)) if low > 1.0 => Difference::Shown(Direction::Higher),
            Some((_, high)) if high < 1.0 => Difference::Shown(Direction::Lower),
            _ => Difference::NotShown,
        }
    }
}

/// The ratio of two servers over rounds: `pairs` holds a figure of the one and, of the same round, of the
/// other. Pairs in which one has failed, or has no figure above 0, are left out; `None` if none is left, or if a figure is
/// infinite: a percentile above every reply has no ratio, and without its round the others would flatter the server.
///
/// The interval is the percentile bootstrap's over the rounds' ratios, on a scale of logarithms so that a
/// to b is the inverse of b to a. The bootstrap cannot imagine a round outside of those it saw: of three,
/// it would call a quarter of all comparisons of a server with itself a difference. So the percentiles are
/// taken further out for few rounds (Hesterberg's expanded interval), and below ten rounds Student's
/// interval widens it.
pub fn ratio(pairs: &[(Option<f64>, Option<f64>)], seed: u64) -> Option<Ratio> {
    if pairs.iter().any(|(a, b)| [a, b].into_iter().flatten().any(|figure| figure.is_infinite())) {
        return None;
    }
    let logs: Vec<f64> = pairs.iter().filter_map(|&(a, b)| log_ratio(a?, b?)).collect();
    if logs.is_empty() {
        return None;
    }
    let interval = interval(&logs, seed).map(|(low, high)| (low.exp(), high.exp()));
    Some(Ratio { value: mean(&logs).exp(), interval, rounds: logs.len() })
}

/// Jain's index of fairness: 1 if all have the same, 1/n if one of n has all. `None` if nobody has anything.
pub fn fairness(shares: &[u64]) -> Option<f64> {
    let sum: f64 = shares.iter().map(|&share| share as f64).sum();
    let squares: f64 = shares.iter().map(|&share| share as f64 * share as f64).sum();
    (squares > 0.0).then(|| sum * sum / (shares.len() as f64 * squares))
}

/// The value in the middle; of an even number of values the mean of the two. NaN of none.
fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    match sorted.len() {
        0 => f64::NAN,
        n if n % 2 == 1 => sorted[n / 2],
        n => f64::midpoint(sorted[n / 2 - 1], sorted[n / 2]),
    }
}

/// The median of those that are there; `None` if none is. An infinite one stands above all others.
pub fn median_of(values: impl IntoIterator<Item = Option<f64>>) -> Option<f64> {
    let values: Vec<f64> = values.into_iter().flatten().filter(|v| !v.is_nan()).collect();
    (!values.is_empty()).then(|| median(&values))
}

/// The rounds' latencies as one: every request of every round has the same weight.
pub fn merged<'a>(all: impl IntoIterator<Item = &'a Latencies>) -> Latencies {
    let mut whole = Latencies::new();
    for part in all {
        whole.merge(part);
    }
    whole
}

fn log_ratio(a: f64, b: f64) -> Option<f64> {
    let possible = a > 0.0 && b > 0.0 && a.is_finite() && b.is_finite();
    possible.then(|| (a / b).ln()).filter(|log| log.is_finite())
}

fn interval(logs: &[f64], seed: u64) -> Option<(f64, f64)> {
    if logs.len() < 2 {
        return None;
    }
    let (low, high) = bootstrap(logs, seed);
    if logs.len() >= FEW_ROUNDS {
        return Some((low, high));
    }
    let half = student(logs.len() - 1) * deviation(logs) / (logs.len() as f64).sqrt();
    Some((low.min(mean(logs) - half), high.max(mean(logs) + half)))
}

fn bootstrap(logs: &[f64], seed: u64) -> (f64, f64) {
    let mut random = fastrand::Rng::with_seed(seed);
    let mut means: Vec<f64> = (0..RESAMPLES)
        .map(|_| logs.iter().map(|_| logs[random.usize(..logs.len())]).sum::<f64>())
        .map(|sum| sum / logs.len() as f64)
        .collect();
    means.sort_by(f64::total_cmp);
    let n = logs.len() as f64;
    let tail = normal_tail((n / (n - 1.0)).sqrt() * student(logs.len() - 1));
    let outside = (tail * RESAMPLES as f64) as usize;
    (means[outside], means[RESAMPLES - 1 - outside])
}

fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len() as f64
}

fn deviation(values: &[f64]) -> f64 {
    let mean = mean(values);
    let squares: f64 = values.iter().map(|v| (v - mean).powi(2)).sum();
    (squares / (values.len() as f64 - 1.0)).sqrt()
}

/// The 97.5th percentile of Student's distribution.
fn student(freedom: usize) -> f64 {
    const FIRST: [f64; 12] =
        [12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228, 2.201, 2.179];
    match FIRST.get(freedom.saturating_sub(1)) {
        Some(&t) => t,
        // The first terms of Cornish and Fisher's expansion; right to three digits from here on.
        None => {
            let (z, n) = (1.959_964_f64, freedom as f64);
            z + (z.powi(3) + z) / (4.0 * n)
                + (5.0 * z.powi(5) + 16.0 * z.powi(3) + 3.0 * z) / (96.0 * n * n)
        }
    }
}

/// How much of the normal distribution lies above `z`, for a `z` of 0 or more (Abramowitz and Stegun 26.2.17).
fn normal_tail(z: f64) -> f64 {
    const TERMS: [f64; 5] =
        [0.319_381_530, -0.356_563_782, 1.781_477_937, -1.821_255_978, 1.330_274_429];
    let t = 1.0 / (1.0 + 0.231_641_9 * z);
    let polynomial = TERMS.iter().rev().fold(0.0, |sum, term| (sum + term) * t);
    let density = (-z * z / 2.0).exp() / std::f64::consts::TAU.sqrt();
    (density * polynomial).max(0.0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// A figure around `middle` with multiplicative noise.
    fn noisy(random: &mut fastrand::Rng, middle: f64, noise: f64) -> Option<f64> {
        let normal = (0..12).map(|_| random.f64()).sum::<f64>() - 6.0;
        Some(middle * (noise * normal).exp())
    }

    fn share_shown(rounds: usize, truth: f64) -> f64 {
        let mut random = fastrand::Rng::with_seed(7);
        let trials = 200;
        let shown = (0..trials).filter(|&trial| {
            let pairs: Vec<_> = (0..rounds)
                .map(|_| (noisy(&mut random, truth, 0.05), noisy(&mut random, 1.0, 0.05)))
                .collect();
            let ratio = ratio(&pairs, trial).expect("a ratio");
            ratio.difference() != Difference::NotShown
        });
        shown.count() as f64 / trials as f64
    }

    #[test]
    fn median_of_odd_and_even_counts() {
        assert_eq!(median(&[3.0, 1.0, 2.0]), 2.0);
        assert_eq!(median(&[4.0, 1.0, 2.0, 3.0]), 2.5);
        assert!(median(&[]).is_nan());
    }

    #[test]
    fn same_server_shows_no_difference_in_95_of_100() {
        for rounds in [2, 3, 5, 8, 12, 20] {
            let wrong = share_shown(rounds, 1.0);
            assert!(wrong < 0.085, "{rounds} rounds: {wrong} shown");
        }
    }

    #[test]
    fn real_difference_is_shown() {
        assert!(share_shown(3, 2.0) > 0.95);
        assert!(share_shown(10, 1.15) > 0.95);
    }

    #[test]
    fn which_way() {
        let pairs =
            |a: f64| [(Some(a), Some(10.0)), (Some(a * 1.01), Some(10.0)), (Some(a), Some(9.9))];
        let higher = ratio(&pairs(20.0), 1).expect("a ratio");
        assert_eq!(higher.difference(), Difference::Shown(Direction::Higher));
        let lower = ratio(&pairs(5.0), 1).expect("a ratio");
        assert_eq!(lower.difference(), Difference::Shown(Direction::Lower));
        assert_eq!(ratio(&pairs(10.0), 1).map(|r| r.difference()), Some(Difference::NotShown));
    }

    #[test]
    fn one_round_has_no_interval() {
        assert_eq!(ratio(&[], 1), None);
        assert_eq!(ratio(&[(Some(1.0), None), (None, Some(1.0)), (None, None)], 1), None);
        assert_eq!(ratio(&[(Some(0.0), Some(1.0)), (Some(1.0), Some(f64::NAN))], 1), None);
        let endless = Some(f64::INFINITY);
        assert_eq!(ratio(&[(Some(1.0), Some(1.0)), (endless, Some(1.0))], 1), None);
        let one = ratio(&[(Some(4.0), Some(2.0)), (None, Some(2.0))], 1).expect("a ratio");
        assert_eq!(one, Ratio { value: 2.0, interval: None, rounds: 1 });
        assert_eq!(one.difference(), Difference::NotShown);
    }

    #[test]
    fn known_constants() {
        assert!((normal_tail(1.959_964) - 0.025).abs() < 1e-6);
        assert!((normal_tail(0.0) - 0.5).abs() < 1e-6);
        assert!((student(13) - 2.160).abs() < 2e-3);
        assert!((student(30) - 2.042).abs() < 1e-3);
    }

    #[test]
    fn fairness_of_known_shares() {
        assert_eq!(fairness(&[5, 5, 5, 5]), Some(1.0));
        assert_eq!(fairness(&[8, 0, 0, 0]), Some(0.25));
        assert_eq!(fairness(&[0, 0]), None);
        assert_eq!(fairness(&[]), None);
    }

    #[test]
    fn median_ignores_missing_values() {
        assert_eq!(median_of([Some(3.0), None, Some(1.0)]), Some(2.0));
        assert_eq!(median_of([None, Some(f64::NAN)]), None);
    }

    proptest! {
        #[test]
        fn interval_contains_value(
            pairs in prop::collection::vec((0.1f64..1e6, 0.1f64..1e6), 2..15),
            seed: u64,
        ) {
            let pairs: Vec<_> = pairs.into_iter().map(|(a, b)| (Some(a), Some(b))).collect();
            let found = ratio(&pairs, seed).expect("a ratio");
            let (low, high) = found.interval.expect("an interval");
            prop_assert!(low <= found.value * (1.0 + 1e-9) && found.value <= high * (1.0 + 1e-9));
            prop_assert_eq!(Some(found), ratio(&pairs, seed), "the same seed gives the same");
        }

        #[test]
        fn ratio_is_independent_of_unit(
            pairs in prop::collection::vec((0.1f64..1e6, 0.1f64..1e6), 2..15),
            unit in 1e-3f64..1e3,
        ) {
            let plain: Vec<_> = pairs.iter().map(|&(a, b)| (Some(a), Some(b))).collect();
            let scaled: Vec<_> = pairs.iter().map(|&(a, b)| (Some(a * unit), Some(b * unit))).collect();
            let (plain, scaled) = (ratio(&plain, 1).expect("one"), ratio(&scaled, 1).expect("one"));
            prop_assert!((plain.value / scaled.value - 1.0).abs() < 1e-6);
        }

        #[test]
        fn fairness_lies_between_one_nth_and_one(shares in prop::collection::vec(0u64..1_000_000, 1..50)) {
            if let Some(index) = fairness(&shares) {
                prop_assert!(index <= 1.0 + 1e-9 && index >= 1.0 / shares.len() as f64 - 1e-9);
            }
        }
    }

    #[test]
    fn median_is_the_middle_value() {
        assert_eq!(median(&[3.0, 1.0, 2.0]), 2.0);
        assert_eq!(median(&[4.0, 1.0, 2.0, 3.0]), 2.5);
        assert!(median(&[]).is_nan());
    }
}
