//! Comparisons that are invented: at random by a seed, or as a test wants them.

use benches::load::latencies::Latencies;
use benches::load::recording::{Environment, Generator, Interval, Recording, Sample, Totals};
use benches::load::report::{self, Case, Comparison, Lane, ServerResult, Span, Timeline};
use benches::load::workload::{Arrivals, Lifetime, Workload};
use fastrand::Rng;
use std::collections::BTreeMap;

/// A number between two, all factors equally likely.
fn between(random: &mut Rng, low: f64, high: f64) -> f64 {
    low * (high / low).powf(random.f64())
}

fn recording(random: &mut Rng, server: &str, workload: &Workload) -> Recording {
    let rate = between(random, 40.0, 400_000.0);
    let typical = between(random, 2e4, 3e8);
    let mut times = Latencies::new();
    for _ in 0..random.u32(30..300) {
        times.record((typical * between(random, 0.7, 1.6)) as u64);
    }
    times.record((typical * between(random, 1.0, 60.0)) as u64);
    let percentile = |p: f64| Some(times.percentile(p));
    let intervals = (1..=10).map(|tenth| Interval {
        at: f64::from(tenth) / 5.0,
        done: (rate / 5.0 * if random.u32(0..40) == 0 { 9.0 } else { 1.0 }) as u64,
        errors: 0,
        dropped: 0,
        p50: percentile(50.0),
        p99: percentile(99.0),
        max: percentile(100.0),
    });
    let intervals: Vec<Interval> = intervals.collect();
    let (pss, cpu) = (between(random, 1e6, 3e8), between(random, 5e-6, 3e-3));
    let watched = random.u32(0..8) > 0;
    let samples = (0..=10).filter(|_| watched).map(|tenth| {
        let at = f64::from(tenth) / 5.0;
        Sample {
            at,
            processes: 1,
            threads: 4,
            pss: pss as u64,
            page_tables: pss as u64 / 10,
            kernel_stacks: pss as u64 / 20,
            user: rate * at * cpu * 0.3,
            system: rate * at * cpu * 0.7,
            voluntary: (rate * at) as u64,
            run_queue_wait: at * cpu * 1e4,
            ..Sample::default()
        }
    });
    let samples: Vec<Sample> = samples.collect();
    let done = (rate * 2.0) as u64;
    let served = random.u64(1..=workload.connections as u64);
    let invalid = match random.u32(0..6) {
        0 => vec!["the generator's CPU at 91% of its core".to_owned()],
        _ => Vec::new(),
    };
    Recording {
        schema: benches::load::recording::SCHEMA,
        server: server.to_owned(),
        workload: workload.clone(),
        environment: environment(),
        since: 0.0,
        seconds: 2.0,
        totals: Totals {
            planned: done,
            done,
            dropped: if random.u32(0..5) == 0 { times.0.len() / 8 } else { 0 },
            outside_intervals: 0,
            bytes_in: done * 4200,
            bytes_out: done * 20,
            connections_asked: workload.connections as u64,
            connections_made: workload.connections as u64,
            clients_served: served,
        },
        errors: BTreeMap::new(),
        service_time: times.clone(),
        response_time: times.clone(),
        lag: times,
        per_client: (0..workload.connections as u64).map(|n| u64::from(n < served) * 10).collect(),
        empty: None,
        samples,
        intervals,
        generator: Generator { cpu_seconds: 1.1, share: 0.55, ..Generator::default() },
        invalid,
        notes: Vec::new(),
    }
}

fn environment() -> Environment {
    Environment {
        machine: "A processor that does not exist, 2 cores".to_owned(),
        command: "loadgen compare".to_owned(),
        started: 1_764_000_000,
        placement: "server on core 0, generator on core 1".to_owned(),
    }
}

