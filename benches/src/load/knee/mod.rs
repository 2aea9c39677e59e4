//! The highest rate that a server bears within a bound on its response time.
//!
//! Requests come at a set rate whether or not the server keeps up (an open loop), so that a server which
//! is too slow cannot slow its clients down and so hide it. The rate is first doubled or halved until one
//! rate holds and another does not; then the bracket between the two is halved until it is narrow. A rate
//! holds if it does in most of its repeats. What comes out is a bracket, not a number: somewhere in it the
//! queue begins to grow faster than it drains.

mod attempt;
mod bracket;

#[cfg(test)]
mod tests;

use super::compare;
use super::content;
use super::engine::{self, Target};
use super::failure::Failure;
use super::process::{self, raise_descriptor_limit, stop_when_interrupted};
use super::recording::Recording;
use super::report::Metric;
use super::sampled_run::{self, Context, run_sampled};
use super::workload::{Arrivals, Protocol, Workload};
use crate::layout::Layout;
use crate::text::{self, progress};
use crate::{Placement, Variant};
use attempt::{Attempt, Bound, judge, majority, parse_bound};
use bracket::{Bracket, Verdict, bisect};
use std::fs;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// What `knee` takes.
#[derive(Clone, Debug, clap::Args)]
pub struct Options {
    /// Which of our servers, by name; it is started again for every try
    #[arg(long, value_name = "MODEL", required_unless_present = "addr")]
    serve: Option<String>,
    /// A server that is running instead; it must serve the directory of `--files-in`
    #[arg(long, value_name = "HOST:PORT", conflicts_with = "serve", requires = "files_in")]
    addr: Option<String>,
    /// The bound: a percentile of the response time, and how long it may be
    #[arg(long, value_name = "p99=5ms", default_value = "p99=5ms", value_parser = parse_bound)]
    slo: Bound,
    /// How many requests may be under way at once; what comes beyond that is dropped and breaks the bound [default:
    /// the arrivals of 10 seconds, at least 64 and at most 10,000; 64 connections are made first]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    connections: Option<u32>,
    /// How long each try is measured, in seconds
    #[arg(long, value_name = "S", default_value_t = 2.0)]
    seconds: f64,
    /// How often a rate is tried
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..))]
    repeats: u32,
    /// How narrow the bracket is to be: 0.05 is 5%
    #[arg(long, value_name = "SHARE", default_value_t = 0.05)]
    precision: f64,
    /// The size of the files
    #[arg(long, value_name = "BYTES", default_value_t = 4096)]
    size: u64,
    /// Evenly spaced requests, instead of random ones (Poisson)
    #[arg(long)]
    fixed: bool,
    /// Which protocol is spoken
    #[arg(long, value_enum, default_value_t)]
    protocol: Protocol,
    /// Makes the files to serve here instead of in a temporary directory
    #[arg(long, value_name = "DIR")]
    files_in: Option<PathBuf>,
}

/// Runs `knee` as a program does.
pub fn main(options: &Options) -> ExitCode {
    run(options).unwrap_or_else(|failure| failure.report("loadgen"))
}

/// The server that is measured.
enum Subject {
    Ours(&'static Variant),
    Running(Target),
}

struct Search<'a> {
    subject: Subject,
    name: String,
    root: PathBuf,
    cores: Placement,
    stop: &'a AtomicBool,
}

impl Search<'_> {
    /// Where server and generator are.
    fn placement(&self) -> String {
        match self.subject {
            Subject::Ours(_) => self.cores.to_string(),
            Subject::Running(_) => self.cores.with_external_server(None),
        }
    }

    /// The most in flight where nothing is set.
    fn in_flight(&self, workload: &Workload) -> Option<usize> {
        let held = match self.subject {
            Subject::Ours(variant) => variant.capacity(),
            Subject::Running(_) => usize::MAX,
        };
        Some(engine::affordable_in_flight(workload)?.min(held))
    }

    /// One run, against a server that is new and has no queue from before.
    fn once(&self, workload: &Workload) -> Result<Recording, Failure> {
        let broken = |why: String| Failure::Broken(format!("{}: {why}", self.name));
        let server = match self.subject {
            Subject::Ours(variant) => {
                Some(process::serve(variant, &self.root, workload.most_connections(), self.cores)?)
            }
            Subject::Running(_) => None,
        };
        let target = match (&server, &self.subject) {
            (Some(server), _) => Target::new(server.addr(), &self.name),
            (None, Subject::Running(target)) => target.clone(),
            (None, Subject::Ours(_)) => return Err(broken("is not there".into())),
        };
        let environment = sampled_run::environment(self.placement());
        let context = Context {
            target: &target,
            server: server.as_ref(),
            placement: self.cores,
            environment: &environment,
            stop: self.stop,
        };
        let made = run_sampled(workload, context);
        if self.stop.load(Ordering::Relaxed) {
            return Err(Failure::Broken("interrupted before the bracket was found".into()));
        }
        Ok(made.map_err(broken)?.recording)
    }
}

