//! The rounds of a comparison: each server is started again for each run, and the load is on another core.
//!
//! What makes a comparison honest is its order. In every round of a case all servers run next to each other,
//! each started again; the first of one round is the last of the next, and who begins changes every second
//! round (A B C, C B A, B C A, A C B, ...). So a machine that grows slower does so for all, and nobody
//! always comes after the same one. Ratios are taken within rounds.

use super::cases::Plan;
use super::contestants::Contestant;
use super::wrk::Wrk;
use crate::load::content;
use crate::load::engine::{self, Target};
use crate::load::recording::Environment;
use crate::load::report::{self, Case, Comparison, SCHEMA, ServerResult};
use crate::load::sampled_run::{Context, SampledRun, environment, run_sampled};
use crate::load::verdict::{self, Bounds};
use crate::load::workload::{Arrivals, Mix, Protocol, Workload};
use crate::{Placement, Server, text};
use std::io;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// How long a single client is served before the memory of an empty server is sampled.
const FIRST_CLIENT: Duration = Duration::from_millis(50);

/// All that a comparison needs.
#[derive(Clone, Debug)]
pub struct Setup<'a> {
    /// The servers that take part.
    pub contestants: &'a [Contestant],
    /// What is asked of them.
    pub cases: &'a [Plan],
    /// How often each case is run.
    pub rounds: usize,
    /// The server that the ratios are to.
    pub baseline: Option<String>,
    /// The directory that all serve.
    pub root: &'a Path,
    /// The cores of server and load.
    pub placement: Placement,
    /// The program that puts the load on them, instead of the generator itself.
    pub wrk: Option<Wrk>,
    /// Set from elsewhere, it ends the comparison; what was measured until then is the result.
    pub stop: &'a AtomicBool,
}

/// Runs a comparison. `progress` is called with each step, as a line of text, before it begins.
///
/// # Errors
///
/// The files to serve cannot be made.
pub fn compare(setup: &Setup<'_>, progress: &mut dyn FnMut(&str)) -> io::Result<Comparison> {
    let mut environment = environment(placement_text(setup.placement, setup.contestants));
    let begun = Instant::now();
    let mut watching: f64 = 0.0;
    let mut cases = Vec::new();
    for (nth, plan) in setup.cases.iter().enumerate() {
        let mut workload = plan.workload.clone();
        let mut results: Vec<ServerResult> = setup
            .contestants
            .iter()
            .map(|contestant| ServerResult {
                server: contestant.name.clone(),
                rounds: Vec::new(),
                failure: contestant.unsupported(&workload),
                note: contestant.note(),
            })
            .collect();
        // One protocol for all of them.
        let able = |at: &usize| results[*at].failure.is_none();
        let able: Vec<usize> = (0..results.len()).filter(able).collect();
        if setup.wrk.is_some() || able.iter().any(|&at| setup.contestants[at].needs_http()) {
            workload.protocol = Protocol::Http;
        }
        content::make_files(setup.root, &workload).map_err(|error| {
            let (root, why) = (setup.root.display(), text::error(&error));
            io::Error::other(format!("cannot make files in {root}: {why}"))
        })?;
        // The generator's own limit is measured before that of any server.
        let own = setup.wrk.is_none() && !able.is_empty();
        let ceiling = match own && is_get_alone(&workload) {
            true => {
                progress(&format!(
                    "case {} of {}, {}: what the generator itself can do",
                    nth + 1,
                    setup.cases.len(),
                    plan.name
                ));
                let found = setup.placement.on_client_core(|| engine::null_ceiling(&workload));
                // A large file may not have been sent in so short a time.
                found.ok().map(|ceiling| ceiling.per_cpu_second).filter(|ceiling| *ceiling > 0.0)
            }
            false => None,
        };
        'rounds: for round in 0..setup.rounds {
            for at in order(&able, round) {
                if setup.stop.load(Ordering::Relaxed) {
                    break 'rounds;
                }
                let contestant = &setup.contestants[at];
                progress(&format!(
                    "case {} of {}, {}, round {} of {}: {}",
                    nth + 1,
                    setup.cases.len(),
                    plan.name,
                    round + 1,
                    setup.rounds,
                    contestant.name
                ));
                let made = measure(setup, contestant, &workload, &environment);
                if setup.stop.load(Ordering::Relaxed) {
                    break 'rounds; // what was cut short is no round
                }
                let result = &mut results[at];
                match made {
                    Ok(SampledRun { mut recording, share }) => {
                        watching = share.max(watching);
                        verdict::judge(&mut recording, &Bounds::default(), ceiling);
                        result.rounds.push(Some(recording));
                    }
                    Err(why) => {
                        result.rounds.push(None);
                        result.failure.get_or_insert(why);
                    }
                }
            }
        }
        let (name, title) = (plan.name.clone(), plan.title.clone());
        cases.push(Case { name, title, workload, results, ceiling });
        if setup.stop.load(Ordering::Relaxed) {
            break;
        }
    }
    environment.placement +=
        &format!("; to watch a server took at most {:.1}% of a core", 100.0 * watching);
    if setup.stop.load(Ordering::Relaxed) {
        let after = text::duration(begun.elapsed());
        environment.placement +=
            &format!("; INTERRUPTED after {after}: only the rounds that had ended are reported");
    }
    let driver = setup.wrk.as_ref().map(|wrk| wrk.version.clone());
    Ok(Comparison { schema: SCHEMA, environment, driver, baseline: setup.baseline.clone(), cases })
}

