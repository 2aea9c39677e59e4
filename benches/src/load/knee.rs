//! The highest rate that a server bears within a bound on its response time.
//!
//! Requests come at a set rate whether or not the server keeps up (an open loop), so that a server which
//! is too slow cannot slow its clients down and so hide it. The rate is first doubled or halved until one
//! rate holds and another does not; then the bracket between the two is halved until it is narrow. A rate
//! holds if it does in most of its repeats. What comes out is a bracket, not a number: somewhere in it the
//! queue begins to grow faster than it drains.

use super::compare;
use super::content;
use super::engine::Target;
use super::failure::Failure;
use super::process::{self, raise_descriptor_limit, stop_when_interrupted};
use super::recording::Recording;
use super::report::Metric;
use super::watched::{self, run_watched};
use super::workload::{Arrivals, Protocol, Workload};
use crate::text::{self, progress};
use crate::{Placement, Variant};
use std::fs;
use std::net::{SocketAddr, ToSocketAddrs};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// No server of files answers faster.
const FASTEST: f64 = 4e6;

/// Slower than this is not served.
const SLOWEST: f64 = 1.0;

/// What `knee` takes.
#[derive(Clone, Debug, clap::Args)]
pub struct Options {
    /// Which of our servers, by name; it is started anew for every try
    #[arg(long, value_name = "MODEL", required_unless_present = "addr")]
    serve: Option<String>,
    /// A server that is running instead; it must serve the folder of `--files-in`
    #[arg(long, value_name = "HOST:PORT", conflicts_with = "serve", requires = "files_in")]
    addr: Option<String>,
    /// The bound: a percentile of the response time, and how long it may be
    #[arg(long, value_name = "p99=5ms", default_value = "p99=5ms", value_parser = bound)]
    slo: Bound,
    /// How many requests may be under way at once; what comes beyond that is dropped and breaks the bound
    #[arg(long, value_name = "N", default_value_t = 64, value_parser = clap::value_parser!(u32).range(1..))]
    connections: u32,
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
    /// Makes the files to serve here instead of in a folder for the time
    #[arg(long, value_name = "FOLDER")]
    files_in: Option<PathBuf>,
}

/// A percentile, and what it may be at most.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Bound {
    /// Between 0 and 100.
    pub percentile: f64,
    /// How long it may be.
    pub time: Duration,
}

/// Reads `p99=5ms` or `p99.9=500us`.
///
/// # Errors
///
/// It is something else.
pub fn bound(words: &str) -> Result<Bound, String> {
    let usage = || format!("{words:?} is no bound; p99=5ms is one (us, ms and s are known)");
    let (percentile, time) = words.split_once('=').ok_or_else(usage)?;
    let percentile = percentile.strip_prefix('p').and_then(|p| p.parse().ok()).ok_or_else(usage)?;
    let units = [("us", 1e-6), ("µs", 1e-6), ("ms", 1e-3), ("s", 1.0)];
    let time = units.iter().find_map(|(unit, factor)| {
        let number: f64 = time.strip_suffix(unit)?.trim().parse().ok()?;
        Duration::try_from_secs_f64(number * factor).ok()
    });
    let time = time.filter(|time| !time.is_zero()).ok_or_else(usage)?;
    if !(0.0..=100.0).contains(&percentile) {
        return Err(usage());
    }
    Ok(Bound { percentile, time })
}

/// What a rate was found to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The bound holds.
    Holds,
    /// The server breaks it.
    Breaks,
    /// The generator could not keep the rate up, so nothing is known of the server.
    Unknown,
}

/// Between which rates the bound begins to break.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Bracket {
    /// The highest rate that held; 0 if none did.
    pub holds: f64,
    /// The lowest that did not, and why it did not: the server ([`Verdict::Breaks`]) or the generator
    /// ([`Verdict::Unknown`]); none if every rate held.
    pub fails: Option<(f64, Verdict)>,
}

