//! When figures are not to be believed. The generator judges itself before anybody else does.

use super::recording::Recording;
use super::workload::Arrivals;

/// How a reason begins that says that the server ended before the run did.
pub const SERVER_ENDED: &str = "the server ended";

/// What a run may come to before its figures are called invalid.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Bounds {
    /// Of the generator's core.
    pub cpu: f64,
    /// Of the time that the generator was ready to run and had no core, as a share of the run.
    pub run_queue: f64,
    /// Of the lag's 99th percentile, in nanoseconds.
    pub lag: u64,
    /// Of the planned requests that were dropped, as a share.
    pub drops: f64,
    /// Of the errors, as a share of the requests.
    pub errors: f64,
    /// Of the rate, as a share of what the generator can do at most.
    pub ceiling: f64,
}

impl Default for Bounds {
    fn default() -> Bounds {
        Bounds {
            cpu: 0.8,
            run_queue: 0.05,
            lag: 1_000_000,
            drops: 0.01,
            errors: 0.001,
            ceiling: 0.8,
        }
    }
}

/// The reasons to doubt a recording that lie in the generator: it was short of CPU time, or late.
pub fn own_reasons(recording: &Recording, bounds: &Bounds) -> Vec<String> {
    let mut reasons = Vec::new();
    let share = recording.generator.share;
    if share > bounds.cpu {
        reasons.push(format!(
            "the generator used {}% of its core (more than {}%): it may be what was measured",
            percent(share),
            percent(bounds.cpu)
        ));
    }
    // Where the system does not count the wait there is no verdict on it.
    let waited = recording.generator.waiting.unwrap_or(0.0);
    if waited > bounds.run_queue {
        reasons.push(format!(
            "the generator was ready to run and had no core for {}% of the time (more than {}%): end other programs that \
             use its core, or use a longer --duration",
            percent(waited),
            percent(bounds.run_queue)
        ));
    }
    let lag = recording.lag.percentile(99.0);
    if lag > bounds.lag && recording.workload.arrivals != Arrivals::Closed {
        reasons.push(format!(
            "the generator sent late: lag p99 is {:.1} ms (more than {:.1} ms)",
            lag as f64 / 1e6,
            bounds.lag as f64 / 1e6
        ));
    }
    reasons
}

/// All reasons to doubt a recording, apart from how it ended. `ceiling` is what
/// [`null_ceiling`](super::engine::null_ceiling) has returned, in requests per second.
pub fn reasons(recording: &Recording, bounds: &Bounds, ceiling: Option<f64>) -> Vec<String> {
    let mut reasons = own_reasons(recording, bounds);
    let totals = &recording.totals;
    let drops = share_of(totals.dropped, totals.planned);
    if drops > bounds.drops {
        let workload = &recording.workload;
        let flag =
            if workload.max_in_flight.is_some() { "--max-in-flight" } else { "--connections" };
        reasons.push(format!(
            "{} of {} planned requests were dropped ({}%, more than {}%), since at most {} may be in flight: raise \
             {flag}, or lower the rate",
            totals.dropped,
            totals.planned,
            percent(drops),
            percent(bounds.drops),
            workload.in_flight().unwrap_or(workload.connections)
        ));
    }
    if totals.connections_made < totals.connections_asked {
        reasons.push(format!(
            "only {} of {} connections were made",
            totals.connections_made, totals.connections_asked
        ));
    }
    let errors: u64 = recording.errors.values().sum();
    let share = share_of(errors, errors + totals.done);
    if share > bounds.errors {
        reasons.push(format!(
            "{errors} errors ({}% of the requests, more than {}%)",
            percent(share),
            percent(bounds.errors)
        ));
    }
    let rate = if recording.seconds > 0.0 { totals.done as f64 / recording.seconds } else { 0.0 };
    if let Some(ceiling) = ceiling
        && rate > bounds.ceiling * ceiling
    {
        reasons.push(format!(
            "{rate:.0} requests/s are more than {}% of the {ceiling:.0} that the generator can do",
            percent(bounds.ceiling)
        ));
    }
    if totals.done == 0 {
        reasons.push(match (errors, totals.planned) {
            (0, 0) => format!(
                "no request was answered: none was sent within {} s, since all clients waited for replies to earlier \
                 ones; use a longer --duration",
                recording.workload.duration.as_secs_f64()
            ),
            _ => "no request was answered".into(),
        });
    }
    reasons
}

/// Judges anew by other bounds; what was said of the server's end stays.
pub fn judge(recording: &mut Recording, bounds: &Bounds, ceiling: Option<f64>) {
    recording.invalid.retain(|reason| reason.starts_with(SERVER_ENDED));
    let reasons = reasons(recording, bounds, ceiling);
    recording.invalid.extend(reasons);
}

/// Whether the server ended before the run did.
pub fn server_ended(recording: &Recording) -> bool {
    recording.invalid.iter().any(|reason| reason.starts_with(SERVER_ENDED))
}

fn percent(share: f64) -> f64 {
    (share * 1000.0).round() / 10.0
}

fn share_of(some: u64, all: u64) -> f64 {
    if all == 0 { 0.0 } else { some as f64 / all as f64 }
}
