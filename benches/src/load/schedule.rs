//! When an open loop sends, and what any loop asks for: all of it drawn from one seed.

use super::workload::{Arrivals, Mix, Profile, Workload};
use fastrand::Rng;
use std::collections::VecDeque;
use std::time::Duration;

/// The planned times of an open loop, in nanoseconds from its beginning, without end.
#[derive(Clone, Debug)]
pub(crate) struct Schedule {
    rng: Rng,
    poisson: bool,
    /// What is left of the rate's profile; the last is without end.
    pieces: VecDeque<Piece>,
    /// Kept as a fraction, so that no rounding adds up.
    next: f64,
}

/// A time in which the rate is constant or changes evenly.
#[derive(Clone, Copy, Debug)]
struct Piece {
    begin: f64,
    end: f64,
    /// Requests per nanosecond at the beginning.
    rate: f64,
    /// By how much that grows in a nanosecond.
    slope: f64,
}

impl Piece {
    fn at(self, time: f64) -> f64 {
        self.rate + self.slope * (time - self.begin)
    }
}

impl Schedule {
    /// Of a workload and its profile, warm-ups included; none for a closed loop.
    pub(crate) fn new(workload: &Workload) -> Option<Schedule> {
        let rate = workload.arrivals.rate()?;
        let poisson = matches!(workload.arrivals, Arrivals::Poisson { .. });
        let nanos = |time: Duration| time.as_secs_f64() * 1e9;
        let (warm, each) = (nanos(workload.warm_up), nanos(workload.duration));
        // The rate at the beginning of each piece, that at its end, and its length.
        let levels = match &workload.profile {
            Profile::Steady => vec![(rate, rate, each)],
            Profile::Steps { levels } => {
                levels.iter().map(|&level| (level, level, warm + each)).collect()
            }
            Profile::Ramp { from, to } => vec![(*from, *from, warm), (*from, *to, each)],
        };
        let mut pieces = VecDeque::new();
        let (mut begin, mut last) = (0.0, rate);
        for (from, to, length) in levels {
            let (end, slope) = (begin + length, (to - from) / 1e9 / length.max(1.0));
            pieces.push_back(Piece { begin, end, rate: from.max(1e-6) / 1e9, slope });
            (begin, last) = (end, to);
        }
        let rate = last.max(1e-6) / 1e9;
        pieces.push_back(Piece { begin, end: f64::INFINITY, rate, slope: 0.0 });
        let rng = Rng::with_seed(workload.seed);
        let mut schedule = Schedule { rng, poisson, pieces, next: 0.0 };
        schedule.step();
        Some(schedule)
    }

    /// When the next one is planned.
    pub(crate) fn peek(&self) -> u64 {
        self.next as u64
    }

    /// Goes on to the one after.
    pub(crate) fn step(&mut self) {
        // The next comes when the rate has added up to this.
        let mut left = match self.poisson {
            // Times between independent arrivals are exponential. 1 - f64() is never 0.
            true => -(1.0 - self.rng.f64()).ln(),
            false => 1.0,
        };
        while let Some(piece) = self.pieces.front().copied() {
            let rate = piece.at(self.next);
            // Both roots of the parabola in one form that does not cancel out, and is left / rate where the
            // rate is even.
            let root = (rate * rate + 2.0 * piece.slope * left).max(0.0).sqrt();
            let next = self.next + 2.0 * left / (rate + root);
            if next < piece.end || self.pieces.len() == 1 {
                self.next = next;
                return;
            }
            left = (left - f64::midpoint(rate, piece.at(piece.end)) * (piece.end - self.next))
                .max(0.0);
            self.next = piece.end;
            self.pieces.pop_front();
        }
    }
}

/// What is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verb {
    /// A whole file.
    Get,
    /// A new version of a file.
    Put,
    /// The directory.
    List,
    /// The hash of a file.
    Hash,
    /// The end of the conversation.
    Quit,
}

/// Draws requests.
#[derive(Clone, Debug)]
pub(crate) struct Choice {
    rng: Rng,
    /// Sums of the weights.
    verbs: Vec<(u64, Verb)>,
    names: usize,
    /// Sums of Zipf's probabilities; empty if all names are alike.
    zipf: Vec<f64>,
}

impl Choice {
    /// By the weights and Zipf's law of `workload`.
    pub(crate) fn new(workload: &Workload) -> Choice {
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
    pub(crate) fn verb(&mut self) -> Verb {
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
    pub(crate) fn name(&mut self) -> usize {
        match self.zipf.last() {
            None => self.rng.usize(..self.names),
            Some(sum) => {
                let drawn = self.rng.f64() * sum;
                self.zipf.partition_point(|sum| *sum <= drawn).min(self.names - 1)
            }
        }
    }

    /// Whether something of this probability happens.
    pub(crate) fn happens(&mut self, probability: f64) -> bool {
        self.rng.f64() < probability
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn times(arrivals: Arrivals, seed: u64, count: usize) -> Vec<u64> {
        let mut schedule =
            Schedule::new(&Workload { arrivals, seed, ..Workload::default() }).unwrap();
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
    fn poisson_arrivals_follow_seed_and_distribution() {
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

    /// How many arrivals there are between two moments, in seconds.
    fn between(workload: &Workload, from: f64, to: f64) -> usize {
        let mut schedule = Schedule::new(workload).unwrap();
        let mut count = 0;
        loop {
            let at = schedule.peek() as f64 / 1e9;
            if at >= to {
                return count;
            }
            count += usize::from(at >= from);
            schedule.step();
        }
    }

    #[test]
    fn rates_follow_profile() {
        let arrivals = Arrivals::Fixed { rate: 1.0 };
        let (duration, warm_up) = (Duration::from_secs(2), Duration::from_secs(1));
        let base = Workload { arrivals, duration, warm_up, ..Workload::default() };
        let profile = Profile::Steps { levels: vec![100.0, 400.0] };
        let steps = Workload { profile, ..base.clone() };
        assert!(between(&steps, 1.0, 3.0).abs_diff(200) <= 1);
        assert!(between(&steps, 3.0, 6.0).abs_diff(1200) <= 1);
        // From 100 to 500 in 2 s: 600 in all, 200 of them in the first half.
        let profile = Profile::Ramp { from: 100.0, to: 500.0 };
        let ramp = Workload { profile: profile.clone(), ..base.clone() };
        assert!(between(&ramp, 0.0, 1.0).abs_diff(100) <= 1);
        assert!(between(&ramp, 1.0, 2.0).abs_diff(200) <= 1);
        assert!(between(&ramp, 2.0, 3.0).abs_diff(400) <= 1);
        assert!(between(&ramp, 3.0, 4.0).abs_diff(500) <= 1);
        let down = Workload { profile: Profile::Ramp { from: 500.0, to: 100.0 }, ..base.clone() };
        assert!(between(&down, 1.0, 3.0).abs_diff(600) <= 1);
        let random = Workload { arrivals: Arrivals::Poisson { rate: 0.0 }, profile, ..base };
        let count = (0..40).map(|seed| between(&Workload { seed, ..random.clone() }, 1.0, 3.0));
        // 600 each, with a standard deviation of 155 for the sum of 40.
        assert!(count.sum::<usize>().abs_diff(24_000) < 800);
    }

    #[test]
    fn closed_loop_has_no_schedule() {
        assert!(Schedule::new(&Workload::default()).is_none());
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