/// Finds the bracket, beginning at `start`.
///
/// # Errors
///
/// `judge` has one.
pub fn bisect<E>(
    start: f64,
    precision: f64,
    mut judge: impl FnMut(f64) -> Result<Verdict, E>,
) -> Result<Bracket, E> {
    let mut rate = start.clamp(SLOWEST, FASTEST);
    let mut bracket = Bracket { holds: 0.0, fails: None };
    loop {
        match judge(rate)? {
            Verdict::Holds => bracket.holds = rate,
            why => bracket.fails = Some((rate, why)),
        }
        rate = match bracket {
            Bracket { fails: None, holds } if holds >= FASTEST => return Ok(bracket),
            Bracket { fails: None, holds } => (holds * 2.0).min(FASTEST),
            Bracket { fails: Some((high, _)), holds: 0.0 } if high <= SLOWEST => {
                return Ok(bracket);
            }
            Bracket { fails: Some((high, _)), holds: 0.0 } => (high / 2.0).max(SLOWEST),
            Bracket { fails: Some((high, _)), holds } => {
                if high / holds <= 1.0 + precision.max(0.001) {
                    return Ok(bracket);
                }
                (holds * high).sqrt()
            }
        };
    }
}

/// What one try of a rate showed.
#[derive(Clone, Debug)]
struct Try {
    rate: f64,
    verdict: Verdict,
    /// The percentile of the bound.
    time: Duration,
    why: Option<String>,
}

fn judge(bound: Bound, rate: f64, recording: &Recording) -> Try {
    let totals = &recording.totals;
    let nanos = recording.response_time.percentile(bound.percentile);
    let time = Duration::from_nanos(nanos);
    let errors: u64 = recording.errors.values().sum();
    let dropped = totals.dropped as f64 / totals.planned.max(1) as f64;
    // A generator that is late itself makes the server look late.
    let own = [recording.lag.percentile(99.0) > 1_000_000, recording.generator.share > 0.8];
    let own = own.into_iter().filter(|late| *late).count();
    let late = own > 0;
    // Times count from what was planned: within the bound in spite of the generator is within the bound.
    let in_spite = late && recording.invalid.len() == own;
    let (verdict, why) = if errors > 0 {
        (Verdict::Breaks, Some(format!("{errors} errors")))
    } else if totals.done == 0 {
        (Verdict::Breaks, Some("nothing was answered".into()))
    } else if time > bound.time {
        (Verdict::Breaks, None)
    } else if dropped > 0.01 {
        (Verdict::Breaks, Some(format!("{:.1}% dropped", 100.0 * dropped)))
    } else if let Some(reason) = recording.invalid.first().filter(|_| !in_spite) {
        (Verdict::Unknown, Some(reason.clone()))
    } else {
        (Verdict::Holds, None)
    };
    match (verdict, recording.invalid.first()) {
        (Verdict::Breaks, Some(reason)) if late && errors == 0 => {
            Try { rate, verdict: Verdict::Unknown, time, why: Some(reason.clone()) }
        }
        _ => Try { rate, verdict, time, why },
    }
}

/// What most of the tries say; a tie is decided against the server.
fn majority(tries: &[Try]) -> Verdict {
    let count = |verdict| tries.iter().filter(|one| one.verdict == verdict).count();
    if 2 * count(Verdict::Holds) > tries.len() {
        Verdict::Holds
    } else if count(Verdict::Unknown) > count(Verdict::Breaks) {
        Verdict::Unknown
    } else {
        Verdict::Breaks
    }
}

/// Runs `knee` as a program does.
pub fn main(options: &Options) -> ExitCode {
    run(options).unwrap_or_else(|failure| failure.report("loadgen"))
}

/// Whom the tries are made against.
enum Subject {
    Ours(&'static Variant),
    Running(SocketAddr),
}

struct Search<'a> {
    subject: Subject,
    name: String,
    root: PathBuf,
    placement: Placement,
    stop: &'a AtomicBool,
}

