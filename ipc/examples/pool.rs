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
use std::time::Duration;

use ipc::process::{self, JobHandle, Pool, PoolError, Worker};

fn main() -> Result<(), Box<dyn Error>> {
    process::init(&[("worker", worker)]);
    let pool = Pool::new("worker", 3)?;
    println!("the parent is {}, its workers are {:?}", std::process::id(), pool.workers());

    println!("\n-- apply: one job, and wait for it --");
    let factors: Vec<u64> = pool.apply("factor", &1_001)?;
    println!("1001 = {factors:?}");

    println!("\n-- apply_async: hand over now, ask later --");
    let handles: Vec<JobHandle<Vec<u64>>> = [600_851_475_143_u64, 1_000_000_007, 1 << 40]
        .iter()
        .map(|n| pool.apply_async("factor", n))
        .collect::<Result<_, _>>()?;
    println!("ready at once? {:?}", handles.iter().map(JobHandle::ready).collect::<Vec<_>>());
    for handle in &handles {
        println!("{:?}", handle.get_timeout(Duration::from_secs(10))?);
    }

    println!("\n-- map: many jobs, results in the order of the inputs --");
    let inputs: Vec<u64> = (1..=2_000).collect();
    let outputs: Vec<(u64, u32)> = pool.map("square", &inputs)?;
    let in_order = outputs.iter().zip(&inputs).all(|((square, _), n)| *square == n * n);
    let mut by_worker = BTreeMap::new();
    for (_, pid) in &outputs {
        *by_worker.entry(pid).or_insert(0) += 1;
    }
    println!(
        "{} results, in order: {in_order}; jobs done by each pid: {by_worker:?}",
        outputs.len()
    );

    println!("\n-- a job that panics costs itself --");
    println!("{}", pool.apply::<_, u64>("divide", &(7, 0)).unwrap_err());

    println!("\n-- a job that kills its worker --");
    let before = pool.workers();
    let inputs = [3, 2, 1, 0, 1, 2]; // 0 is the deadly one
    for outcome in pool.map_each::<_, u32>("abort at zero", &inputs)? {
        match outcome {
            Ok(n) => println!("{n} survived"),
            Err(error @ PoolError::Died { .. }) => println!("{error}"),
            Err(other) => return Err(other.into()),
        }
    }
    println!("before: {before:?}");
    println!("after:  {:?}", pool.workers());

    println!("\n-- close and join --");
    pool.close();
    println!("a job for a closed pool: {}", pool.apply::<_, u32>("square", &1).unwrap_err());
    pool.join();
    println!("joined; workers: {:?}", pool.workers());
    Ok(())
}

/// What each worker runs: it knows the jobs by name, and does them until the pool has no more.
fn worker(_: &[String]) -> Result<(), Box<dyn Error>> {
    // The report of the panic below would only confuse the picture; the pool has it too.
    std::panic::set_hook(Box::new(|_| {}));
    Worker::new()
        .job("factor", factor)
        .job("square", |n: u64| (n * n, std::process::id()))
        .job("divide", |(a, b): (u64, u64)| a / b)
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
