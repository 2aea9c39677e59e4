//! When an open loop sends, and what any loop asks for: all of it drawn from one seed.

use super::workload::{Arrivals, Mix, Workload};
use fastrand::Rng;

/// The planned times of an open loop, in nanoseconds from its beginning, without end.
#[derive(Clone, Debug)]
pub struct Schedule {
    rng: Rng,
    /// Nanoseconds between two arrivals, on average.
    gap: f64,
    poisson: bool,
    /// Kept as a fraction, so that no rounding adds up.
    next: f64,
}

impl Schedule {
    /// None for a closed loop, which plans nothing.
    pub fn new(arrivals: Arrivals, seed: u64) -> Option<Schedule> {
        let (rate, poisson) = match arrivals {
            Arrivals::Closed => return None,
            Arrivals::Fixed { rate } => (rate, false),
            Arrivals::Poisson { rate } => (rate, true),
        };
        let gap = 1e9 / rate.max(f64::MIN_POSITIVE);
        let mut schedule = Schedule { rng: Rng::with_seed(seed), gap, poisson, next: 0.0 };
        schedule.step();
        Some(schedule)
    }

    /// When the next one is planned.
    pub fn peek(&self) -> u64 {
        self.next as u64
    }

    /// Goes on to the one after.
    pub fn step(&mut self) {
        self.next += if self.poisson {
            // Times between independent arrivals are exponential. 1 - f64() is never 0.
            -(1.0 - self.rng.f64()).ln() * self.gap
        } else {
            self.gap
        };
    }
}

/// What is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verb {
    /// A whole file.
    Get,
    /// A new version of a file.
    Put,
    /// The folder.
    List,
    /// The hash of a file.
    Hash,
    /// The end of the conversation.
    Quit,
}

/// Draws requests.
#[derive(Clone, Debug)]
pub struct Choice {
    rng: Rng,
    /// Sums of the weights.
    verbs: Vec<(u64, Verb)>,
    names: usize,
    /// Sums of Zipf's probabilities; empty if all names are alike.
    zipf: Vec<f64>,
}

impl Choice {
    /// By the weights and Zipf's law of `workload`.
    pub fn new(workload: &Workload) -> Choice {
        let Mix { get, put, list, hash, quit } = workload.mix;
        let weights = [
            (get, Verb::Get),
            (put, Verb::Put),
            (list, Verb::List),
            (hash, Verb::Hash),
            (quit, Verb::Quit),
        ];
        let mut sum = 0;
        let verbs = weights
            .into_iter()
            .filter(|(weight, _)| *weight > 0)
            .map(|(weight, verb)| {
                sum += u64::from(weight);
                (sum, verb)
            })
            .collect();
        let names = workload.names.max(1);
        let mut zipf = Vec::new();
        if workload.zipf > 0.0 {
            let mut sum = 0.0;
            zipf.extend((1..=names).map(|rank| {
                sum += (rank as f64).powf(-workload.zipf);
                sum
            }));
        }
        // Another seed than the schedule's: what is asked does not depend on when.
        let rng = Rng::with_seed(workload.seed ^ 0xc401_ce00);
        Choice { rng, verbs, names, zipf }
    }

    /// The next request.
    pub fn verb(&mut self) -> Verb {
        match self.verbs[..] {
            [] => Verb::Get,
            [(_, only)] => only,
            [.., (sum, last)] => {
                let drawn = self.rng.u64(..sum);
                self.verbs.iter().find(|(sum, _)| drawn < *sum).map_or(last, |(_, verb)| *verb)
            }
        }
    }

    /// The next name.
    pub fn name(&mut self) -> usize {
        match self.zipf.last() {
            None => self.rng.usize(..self.names),
            Some(sum) => {
                let drawn = self.rng.f64() * sum;
                self.zipf.partition_point(|sum| *sum <= drawn).min(self.names - 1)
            }
        }
    }

    /// Whether something of this probability happens.
    pub fn happens(&mut self, probability: f64) -> bool {
        self.rng.f64() < probability
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn times(arrivals: Arrivals, seed: u64, count: usize) -> Vec<u64> {
        let mut schedule = Schedule::new(arrivals, seed).unwrap();
        let mut next = || {
            let at = schedule.peek();
            schedule.step();
            at
        };
        (0..count).map(|_| next()).collect()
    }

    #[test]
    fn fixed_arrivals_are_even() {
        assert_eq!(
            times(Arrivals::Fixed { rate: 1000.0 }, 1, 3),
            [1_000_000, 2_000_000, 3_000_000]
        );
        let last = times(Arrivals::Fixed { rate: 3.0 }, 1, 3_000_000)[2_999_999];
        assert!(last.abs_diff(1_000_000_000_000_000) < 1_000_000, "{last}");
    }

    #[test]
    fn poisson_arrivals_follow_the_seed_and_the_law() {
        let arrivals = Arrivals::Poisson { rate: 1000.0 };
        assert_eq!(times(arrivals, 7, 100), times(arrivals, 7, 100));
        assert_ne!(times(arrivals, 7, 100), times(arrivals, 8, 100));
        let times = times(arrivals, 7, 100_000);
        let mean = times[99_999] as f64 / 100_000.0;
        assert!((mean / 1e6 - 1.0).abs() < 0.02, "{mean}");
        // e^-1 of the gaps are longer than the mean.
        let long = times.windows(2).filter(|pair| pair[1] - pair[0] > 1_000_000).count();
        assert!((long as f64 / 1e5 - 0.3679).abs() < 0.01, "{long}");
    }

    #[test]
    fn a_closed_loop_plans_nothing() {
        assert!(Schedule::new(Arrivals::Closed, 1).is_none());
    }

    #[test]
    fn weights_and_zipf() {
        let mix = Mix { get: 7, put: 0, list: 3, hash: 0, quit: 0 };
        let workload = Workload { mix, zipf: 1.0, names: 3, ..Workload::default() };
        let mut choice = Choice::new(&workload);
        let lists = (0..10_000).filter(|_| choice.verb() == Verb::List).count();
        assert!((2800..3200).contains(&lists), "{lists}");
        let mut counts = [0; 3];
        (0..11_000).for_each(|_| counts[choice.name()] += 1);
        // 1 : 1/2 : 1/3
        for (count, expected) in counts.into_iter().zip([6000_i32, 3000, 2000]) {
            assert!((count - expected).abs() < 300, "{counts:?}");
        }
    }
}