fn case(
    random: &mut Rng,
    name: String,
    title: String,
    workload: &Workload,
    servers: &[String],
    quiet: bool,
) -> Case {
    let results = servers.iter().map(|server| {
        let fails = !quiet && random.u32(0..8) == 0;
        let mut rounds: Vec<Option<Recording>> = (0..3)
            .map(|_| (!fails).then(|| recording(random, server, workload)))
            .collect();
        if quiet {
            for run in rounds.iter_mut().flatten() {
                run.invalid.clear();
                run.totals.dropped = 0;
                run.totals.clients_served = run.totals.connections_asked;
            }
        }
        ServerResult {
            server: server.clone(),
            rounds,
            failure: fails.then(|| {
                "the server ended with status 1: cannot listen on 127.0.0.1:9000: address in use; stop the other server"
                    .to_owned()
            }),
            note: None,
        }
    });
    let results = results.collect();
    Case { name, title, workload: workload.clone(), results, ceiling: Some(500_000.0) }
}

fn of_cases(cases: Vec<Case>, baseline: Option<String>) -> Comparison {
    let schema = report::SCHEMA;
    Comparison { schema, environment: environment(), driver: None, baseline, cases }
}

fn levels(random: &mut Rng, servers: &[String], levels: &[usize], quiet: bool) -> Vec<Case> {
    levels
        .iter()
        .map(|&connections| {
            let workload = Workload { connections, ..Workload::default() };
            let unit = if connections == 1 { "connection" } else { "connections" };
            let title = format!("4 KiB, keep-alive, {connections} {unit}");
            case(random, format!("get-4k-{connections}"), title, &workload, servers, quiet)
        })
        .collect()
}

/// Complete and valid figures of these servers at these numbers of connections.
pub fn sweep(servers: &[&str], connections: &[usize]) -> Comparison {
    let servers: Vec<String> = servers.iter().map(|&name| name.to_owned()).collect();
    let cases = levels(&mut Rng::with_seed(7), &servers, connections, true);
    of_cases(cases, servers.first().cloned())
}

/// Whatever may come of up to sixteen servers, long names and all.
pub fn comparison(seed: u64) -> Comparison {
    let mut random = Rng::with_seed(seed);
    let servers: Vec<String> = (0..random.usize(1..=16))
        .map(|n| format!("{}{n}", "coroutine_server-".repeat(2).split_at(random.usize(1..30)).0))
        .collect();
    let all = [1, 4, 16, 64, 256, 1000];
    let count = random.usize(1..=6);
    let mut cases = levels(&mut random, &servers, &all[..count], false);
    let connect =
        Workload { lifetime: Lifetime::PerRequest, connections: 16, ..Workload::default() };
    let title = "4 KiB, a connection per request, 16 clients".to_owned();
    cases.push(case(&mut random, "connect".to_owned(), title, &connect, &servers, false));
    let arrivals = Arrivals::Fixed { rate: 100.0 };
    let idle = Workload { arrivals, connections: 1000, ..Workload::default() };
    let title = "1,000 connections that are nearly idle: memory".to_owned();
    cases.push(case(&mut random, "idle".to_owned(), title, &idle, &servers, false));
    of_cases(cases, servers.first().cloned())
}

/// Two timelines: of one worker, and of many.
pub fn timelines() -> [Timeline; 2] {
    let lane = |n: u64| Lane {
        name: format!("worker {n}"),
        spans: (0..6)
            .map(|at| Span {
                start_us: at * 3_000 + n * 100,
                end_us: at * 3_000 + n * 100 + if at == 2 { 2_900 } else { 700 },
                request: at + 1,
                kind: ["serve", "wait", "slow"][at as usize % 3].to_owned(),
            })
            .collect(),
    };
    let timeline = |server: &str, workers| Timeline {
        server: server.to_owned(),
        clients: (1..=8).map(lane).collect(),
        lanes: (1..=workers).map(lane).collect(),
    };
    [timeline("iterative", 1), timeline("pool", 40)]
}