fn run(options: &Options) -> Result<ExitCode, Failure> {
    let unusable = |why: &str| Failure::Unusable(why.into());
    if !(0.05..=3600.0).contains(&options.seconds) || !(0.001..=1.0).contains(&options.precision) {
        return Err(unusable(
            "--seconds is between 0.05 and 3600, --precision between 0.001 and 1",
        ));
    }
    let (subject, name) = match (&options.serve, &options.addr) {
        (Some(model), _) => {
            let variant = compare::variant(model)?;
            (Subject::Ours(variant), variant.label.to_owned())
        }
        (None, Some(addr)) => {
            let wrong = |why: String| unusable(&format!("--addr {addr}: {why}"));
            (Subject::Running(Target::resolve(addr).map_err(wrong)?), addr.clone())
        }
        (None, None) => return Err(unusable("--serve or --addr is needed")),
    };
    let connections =
        options.connections.map_or(Workload::default().connections, |number| number as usize);
    if let Subject::Ours(variant) = subject
        && connections > variant.capacity()
    {
        return Err(Failure::Unusable(format!(
            "{name} cannot serve {connections} clients that stay: --connections {}",
            variant.capacity()
        )));
    }
    let directory = tempfile::Builder::new().prefix("knee-").tempdir()?;
    let root = options.files_in.clone().unwrap_or_else(|| directory.path().join("root"));
    fs::create_dir_all(&root)?;
    raise_descriptor_limit();
    let stop = stop_when_interrupted(directory.path().to_owned())?;
    let workload = Workload {
        protocol: options.protocol,
        connections,
        duration: Duration::from_secs_f64(options.seconds),
        warm_up: Duration::from_secs_f64((options.seconds / 4.0).min(0.5)),
        sizes: vec![options.size].into(),
        ..Workload::default()
    };
    content::make_files(&root, &workload)?;
    let search = Search { subject, name, root, cores: Placement::choose(), stop: &stop };
    find_knee(options, &search, &workload)
}

fn find_knee(
    options: &Options,
    search: &Search<'_>,
    workload: &Workload,
) -> Result<ExitCode, Failure> {
    let bound = options.slo;
    let words = format!("p{} at most {}", bound.percentile, text::duration(bound.time));
    let layout = Layout::of_stdout(false);
    println!("{}", layout.text(&format!("{}; {}", text::machine(), search.placement())));
    let asked =
        format!("{}: the highest rate with {words}, {} repeats", search.name, options.repeats);
    println!("{}\n", layout.text(&asked));
    // What it does when it sets the pace itself is near enough to begin with.
    progress("what it does in a closed loop");
    let closed =
        Workload { duration: workload.duration.min(Duration::from_secs(1)), ..workload.clone() };
    let most = Metric::Rate.of(&search.once(&closed)?).unwrap_or(1000.0);
    progress("");
    println!("in a closed loop it answers {}", text::rate(most));
    let mut all: Vec<Attempt> = Vec::new();
    let repeats = options.repeats as usize;
    let found = bisect(most * 0.5, options.precision, |rate| -> Result<Verdict, Failure> {
        let arrivals = match options.fixed {
            true => Arrivals::Fixed { rate },
            false => Arrivals::Poisson { rate },
        };
        let mut attempts = Vec::new();
        for nth in 0..repeats {
            progress(&format!("{}, repeat {} of {repeats}", text::rate(rate), nth + 1));
            let seed = workload.seed + nth as u64;
            let mut workload = Workload { arrivals, seed, ..workload.clone() };
            if options.connections.is_none() {
                workload.max_in_flight = search.in_flight(&workload);
            }
            let recording = search.once(&workload)?;
            attempts.push(judge(bound, rate, &recording));
        }
        progress("");
        println!("{}", format_attempts(bound, &attempts, layout));
        let verdict = majority(&attempts);
        all.extend(attempts);
        if all.len() >= 4 * repeats && all.iter().all(|attempt| attempt.verdict == Verdict::Unknown)
        {
            let why = "the generator itself is late at every rate: nothing can be said of the server while this machine is so busy";
            return Err(Failure::Broken(why.into()));
        }
        Ok(verdict)
    })?;
    let conclusion = conclusion(&words, &found, options.repeats);
    println!("\n{}", layout.text(&format!("{}: {conclusion}", search.name)));
    Ok(ExitCode::from(u8::from(found.holds == 0.0)))
}

fn format_attempts(bound: Bound, attempts: &[Attempt], layout: Layout) -> String {
    let time = |attempt: &Attempt| {
        let above = if attempt.unanswered { "> " } else { "" };
        format!("{above}{}", text::duration(attempt.time))
    };
    let times: Vec<String> = attempts.iter().map(time).collect();
    let mut reasons: Vec<&str> =
        attempts.iter().filter_map(|attempt| attempt.reason.as_deref()).collect();
    reasons.dedup();
    let word = match majority(attempts) {
        Verdict::Holds => "holds",
        Verdict::Breaks => "breaks",
        Verdict::Unknown => "unknown",
    };
    let rate = attempts.first().map_or(0.0, |attempt| attempt.rate);
    let why = if reasons.is_empty() { String::new() } else { format!(" ({})", reasons.join("; ")) };
    let before = format!("{:>10}  {word:<8} ", text::rate(rate));
    layout.hanging(&before, &format!("p{}: {}{why}", bound.percentile, times.join(", ")))
}

fn conclusion(words: &str, found: &Bracket, repeats: u32) -> String {
    let holds = text::rate(found.holds);
    let each = format!("{repeats} repeats each");
    match found.fails {
        Some((high, _)) if found.holds == 0.0 => {
            format!("{words} holds at no rate; {} is too much already", text::rate(high))
        }
        Some((high, Verdict::Unknown)) => format!(
            "{words} holds up to {holds} at least; at {} the generator is at its end, so the server may bear more",
            text::rate(high)
        ),
        Some((high, _)) => {
            format!(
                "{words} holds up to {holds} and breaks at {} (the bracket; {each})",
                text::rate(high)
            )
        }
        None => format!("{words} holds at every rate that was tried, up to {holds}"),
    }
}
