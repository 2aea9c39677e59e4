//! Sweeps: the cases of a comparison that differ in their load alone, and so are the points of one curve.

use super::{Case, Comparison};
use crate::load::workload::Arrivals;

/// How many levels of load the first curve of a comparison has; 0 without any.
pub fn levels(comparison: &Comparison) -> usize {
    sweeps(comparison).first().map_or(0, Vec::len)
}

/// How much load a case is: requests per second in an open loop, connections in a closed one.
pub(super) fn level(case: &Case) -> f64 {
    case.workload.arrivals.rate().unwrap_or(case.workload.connections as f64)
}

/// Whether the load of a case is a closed loop.
pub(super) fn closed(case: &Case) -> bool {
    case.workload.arrivals == Arrivals::Closed
}

/// Cases that differ alone in the number of connections, or in the rate of an open loop, in its order.
pub(super) fn sweeps(comparison: &Comparison) -> Vec<Vec<&Case>> {
    let alike = |a: &Case, b: &Case| {
        let mut workload = a.workload.clone();
        match (a.workload.arrivals.rate(), b.workload.arrivals.rate()) {
            (Some(_), Some(rate)) => workload.arrivals = workload.arrivals.at(rate),
            _ => workload.connections = b.workload.connections,
        }
        workload.duration = b.workload.duration;
        workload.warm_up = b.workload.warm_up;
        workload.seed = b.workload.seed;
        workload == b.workload
    };
    let mut sweeps: Vec<Vec<&Case>> = Vec::new();
    for case in &comparison.cases {
        match sweeps.iter_mut().find(|sweep| alike(sweep[0], case)) {
            Some(sweep) if sweep.iter().all(|other| level(other) != level(case)) => {
                sweep.push(case);
            }
            Some(_) => {}
            None => sweeps.push(vec![case]),
        }
    }
    sweeps.retain(|sweep| sweep.len() > 1);
    for sweep in &mut sweeps {
        sweep.sort_by(|a, b| level(a).total_cmp(&level(b)));
    }
    sweeps
}

/// The case that stands for all: that of the first sweep which is nearest to 64 connections, or of one over rates
/// the middle.
pub(super) fn reference<'a>(
    comparison: &'a Comparison,
    sweeps: &[Vec<&'a Case>],
) -> Option<&'a Case> {
    let distance =
        |case: &&&Case| ((case.workload.connections as f64 / 64.0).ln().abs() * 1e6) as u64;
    match sweeps.first() {
        Some(sweep) if sweep.iter().any(|case| !closed(case)) => {
            sweep.get(sweep.len() / 2).copied()
        }
        Some(sweep) => sweep.iter().min_by_key(distance).copied(),
        None => comparison.cases.first(),
    }
}

/// What the titles of a sweep's cases have in common, without the connections that differ.
pub(super) fn common_title(sweep: &[&Case], first: &Case) -> String {
    let parts: Vec<&str> = first.title.split(", ").collect();
    let everywhere =
        |part: &&&str| sweep.iter().all(|case| case.title.split(", ").any(|other| other == **part));
    let common: Vec<&str> = parts.iter().filter(everywhere).copied().collect();
    if common.is_empty() { first.title.clone() } else { common.join(", ") }
}
