//! The order of measuring: rounds in which the library and its baseline come next to each other, each time two new processes
//! on two new objects.

use super::cases::{Case, Contestant, Cores};
use super::objects::{self, Objects};
use super::pair::Pair;
use super::report::{Measured, Outcome, Report, SCHEMA};
use crate::Placement;
use crate::load::recording::Environment;
use std::error::Error;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// How long the measuring is.
#[derive(Clone, Copy, Debug)]
pub struct Effort {
    /// How often each contestant of a case is measured.
    pub rounds: usize,
    /// For how long each time, without the warm-up before.
    pub time: Duration,
    /// Messages in place of a time, every byte of each compared: to see whether it works.
    pub count: Option<u64>,
}

/// What there is to run, and where.
pub struct Setup<'a> {
    /// The cases, including those that are excluded.
    pub cases: &'a [Case],
    /// For how long.
    pub effort: Effort,
    /// On which cores.
    pub placement: Placement,
    /// Set from elsewhere to stop early.
    pub stop: &'a AtomicBool,
}

/// Runs all cases. A case that fails does not keep the others from being run.
pub fn run(setup: &Setup<'_>, environment: Environment, progress: &mut dyn FnMut(&str)) -> Report {
    let mut results = Vec::new();
    for (nth, &case) in setup.cases.iter().enumerate() {
        let missing = case.exclusion().map(str::to_owned).or_else(|| {
            let two = matches!(setup.placement, Placement::Pinned { .. });
            (case.cores == Cores::Two && !two).then(|| "there is one core to run on".to_owned())
        });
        let mut result = Measured { case, missing, outcomes: Vec::new() };
        if result.missing.is_none() {
            let number = format!("{} of {}, {case}", nth + 1, setup.cases.len());
            rounds(setup, &mut result, &mut |round| {
                progress(&format!("{number}, round {round} of {}", setup.effort.rounds));
            });
        }
        results.push(result);
        if setup.stop.load(Ordering::Relaxed) {
            break;
        }
    }
    let (rounds, millis) = (setup.effort.rounds, setup.effort.time.as_millis() as u64);
    Report { schema: SCHEMA, environment, rounds, millis, results }
}

fn rounds(setup: &Setup<'_>, result: &mut Measured, progress: &mut dyn FnMut(usize)) {
    let case = result.case;
    let blank = |contestant| Outcome { contestant, messages: 0, nanos: Vec::new(), failure: None };
    let mut outcomes: Vec<Outcome> = case.contestants().into_iter().map(blank).collect();
    'rounds: for round in 0..setup.effort.rounds {
        progress(round + 1);
        for at in order(outcomes.len(), round) {
            let outcome = &mut outcomes[at];
            if outcome.failure.is_some() {
                outcome.nanos.push(None);
                continue;
            }
            let measured = measure(setup, &case, outcome.contestant, outcome.messages);
            if setup.stop.load(Ordering::Relaxed) {
                break 'rounds; // what was cut short is no figure
            }
            match measured {
                Ok((nanos, messages)) => {
                    outcome.nanos.push(Some(nanos));
                    outcome.messages = messages;
                }
                Err(error) => match objects::limit(&*error) {
                    Some(limit) if round == 0 => {
                        result.missing = Some(limit);
                        return;
                    }
                    _ => {
                        outcome.nanos.push(None);
                        outcome.failure = Some(error.to_string());
                    }
                },
            }
        }
    }
    // Pairs are made of what was run in the same round.
    let whole = outcomes.iter().map(|outcome| outcome.nanos.len()).min().unwrap_or(0);
    outcomes.iter_mut().for_each(|outcome| outcome.nanos.truncate(whole));
    result.outcomes = outcomes;
}

/// The order of a round: the first of one round is the last of the next, and the first changes every second round.
fn order(contestants: usize, round: usize) -> Vec<usize> {
    let mut order: Vec<usize> = (0..contestants).collect();
    order.rotate_left((round / 2) % contestants.max(1));
    if round % 2 == 1 {
        order.reverse();
    }
    order
}

/// One measurement: nanoseconds for each message or round trip, and how many there were of them. `messages` is how many
/// there are to be, 0 for as many as fill the time.
fn measure(
    setup: &Setup<'_>,
    case: &Case,
    contestant: Contestant,
    messages: u64,
) -> Result<(f64, u64), Box<dyn Error>> {
    let objects = Objects::make(case, contestant)?;
    let thorough = setup.effort.count.is_some();
    let mut pair = Pair::start(setup.placement, case, contestant, thorough, objects)?;
    if let Some(count) = setup.effort.count {
        pair.exchange(count)?;
        let nanos = pair.exchange(count)? as f64;
        pair.end()?;
        return Ok((each(nanos, count), count));
    }
    let messages = match messages {
        0 => pair.count_for(setup.effort.time)?,
        messages => {
            pair.exchange(messages.div_ceil(5))?; // to warm up
            messages
        }
    };
    let nanos = pair.exchange(messages)? as f64;
    pair.end()?;
    Ok((each(nanos, messages), messages))
}

/// To a thousandth of a nanosecond: more would be read back from JSON as something else.
fn each(nanos: f64, messages: u64) -> f64 {
    (nanos / messages as f64 * 1e3).round() / 1e3
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_contestant_begins_and_ends() {
        assert_eq!(order(2, 0), [0, 1]);
        assert_eq!(order(2, 1), [1, 0]);
        assert_eq!(order(2, 2), [1, 0]);
        assert_eq!(order(2, 3), [0, 1]);
        for contestants in 1..5 {
            let mut first = vec![0; contestants];
            (0..contestants * 4).for_each(|round| first[order(contestants, round)[0]] += 1);
            assert!(first.iter().all(|times| *times > 0), "{first:?}");
        }
    }
}