impl Search<'_> {
    /// Where server and generator are.
    fn words(&self) -> String {
        match self.subject {
            Subject::Ours(_) => self.placement.to_string(),
            Subject::Running(_) => self.placement.with_external_server(None),
        }
    }

    /// One run, against a server that is new and has no queue from before.
    fn once(&self, workload: &Workload) -> Result<Recording, Failure> {
        let broken = |why: String| Failure::Broken(format!("{}: {why}", self.name));
        let server = match self.subject {
            Subject::Ours(variant) => {
                Some(process::serve(variant, &self.root, workload.connections, self.placement)?)
            }
            Subject::Running(_) => None,
        };
        let addr = match (&server, &self.subject) {
            (Some(server), _) => server.addr(),
            (None, Subject::Running(addr)) => *addr,
            (None, Subject::Ours(_)) => return Err(broken("is not there".into())),
        };
        let target = Target { addr, name: self.name.clone() };
        let environment = watched::environment(self.words());
        let made = run_watched(
            workload,
            &target,
            server.as_ref(),
            self.placement,
            &environment,
            self.stop,
        );
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
            let found = addr.to_socket_addrs().ok().and_then(|mut all| all.next());
            let found = found.ok_or_else(|| unusable("--addr needs HOST:PORT"))?;
            (Subject::Running(found), addr.clone())
        }
        (None, None) => return Err(unusable("--serve or --addr is needed")),
    };
    if let Subject::Ours(variant) = subject
        && options.connections as usize > variant.holds()
    {
        return Err(Failure::Unusable(format!(
            "{name} cannot serve {} clients that stay: --connections {}",
            options.connections,
            variant.holds()
        )));
    }
    let folder = tempfile::Builder::new().prefix("knee-").tempdir()?;
    let root = options.files_in.clone().unwrap_or_else(|| folder.path().join("root"));
    fs::create_dir_all(&root)?;
    raise_descriptor_limit();
    let stop = stop_when_interrupted(folder.path().to_owned())?;
    let workload = Workload {
        protocol: options.protocol,
        connections: options.connections as usize,
        duration: Duration::from_secs_f64(options.seconds),
        warm_up: Duration::from_secs_f64((options.seconds / 4.0).min(0.5)),
        sizes: vec![options.size].into(),
        ..Workload::default()
    };
    content::make_files(&root, &workload)?;
    let search = Search { subject, name, root, placement: Placement::choose(), stop: &stop };
    search_and_tell(options, &search, &workload)
}

fn search_and_tell(
    options: &Options,
    search: &Search<'_>,
    workload: &Workload,
) -> Result<ExitCode, Failure> {
    let bound = options.slo;
    let words = format!("p{} at most {}", bound.percentile, text::duration(bound.time));
    println!("{}; {}", text::machine(), search.words());
    println!("{}: the highest rate with {words}, {} repeats\n", search.name, options.repeats);
    // What it does when it sets the pace itself is near enough to begin with.
    progress("what it does in a closed loop");
    let closed =
        Workload { duration: workload.duration.min(Duration::from_secs(1)), ..workload.clone() };
    let most = Metric::Rate.of(&search.once(&closed)?).unwrap_or(1000.0);
    progress("");
    println!("in a closed loop it answers {}", text::rate(most));
    let mut all: Vec<Try> = Vec::new();
    let repeats = options.repeats as usize;
    let found = bisect(most * 0.5, options.precision, |rate| -> Result<Verdict, Failure> {
        let arrivals = match options.fixed {
            true => Arrivals::Fixed { rate },
            false => Arrivals::Poisson { rate },
        };
        let mut tries = Vec::new();
        for nth in 0..repeats {
            progress(&format!("{}, repeat {} of {repeats}", text::rate(rate), nth + 1));
            let seed = workload.seed + nth as u64;
            let recording = search.once(&Workload { arrivals, seed, ..workload.clone() })?;
            tries.push(judge(bound, rate, &recording));
        }
        progress("");
        println!("{}", line(bound, &tries));
        let verdict = majority(&tries);
        all.extend(tries);
        if all.len() >= 4 * repeats && all.iter().all(|one| one.verdict == Verdict::Unknown) {
            let why = "the generator itself is late at every rate: nothing can be said of the server while this machine is so busy";
            return Err(Failure::Broken(why.into()));
        }
        Ok(verdict)
    })?;
    println!("\n{}: {}", search.name, conclusion(&words, &found, options.repeats));
    Ok(ExitCode::from(u8::from(found.holds == 0.0)))
}