/// Whether the null run answers what is asked.
fn is_get_alone(workload: &Workload) -> bool {
    let Mix { get, put, list, hash, quit } = workload.mix;
    get > 0 && put + list + hash + quit == 0 && workload.arrivals == Arrivals::Closed
}

/// The order of a round: forwards, backwards, then with another server first.
fn order(all: &[usize], round: usize) -> Vec<usize> {
    let mut order = all.to_vec();
    order.rotate_left((round / 2) % all.len().max(1));
    if round % 2 == 1 {
        order.reverse();
    }
    order
}

/// The cores of the servers and of the load; those of a server that runs already are unknown.
pub(super) fn placement_text(placement: Placement, contestants: &[Contestant]) -> String {
    let running = |contestant: &&Contestant| contestant.address().is_some();
    let names: Vec<&str> = contestants.iter().filter(running).map(|c| c.name.as_str()).collect();
    match names.len() {
        0 => placement.to_string(),
        n if n == contestants.len() => placement.with_external_server(None),
        _ => format!(
            "{placement}; not so {}, started elsewhere, on cores that are not known",
            names.join(", ")
        ),
    }
}

/// One run against one server that is started for it.
fn measure(
    setup: &Setup<'_>,
    contestant: &Contestant,
    workload: &Workload,
    environment: &Environment,
) -> Result<SampledRun, String> {
    let server = contestant
        .start(setup.root, workload.connections, setup.placement)
        .map_err(|error| format!("does not start: {}", text::error(&error)))?;
    let started = server.as_ref().map(|server| Target::new(server.addr(), &contestant.name));
    let target = contestant.address().cloned().or(started).ok_or("has no address")?;
    let Setup { placement, stop, .. } = *setup;
    let run = |workload: &Workload, server| {
        let context = Context { target: &target, server, placement, environment, stop };
        match &setup.wrk {
            Some(wrk) => wrk.run(workload, context),
            None => run_sampled(workload, context),
        }
    };
    if report::is_idle(workload) {
        // What the first client costs, pages of the program and a heap, is not a cost of each client.
        let first = Workload {
            connections: 1,
            arrivals: Arrivals::Closed,
            duration: FIRST_CLIENT,
            warm_up: Duration::ZERO,
            ..workload.clone()
        };
        run(&first, None).map_err(|why| with_end(why, server.as_ref()))?;
    }
    let mut made = run(workload, server.as_ref()).map_err(|why| with_end(why, server.as_ref()))?;
    if verdict::server_ended(&made.recording)
        && let Some(why) = server.as_ref().and_then(Server::why_ended)
    {
        made.recording.notes.push(format!("the server: {why}"));
    }
    Ok(made)
}

/// Why a run failed, and how its server ended, if it did.
fn with_end(why: String, server: Option<&Server>) -> String {
    match server.and_then(Server::why_ended) {
        Some(end) => format!("{why}: {end}"),
        None => why,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_server_goes_first_and_last() {
        let all = [0, 1, 2];
        let rounds: Vec<_> = (0..6).map(|round| order(&all, round)).collect();
        assert_eq!(rounds[..4], [[0, 1, 2], [2, 1, 0], [1, 2, 0], [0, 2, 1]]);
        for server in all {
            assert!(rounds.iter().any(|order| order[0] == server));
            let places: usize =
                rounds.iter().map(|order| order.iter().position(|&s| s == server).unwrap()).sum();
            assert_eq!(places, 6, "the mean place of each is the middle");
        }
        assert!(order(&[], 3).is_empty());
    }
}
