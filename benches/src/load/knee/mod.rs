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
use super::process::{self, Interrupt, raise_descriptor_limit, stop_when_interrupted};
use super::recording::Recording;
use super::report::Metric;
use super::sampled_run::{self, Context, run_sampled};
use super::workload::{Arrivals, Protocol, Workload};
use crate::layout::Layout;
use crate::tether::Scratch;
use crate::text::{self, progress};
use crate::{Placement, Server, Variant, outln};
use attempt::{Attempt, Bound, judge, majority, parse_bound};
use bracket::{Bracket, Verdict, bisect};
use std::fs;
use std::io;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, Instant};

/// What `knee` takes.
#[derive(Clone, Debug, clap::Args)]
pub struct Options {
    /// Start one of our servers, by name, again for every try
    #[arg(long, value_name = "MODEL")]
    serve: Option<String>,
    /// Load a server that is running instead; it must serve the directory of `--root`, or the files already
    #[arg(long, value_name = "HOST:PORT", conflicts_with = "serve")]
    addr: Option<String>,
    /// The bound: a percentile of the response time, and how long it may be
    #[arg(long, value_name = "p99=5ms", default_value = "p99=5ms", value_parser = parse_bound)]
    slo: Bound,
    /// How many requests may be under way at once; what comes beyond that is dropped and breaks the bound [default:
    /// the arrivals of 10 seconds, at least 64 and at most 10,000; 64 connections are made first]
    #[arg(short, long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    connections: Option<u32>,
    /// How long each try is measured, in seconds
    #[arg(short, long, alias = "seconds", value_name = "S", default_value_t = 2.0)]
    duration: f64,
    /// How often a rate is tried
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..))]
    repeats: u32,
    /// How narrow the bracket is to be: 0.05 is 5%
    #[arg(long, value_name = "SHARE", default_value_t = 0.05)]
    precision: f64,
    /// Sizes of the files, as many names of each: 4KiB,64KiB
    #[arg(long, alias = "size", value_name = "BYTES,...", default_value = "4KiB", value_delimiter = ',', value_parser = text::parse_size)]
    sizes: Vec<u64>,
    /// How arrivals are spaced: evenly, or at random as independent people come
    #[arg(long, value_enum, default_value_t)]
    arrivals: Spacing,
    /// The same as `--arrivals fixed`
    #[arg(long, hide = true, conflicts_with = "arrivals")]
    fixed: bool,
    /// Which protocol is spoken
    #[arg(long, value_enum, default_value_t)]
    protocol: Protocol,
    /// Make the files to serve in this directory, instead of in a temporary one
    #[arg(long, alias = "files-in", value_name = "DIR")]
    root: Option<PathBuf>,
}

/// How arrivals are spaced.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
enum Spacing {
    Fixed,
    #[default]
    Poisson,
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
    interrupt: &'a Interrupt,
}

/// Why a search ends early.
enum End {
    /// The user has interrupted it.
    Interrupted,
    Failed(Failure),
}

impl From<Failure> for End {
    fn from(failure: Failure) -> End {
        End::Failed(failure)
    }
}

impl From<io::Error> for End {
    fn from(error: io::Error) -> End {
        End::Failed(error.into())
    }
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
    fn once(&self, workload: &Workload) -> Result<Recording, End> {
        let broken = |why: String| {
            let why =
                if why.starts_with(&self.name) { why } else { format!("{}: {why}", self.name) };
            End::Failed(Failure::Broken(why))
        };
        if self.interrupt.is_set() {
            return Err(End::Interrupted);
        }
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
            stop: self.interrupt.flag(),
        };
        let made = run_sampled(workload, context);
        if self.interrupt.is_set() {
            return Err(End::Interrupted); // what was cut short is no try
        }
        let end = || server.as_ref().and_then(Server::why_ended);
        let with_end = |why: String| end().map_or(why.clone(), |end| format!("{why}: {end}"));
        Ok(made.map_err(|why| broken(with_end(why)))?.recording)
    }
}

