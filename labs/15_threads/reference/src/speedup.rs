//! A job of which N threads do a part each, and how much sooner it is done.
//!
//! ```sh
//! speedup alone 0 3000000      # the job, without another thread: its result and the time it took
//! speedup split 0 3000000 2    # the same with two threads
//! speedup compare 0 3000000 2  # one after the other, and how many times as fast the second was
//! ```

// lab:canary bittern-15-speedup
mod job;

use job::work;
use std::io;
use std::ops::Range;
use std::process::ExitCode;
use std::thread;
use std::time::{Duration, Instant};

/// The result of the job over `range`, by `threads` threads at the same time, each with its part.
fn split(range: Range<u64>, threads: u64) -> u64 {
    // lab:hole split
    let length = range.end.saturating_sub(range.start);
    // Where part `n` begins; rounded, so that no number is lost.
    let bound =
        |n: u64| range.start + (u128::from(length) * u128::from(n) / u128::from(threads)) as u64;
    thread::scope(|scope| {
        // All are started before the first is waited for.
        let parts: Vec<_> = (0..threads)
            .map(|n| (bound(n), bound(n + 1)))
            .map(|(from, to)| scope.spawn(move || work(from..to)))
            .collect();
        parts.into_iter().map(|part| part.join().unwrap()).sum()
    })
    // lab:stub // How many numbers does each thread get if they cannot be divided evenly? When do you join?
    // lab:stub todo!("call work(part) in each of the threads, and add up the results")
    // lab:end
}

/// What `job` gives, and how long that took by the clock on the wall.
fn measure<T>(job: impl FnOnce() -> T) -> (T, Duration) {
    // lab:hole measure
    let begun = Instant::now();
    let result = job();
    (result, begun.elapsed())
    // lab:stub todo!("look at the clock, do the job, look again")
    // lab:end
}

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("speedup: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> io::Result<()> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    match words[..] {
        ["alone", from, to] => {
            let range = number(from)?..number(to)?;
            show("alone", measure(|| work(range)));
        }
        ["split", from, to, threads] => {
            let range = number(from)?..number(to)?;
            let threads = number(threads)?.max(1);
            show("split", measure(|| split(range, threads)));
        }
        ["compare", from, to, threads] => {
            let range = number(from)?..number(to)?;
            let threads = number(threads)?.max(1);
            let alone = show("alone", measure(|| work(range.clone())));
            let split = show("split", measure(|| split(range, threads)));
            println!("ratio {:.2}", alone.as_secs_f64() / split.as_secs_f64());
        }
        _ => {
            let usage = "usage: alone FROM TO, split FROM TO THREADS, compare FROM TO THREADS";
            return Err(io::Error::other(usage));
        }
    }
    Ok(())
}

fn show(name: &str, (result, time): (u64, Duration)) -> Duration {
    println!("{name} {result} {:.6}", time.as_secs_f64());
    time
}

fn number(text: &str) -> io::Result<u64> {
    text.parse().map_err(|_| io::Error::other(format!("{text}: expected a number")))
}
