//! Notes: why figures of a chapter are missing, invalid or incomplete, one for each server.

use super::sweeps::{closed, level};
use super::{Case, ServerResult};
use crate::text::{listed, whole};

/// Why figures of a chapter are missing, invalid or incomplete: one note for a server, whose number stands next to
/// its figures.
#[derive(Default)]
pub(super) struct Notes<'a> {
    notes: Vec<(&'a str, Vec<String>)>,
}

impl<'a> Notes<'a> {
    pub(super) fn of(servers: &[&'a str], cases: &[&'a Case]) -> Notes<'a> {
        let notes = servers.iter().filter_map(|&server| {
            let reasons = reasons(server, cases);
            (!reasons.is_empty()).then_some((server, reasons))
        });
        Notes { notes: notes.collect() }
    }

    /// The mark of a server's figures in a case; empty if they are complete and valid.
    pub(super) fn mark(&self, server: &str, case: &Case) -> String {
        match case.result(server).is_some_and(|result| is_noted(result) || starves(case, result)) {
            true => self.number(server),
            false => String::new(),
        }
    }

    /// The number of a server's note, raised.
    pub(super) fn number(&self, server: &str) -> String {
        self.notes
            .iter()
            .position(|(name, _)| *name == server)
            .map_or(String::new(), |at| raised(at + 1))
    }

    /// All of them, as the end of a chapter lists them: a mark and the reasons.
    pub(super) fn list(&self) -> Vec<(String, String)> {
        let note = |(at, (server, reasons)): (usize, &(&str, Vec<String>))| {
            (raised(at + 1), format!("{server}: {}.", reasons.join("; ")))
        };
        self.notes.iter().enumerate().map(note).collect()
    }
}

/// Whether a result is incomplete or invalid.
pub(super) fn is_noted(result: &ServerResult) -> bool {
    result.is_invalid() || result.rounds.is_empty() || result.rounds.iter().any(Option::is_none)
}

/// The note of a server that starves clients.
const STARVED: &str = "left clients without any reply (see \"clients served\"), and its percentiles are those of the others";

/// A number in small raised digits.
fn raised(number: usize) -> String {
    const DIGITS: [char; 10] = ['⁰', '¹', '²', '³', '⁴', '⁵', '⁶', '⁷', '⁸', '⁹'];
    let digits = number.to_string();
    digits.bytes().map(|digit| DIGITS[usize::from(digit - b'0') % 10]).collect()
}

/// Whether some clients of a closed loop had no reply in the whole of a run. (In an open loop a client may have had
/// nothing to ask.)
fn starves(case: &Case, result: &ServerResult) -> bool {
    closed(case)
        && result.runs().any(|run| run.totals.clients_served < run.totals.connections_asked)
}

/// The reasons to doubt the figures of a server; several that differ in their numbers alone are one.
fn reasons(server: &str, cases: &[&Case]) -> Vec<String> {
    let kind = |why: &str| why.replace(|c: char| c.is_ascii_digit() || matches!(c, '.' | ','), "");
    let mut all: Vec<(String, Vec<&Case>)> = Vec::new();
    for &case in cases {
        let Some(result) = case.result(server) else { continue };
        let missing = result.rounds.iter().filter(|round| round.is_none()).count();
        let failure = result.failure.as_deref().unwrap_or("no reason given");
        let failure = match (missing, result.rounds.len()) {
            (_, 0) => Some(failure.to_owned()),
            (0, _) => None,
            (missing, rounds) => Some(format!("{failure} ({missing} of {rounds} rounds)")),
        };
        let invalid = result.invalid().into_iter().map(|why| format!("INVALID: {why}"));
        let starved = starves(case, result).then(|| STARVED.to_owned());
        for why in invalid.chain(failure).chain(starved) {
            match all.iter_mut().find(|(known, _)| kind(known) == kind(&why)) {
                Some((_, concerned)) => concerned.push(case),
                None => all.push((why, vec![case])),
            }
        }
    }
    let sweep = cases.len() > 1 && cases.iter().all(|case| closed(case) == closed(cases[0]));
    let alike = sweep && sweep_like(cases);
    let reasons = all.into_iter().map(|(why, concerned)| {
        if cases.len() == 1 {
            return why;
        }
        let titles: Vec<String> = match alike {
            true => concerned.iter().map(|case| whole(level(case))).collect(),
            false => concerned.iter().map(|case| case.title.clone()).collect(),
        };
        match alike && closed(cases[0]) {
            true if concerned.len() == cases.len() => format!("{why}, everywhere"),
            true => format!("{why}, at {} connections", listed(&titles)),
            false => format!("{why}, at {}", listed(&titles)),
        }
    });
    reasons.collect()
}

/// Whether all cases differ in their level.
fn sweep_like(cases: &[&Case]) -> bool {
    let mut levels: Vec<f64> = cases.iter().map(|case| level(case)).collect();
    levels.sort_by(f64::total_cmp);
    levels.windows(2).all(|pair| pair[0] < pair[1])
        && cases.iter().all(|case| case.workload.sizes == cases[0].workload.sizes)
}