fn run(options: &Options) -> Result<ExitCode, Failure> {
    let begun = Instant::now();
    let unusable = |why: &str| Failure::Unusable(why.into());
    if !(0.05..=3600.0).contains(&options.duration) || !(0.001..=1.0).contains(&options.precision) {
        return Err(unusable(
            "--duration is between 0.05 and 3600, --precision between 0.001 and 1",
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
        (None, None) => {
            return Err(unusable("no server to load: pass --serve MODEL or --addr HOST:PORT"));
        }
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
    let interrupt = stop_when_interrupted()?;
    let directory = Scratch::new("knee-")?;
    let root = options.root.clone().unwrap_or_else(|| directory.path().join("root"));
    let refused = |error: io::Error| {
        let (root, why) = (root.display(), text::error(&error));
        Failure::Unusable(format!("cannot make files in {root}: {why}"))
    };
    fs::create_dir_all(&root).map_err(refused)?;
    raise_descriptor_limit();
    let workload = Workload {
        protocol: options.protocol,
        connections,
        duration: Duration::from_secs_f64(options.duration),
        warm_up: Duration::from_secs_f64((options.duration / 4.0).min(0.5)),
        sizes: options.sizes.clone().into(),
        ..Workload::default()
    };
    content::make_files(&root, &workload).map_err(refused)?;
    let cores = Placement::choose();
    let search = Search { subject, name, root, cores, interrupt: &interrupt };
    let mut so_far = Bracket { holds: 0.0, fails: None };
    match find_knee(options, &search, &workload, &mut so_far) {
        Ok(code) => Ok(code),
        Err(End::Failed(failure)) => Err(failure),
        Err(End::Interrupted) => {
            progress("");
            let words = bound_text(options.slo);
            outln!(
                "\nINTERRUPTED after {}, before the bracket was found.",
                text::duration(begun.elapsed())
            );
            if so_far.holds > 0.0 || so_far.fails.is_some() {
                outln!("{}: so far {}", search.name, conclusion(&words, &so_far, options.repeats));
            }
            Ok(interrupt.exit_code().unwrap_or(ExitCode::FAILURE))
        }
    }
}

fn bound_text(bound: Bound) -> String {
    format!("p{} at most {}", bound.percentile, text::duration(bound.time))
}

fn find_knee(
    options: &Options,
    search: &Search<'_>,
    workload: &Workload,
    so_far: &mut Bracket,
) -> Result<ExitCode, End> {
    let bound = options.slo;
    let words = bound_text(bound);
    let layout = Layout::of_stdout(false);
    outln!("{}", layout.text(&format!("{}; {}", text::machine(), search.placement())));
    let asked =
        format!("{}: the highest rate with {words}, {} repeats", search.name, options.repeats);
    outln!("{}\n", layout.text(&asked));
    // What it does when it sets the pace itself is near enough to begin with.
    progress("what it does in a closed loop");
    let closed =
        Workload { duration: workload.duration.min(Duration::from_secs(1)), ..workload.clone() };
    let most = Metric::Rate.of(&search.once(&closed)?).unwrap_or(1000.0);
    progress("");
    outln!("in a closed loop it answers {}", text::rate(most));
    let mut all: Vec<Attempt> = Vec::new();
    let repeats = options.repeats as usize;
    let found = bisect(most * 0.5, options.precision, |rate| -> Result<Verdict, End> {
        let arrivals = match options.fixed || options.arrivals == Spacing::Fixed {
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
        outln!("{}", format_attempts(bound, &attempts, layout));
        let verdict = majority(&attempts);
        all.extend(attempts);
        if all.len() >= 4 * repeats && all.iter().all(|attempt| attempt.verdict == Verdict::Unknown)
        {
            let why = "the generator itself is late at every rate: nothing can be said of the server while this machine is so busy";
            return Err(Failure::Broken(why.into()).into());
        }
        match verdict {
            Verdict::Holds => so_far.holds = rate,
            why => so_far.fails = Some((rate, why)),
        }
        Ok(verdict)
    })?;
    let conclusion = conclusion(&words, &found, options.repeats);
    outln!("\n{}", layout.text(&format!("{}: {conclusion}", search.name)));
    Ok(ExitCode::from(u8::from(found.holds == 0.0)))
}

fn format_attempts(bound: Bound, attempts: &[Attempt], layout: Layout) -> String {
    let time = |attempt: &Attempt| {
        if attempt.time.is_zero() {
            return "no reply".to_owned();
        }
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
