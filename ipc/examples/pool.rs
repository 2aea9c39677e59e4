//! A pool of processes: apply, apply_async, map, and a worker that dies.
//!
//! Starting a process costs in the order of a millisecond, so a pool starts a few and keeps them. A job is a
//! *message*: the name of a function and its input. A closure could not be sent: a worker is a process of its
//! own, with its own memory. What is gained by that: when a job takes its worker down, by a bug in C
//! code or for lack of memory, the parent lives, hears of it, and the pool goes on with a new worker. No
//! pool of threads can do that.
//!
//! Run it: `cargo run -p ipc --example pool`
//!
//! Look at: the pids, which show who did what; the order of the results of `map`, which is that of the
//! inputs; the error of the job that kills its worker, and the pids before and after it.

use std::collections::BTreeMap;
use std::error::Error;
use std::process::ExitCode;

use ipc::process::{self, JobHandle, Pool, PoolError, Worker};

mod story;

use story::{note, say};

fn main() -> ExitCode {
    process::main(&[("worker", worker)], story)
}

fn story() -> Result<(), Box<dyn Error>> {
    let pool = Pool::new("worker", 3)?;
    say!("starts a pool of three workers: {}", pids(&pool))?;

    note!("\n-- apply: one job, and wait for it --")?;
    let factors: Vec<u64> = pool.apply("factor", &1_001)?;
    say!("has a worker factor 1001: {factors:?}")?;

    note!("\n-- apply_async: hand over now, ask later --")?;
    let handles: Vec<JobHandle<Vec<u64>>> = [600_851_475_143_u64, 1_000_000_007, 1 << 10]
        .iter()
        .map(|n| pool.apply_async("factor", n))
        .collect::<Result<_, _>>()?;
    let ready = handles.iter().filter(|handle| handle.ready()).count();
    say!("has handed over three jobs, of which {ready} are ready at once")?;
    for handle in &handles {
        say!("waits for a result: {:?}", handle.get_timeout(story::LIMIT)?)?;
    }

    note!("\n-- map: many jobs, results in the order of the inputs --")?;
    let inputs: Vec<u64> = (1..=2_000).collect();
    let outputs: Vec<(u64, u32)> = pool.map("square", &inputs)?;
    let in_order = outputs.iter().zip(&inputs).all(|((square, _), n)| *square == n * n);
    say!("has {} numbers squared; the results are in order: {in_order}", outputs.len())?;
    let mut by_worker = BTreeMap::new();
    for (_, pid) in &outputs {
        *by_worker.entry(pid).or_insert(0) += 1;
    }
    for (pid, jobs) in by_worker {
        say!("  {jobs} of them were squared by worker {pid}")?;
    }

    note!("\n-- a job that panics costs itself --")?;
    say!("has a worker halve 7:")?;
    say!("  {}", pool.apply::<_, u64>("half", &7).unwrap_err())?;

    note!("\n-- a job that kills its worker --")?;
    say!("hands over six jobs, of which the fourth kills its process")?;
    let inputs = [3, 2, 1, 0, 1, 2]; // 0 is the deadly one
    for (input, outcome) in inputs.iter().zip(pool.map_each::<_, u32>("abort at zero", &inputs)?) {
        match outcome {
            Ok(_) => say!("  job {input}: done")?,
            Err(error @ PoolError::Died { .. }) => say!("  job {input}: {error}")?,
            Err(other) => return Err(other.into()),
        }
    }
    say!("has these workers now: {}", pids(&pool))?;

    note!("\n-- close and join --")?;
    pool.close();
    say!("closes the pool, and hands over a job:")?;
    say!("  {}", pool.apply::<_, u32>("square", &1).unwrap_err())?;
    pool.join();
    say!("joins the pool, which has {} workers left", pool.workers().len())?;

    note!("\nNotice: the worker that was killed has a successor, and the parent lives.")?;
    note!("Without processes: a pool of threads would have died with the first bad job.")?;
    Ok(())
}

fn pids(pool: &Pool) -> String {
    let pids = pool.workers().into_iter().map(|(name, pid)| format!("{name}[{pid}]"));
    pids.collect::<Vec<_>>().join(", ")
}

/// What each worker runs: it knows the jobs by name, and does them until the pool has no more.
fn worker(_: &[String]) -> Result<(), Box<dyn Error>> {
    // The report of the panic below would only confuse the picture; the pool has it too.
    std::panic::set_hook(Box::new(|_| {}));
    Worker::new()
        .job("factor", factor)
        .job("square", |n: u64| (n * n, std::process::id()))
        .job("half", half)
        .job("abort at zero", |n: u32| if n == 0 { std::process::abort() } else { n })
        .serve()?;
    Ok(())
}

/// The prime factors of `n`, smallest first.
fn factor(mut n: u64) -> Vec<u64> {
    let mut factors = Vec::new();
    let mut candidate = 2;
    while candidate * candidate <= n {
        while n.is_multiple_of(candidate) {
            factors.push(candidate);
            n /= candidate;
        }
        candidate += 1;
    }
    if n > 1 {
        factors.push(n);
    }
    factors
}

fn half(n: u64) -> u64 {
    assert!(n.is_multiple_of(2), "{n} is odd");
    n / 2
}