fn line(bound: Bound, tries: &[Try]) -> String {
    let times: Vec<String> = tries.iter().map(|one| text::duration(one.time)).collect();
    let mut reasons: Vec<&str> = tries.iter().filter_map(|one| one.why.as_deref()).collect();
    reasons.dedup();
    let word = match majority(tries) {
        Verdict::Holds => "holds",
        Verdict::Breaks => "breaks",
        Verdict::Unknown => "unknown",
    };
    let rate = tries.first().map_or(0.0, |one| one.rate);
    let why = if reasons.is_empty() { String::new() } else { format!(" ({})", reasons.join("; ")) };
    format!("{:>10}  {word:<8} p{}: {}{why}", text::rate(rate), bound.percentile, times.join(", "))
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::load::verdict;
    use std::convert::Infallible;

    fn found(start: f64, knee: f64, generator: f64) -> (Bracket, usize) {
        let mut tries = 0;
        let bracket = bisect(start, 0.05, |rate| -> Result<Verdict, Infallible> {
            tries += 1;
            Ok(match rate {
                rate if rate > generator => Verdict::Unknown,
                rate if rate > knee => Verdict::Breaks,
                _ => Verdict::Holds,
            })
        });
        (bracket.unwrap(), tries)
    }

    #[test]
    fn the_bracket_holds_the_knee_wherever_it_begins() {
        for start in [1.0, 100.0, 30_000.0, 1e6] {
            let (bracket, tries) = found(start, 12_345.0, f64::INFINITY);
            let (high, why) = bracket.fails.unwrap();
            assert!(bracket.holds <= 12_345.0 && high > 12_345.0, "{bracket:?}");
            assert!(high / bracket.holds <= 1.05 && why == Verdict::Breaks, "{bracket:?}");
            assert!(tries < 25, "{tries}");
        }
    }

    #[test]
    fn the_ends() {
        let (nothing, _) = found(1000.0, 0.1, f64::INFINITY);
        assert_eq!(nothing.holds, 0.0);
        let (everything, _) = found(1000.0, f64::INFINITY, f64::INFINITY);
        assert_eq!((everything.holds, everything.fails), (FASTEST, None));
        let (generator, _) = found(1000.0, 1e9, 50_000.0);
        assert_eq!(generator.fails.map(|(_, why)| why), Some(Verdict::Unknown));
        assert!(conclusion("p99", &generator, 3).contains("generator"));
    }

    #[test]
    fn bounds_in_words() {
        let five = Bound { percentile: 99.0, time: Duration::from_millis(5) };
        assert_eq!(bound("p99=5ms"), Ok(five));
        assert_eq!(bound("p99.9=500us").unwrap().percentile, 99.9);
        for wrong in ["", "p99", "99=5ms", "p99=5", "p101=5ms", "p99=0ms", "p99=-1s", "p99=5m"] {
            assert!(bound(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_late_generator_excuses_a_server_and_does_not_accuse_it() {
        let recording = |millis: u64, lag: u64, more: &[&str]| {
            let arrivals = Arrivals::Fixed { rate: 10.0 };
            let workload = Workload { arrivals, ..Workload::default() };
            let totals = r#"{"planned":1,"done":1,"dropped":0,"bytes_in":0,"bytes_out":0,
                "connections_asked":1,"connections_made":1,"clients_served":1}"#;
            let mut recording: Recording = serde_json::from_value(serde_json::json!({
                "schema": 1, "server": "x", "workload": workload, "seconds": 1.0, "errors": {},
                "environment": {"machine": "", "command": "", "started": 0, "placement": ""},
                "totals": serde_json::from_str::<serde_json::Value>(totals).unwrap(),
                "service_time": [], "response_time": [[millis * 1_000_000, 100]],
                "lag": [[lag * 1_000_000, 100]], "intervals": [], "per_client": [],
                "generator": {"cpu_seconds": 0.1, "share": 0.1}, "samples": [], "invalid": more,
            }))
            .unwrap();
            let reasons = verdict::reasons(&recording, &verdict::Bounds::default(), None);
            recording.invalid.extend(reasons);
            judge(bound("p99=5ms").unwrap(), 10.0, &recording).verdict
        };
        assert_eq!(recording(4, 0, &[]), Verdict::Holds);
        assert_eq!(recording(6, 0, &[]), Verdict::Breaks);
        assert_eq!(recording(4, 3, &[]), Verdict::Holds);
        assert_eq!(recording(6, 3, &[]), Verdict::Unknown);
        assert_eq!(recording(4, 3, &["something else"]), Verdict::Unknown);
    }

    #[test]
    fn most_repeats_decide() {
        let tries = |verdicts: &[Verdict]| {
            let one = |&verdict| Try { rate: 1.0, verdict, time: Duration::ZERO, why: None };
            majority(&verdicts.iter().map(one).collect::<Vec<_>>())
        };
        use Verdict::{Breaks, Holds, Unknown};
        assert_eq!(tries(&[Holds, Breaks, Holds]), Holds);
        assert_eq!(tries(&[Holds, Breaks]), Breaks);
        assert_eq!(tries(&[Holds, Unknown, Unknown]), Unknown);
        assert_eq!(tries(&[Breaks, Unknown]), Breaks);
    }
}
