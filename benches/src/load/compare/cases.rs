//! The cases of a comparison, by name.
//!
//! A comparison without names runs the standard ones. `get`, `put` and `connect` are named with a size, as in `get-64k`,
//! and a number behind any name, as in `get-64k-256`, is that of clients.

use crate::load::failure::Failure;
use crate::load::workload::{Arrivals, Lifetime, Mix, Workload};
use crate::text::whole;
use std::time::Duration;

/// The numbers of connections that make the curve of `get-4k`.
const STEPS: [usize; 6] = [1, 4, 16, 64, 256, 1000];

/// The standard cases but for the curve.
const STANDARD: [&str; 5] = ["connect-4k", "get-1m", "put", "mixed", "idle"];

/// Some of the cases that run only if they are named.
const FURTHER: [&str; 4] = ["get-64k", "get-64m", "put-64m", "visitors"];

/// From this size one client is load enough, and each of its transfers may take its time.
const BULK: u64 = 16 << 20;
const BULK_TIMEOUT: Duration = Duration::from_secs(60);

/// A case to be run.
#[derive(Clone, Debug, PartialEq)]
pub struct Plan {
    /// Its short name.
    pub name: String,
    /// The same in words.
    pub title: String,
    /// What is asked.
    pub workload: Workload,
}

/// The standard cases; `base` has the durations and what else is common to all.
pub fn standard(base: &Workload) -> Vec<Plan> {
    let curve = STEPS.iter().filter_map(|&connections| plan("get-4k", Some(connections), base));
    curve.chain(STANDARD.iter().filter_map(|name| plan(name, None, base))).collect()
}

/// The cases of these names, each once; without any name, the standard ones.
///
/// # Errors
///
/// A name is unknown.
pub fn named(words: &[String], base: &Workload) -> Result<Vec<Plan>, Failure> {
    let standard = standard(base);
    if words.is_empty() {
        return Ok(standard);
    }
    let mut cases: Vec<Plan> = Vec::new();
    for word in words {
        let mut meant: Vec<Plan> =
            standard.iter().filter(|case| is_called(&case.name, word)).cloned().collect();
        if meant.is_empty() {
            meant.extend(parse(word, base));
        }
        if meant.is_empty() {
            let known = standard.iter().map(|case| case.name.as_str()).chain(FURTHER);
            let known = known.collect::<Vec<_>>().join(", ");
            let why = format!(
                "no case {word:?}; there are {known}, other sizes, and NAME-N with N clients"
            );
            return Err(Failure::Unusable(why));
        }
        meant.retain(|case| cases.iter().all(|other| other.name != case.name));
        cases.append(&mut meant);
    }
    Ok(cases)
}

/// Whether a word means this case: by its name, or by that of its curve.
pub fn is_called(case: &str, word: &str) -> bool {
    let step = case.strip_prefix(word).and_then(|rest| rest.strip_prefix('-'));
    case == word || step.is_some_and(|step| step.parse::<usize>().is_ok())
}

/// A case that is named with or without a number of clients.
fn parse(word: &str, base: &Workload) -> Option<Plan> {
    let whole = plan(word, None, base);
    whole.or_else(|| {
        let (family, clients) = word.rsplit_once('-')?;
        let clients = clients.parse().ok().filter(|clients| (1..=50_000).contains(clients))?;
        plan(family, Some(clients), base)
    })
}

fn plan(family: &str, clients: Option<usize>, base: &Workload) -> Option<Plan> {
    let (verb, size) = match family.split_once('-') {
        Some((verb, text)) => (verb, Some(size(text)?)),
        None if family == "put" => ("put", Some(1 << 20)),
        None => (family, None),
    };
    let usual = match (verb, size) {
        (_, Some(BULK..)) => 1,
        ("mixed", _) => 32,
        ("idle", _) => 1000,
        _ => 16,
    };
    let n = clients.unwrap_or(usual);
    let connections = if n == 1 { "1 connection".to_owned() } else { format!("{n} connections") };
    let base = Workload { connections: n, ..base.clone() };
    let of = |size: u64| Workload {
        sizes: vec![size].into(),
        names: (BULK / size).clamp(1, 64) as usize,
        timeout: if size < BULK { base.timeout } else { base.timeout.max(BULK_TIMEOUT) },
        ..base.clone()
    };
    let (title, workload) = match (verb, size) {
        // Their points are the cases, not the curve.
        ("get", Some(4096)) if clients.is_none() => return None,
        ("get", Some(size)) => (format!("{}, keep-alive, {connections}", short(size)), of(size)),
        ("put", Some(size)) => (
            format!("PUT of {}, keep-alive, {connections}", short(size)),
            Workload { mix: Mix { get: 0, put: 1, ..Mix::default() }, ..of(size) },
        ),
        ("connect", Some(size)) => (
            format!("{}, a connection per request, {n} clients", short(size)),
            Workload { lifetime: Lifetime::PerRequest, ..of(size) },
        ),
        ("mixed", None) => (
            format!("80% GET, 10% PUT, 5% LIST, 5% HASH of 1 to 256 KiB, {connections}"),
            Workload {
                mix: Mix { get: 80, put: 10, list: 5, hash: 5, quit: 0 },
                sizes: vec![1 << 10, 4 << 10, 16 << 10, 64 << 10, 256 << 10].into(),
                zipf: 1.0,
                lifetime: Lifetime::Churn { ratio: 0.05 },
                ..base
            },
        ),
        // Each client makes a request every ten seconds: nearly all of them wait, nearly all of the time.
        ("idle", None) => (
            format!("{} connections that are nearly idle: memory", whole(n as f64)),
            Workload { arrivals: Arrivals::Fixed { rate: n as f64 / 10.0 }, ..base },
        ),
        // Clients that come, ask for some files with pauses between, and go. A server of one client at a time keeps
        // the others waiting while it does nothing. Only the lateness shows that, so the load is an open loop.
        ("visitors", None) => (
            format!("4 KiB, 200 requests a second by {n} clients that stay for about five"),
            Workload {
                arrivals: Arrivals::Fixed { rate: 200.0 },
                lifetime: Lifetime::Churn { ratio: 0.2 },
                ..base
            },
        ),
        _ => return None,
    };
    let name = clients.map_or(family.to_owned(), |n| format!("{family}-{n}"));
    Some(Plan { name, title, workload })
}

/// A size as names of cases have it: `4k`, `1m`, `1g`.
fn size(text: &str) -> Option<u64> {
    let (number, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    let shift = match unit {
        "k" => 10,
        "m" => 20,
        "g" => 30,
        _ => return None,
    };
    let number: u64 = number.parse().ok()?;
    (1..=1024).contains(&number).then(|| number << shift)
}

/// The same size as titles have it: `4 KiB`.
fn short(size: u64) -> String {
    match size {
        size if size.is_multiple_of(1 << 30) => format!("{} GiB", size >> 30),
        size if size.is_multiple_of(1 << 20) => format!("{} MiB", size >> 20),
        size => format!("{} KiB", size >> 10),
    }
}

#[cfg(test)]
mod tests;
