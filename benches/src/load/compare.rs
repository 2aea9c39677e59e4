//! Several servers under the same cases: in interleaved rounds, each a process of its own, the generator
//! on another core.
//!
//! What makes a comparison honest is its order. In every round of a case all servers run next to each other,
//! each started anew; the first of one round is the last of the next, and who begins changes every second
//! round (A B C, C B A, B C A, A C B, ...). So a machine that grows slower does so for all, and nobody
//! always comes after the same one. Ratios are taken within rounds.

use super::content;
use super::diff;
use super::engine::{self, Run, Target, Watcher};
use super::peers::{self, Peer};
use super::recording::{Environment, Interval, Latencies, Recording, Totals};
use super::report::{self, Case, Comparison, Metric, SCHEMA, ServerResult, Timeline};
use super::sampler::{self, Sampler};
use super::stats::Difference;
use super::timeline;
use super::verdict::{self, Bounds};
use super::workload::{Arrivals, Lifetime, Mix, Protocol, Workload};
use crate::{Placement, Server, VARIANTS, Variant, find, tether, text};
use nix::sys::signal::{SigSet, Signal};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fmt;
use std::fs;
use std::io;
use std::net::{SocketAddr, ToSocketAddrs};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{self, Command, ExitCode, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// As many connections as the steps of a curve have.
pub const STEPS: [usize; 6] = [1, 4, 16, 64, 256, 1000];

/// How long a single client is served before an empty server is weighed.
const FIRST_CLIENT: Duration = Duration::from_millis(50);

/// Criterion's options that have a value behind them: it is no filter.
const WITH_VALUE: [&str; 20] = [
    "-b",
    "-c",
    "-s",
    "--baseline",
    "--baseline-lenient",
    "--color",
    "--colour",
    "--confidence-level",
    "--format",
    "--load-baseline",
    "--logfile",
    "--measurement-time",
    "--noise-threshold",
    "--nresamples",
    "--output-format",
    "--plotting-backend",
    "--profile-time",
    "--sample-size",
    "--save-baseline",
    "--significance-level",
];

/// What `compare` takes.
#[derive(Clone, Debug, clap::Args)]
pub struct Options {
    /// Two files that `--json` has written: which differences between them are shown, which are not
    #[arg(value_name = "OLD.json NEW.json", num_args = 2)]
    files: Vec<PathBuf>,
    /// Which servers, by name: thread, pool:steal, ...; `all` is every form [default: each model in its
    /// default form]
    #[arg(long, value_name = "A,B", value_delimiter = ',')]
    models: Vec<String>,
    /// Foreign servers beside them: nginx, python (where installed) or any that is running; may be given
    /// again. All are then driven over HTTP
    #[arg(long, value_name = "NAME=HOST:PORT|nginx|python")]
    against: Vec<String>,
    /// Programs that speak the file protocol, beside them or alone: each is started with `--addr 127.0.0.1:0
    /// --root FOLDER` behind what stands here and says `listening on HOST:PORT` first; may be given again
    #[arg(long = "program", value_name = "NAME=PROGRAM [OPTION...]")]
    programs: Vec<String>,
    /// Which cases: get-4k (all steps of concurrency), get-4k-64 (one), connect-4k, get-1m, put, mixed,
    /// idle [default: all], or visitors (clients that come, stay for some requests and think in between)
    #[arg(long = "case", value_name = "A,B", value_delimiter = ',')]
    cases: Vec<String>,
    /// How many rounds; below five, only large differences can be shown
    #[arg(long, value_name = "N", default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..))]
    rounds: u32,
    /// How long each run is measured, in seconds
    #[arg(long, value_name = "S", default_value_t = 2.0, value_parser = seconds)]
    seconds: f64,
    /// How long each run is warmed up before that, in seconds
    #[arg(long, value_name = "S", default_value_t = 0.5, value_parser = seconds)]
    warm_up: f64,
    /// The server that the ratios are to [default: nginx where it takes part, else the first that serves
    /// many]
    #[arg(long, value_name = "NAME")]
    baseline: Option<String>,
    /// Runs the first server twice under two names: the method is sound if it shows no difference
    #[arg(long)]
    aa: bool,
    /// Does not verify the bodies of replies, which the generator is quicker without
    #[arg(long)]
    no_verify: bool,
    /// Makes the files to serve here instead of in a folder for the time: a server that is running already
    /// must serve this folder
    #[arg(long, value_name = "FOLDER")]
    files_in: Option<PathBuf>,
    /// Where the JSON goes [default: comparison.json beside the page]
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Where the page goes [default: target/comparison/index.html]
    #[arg(long, value_name = "FILE")]
    html: Option<PathBuf>,
    /// Where the CSV goes [default: comparison.csv beside the page]
    #[arg(long, value_name = "FILE")]
    csv: Option<PathBuf>,
}

fn seconds(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(seconds) if (0.05..=3600.0).contains(&seconds) => Ok(seconds),
        _ => Err("seconds between 0.05 and 3600 are needed".into()),
    }
}

/// Why a comparison did not come about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Failure {
    /// What was asked for cannot be done.
    Unusable(String),
    /// It went wrong on the way.
    Broken(String),
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Failure {
        Failure::Broken(error.to_string())
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Failure::Unusable(why) | Failure::Broken(why) => f.write_str(why),
        }
    }
}

impl Failure {
    /// Says it in a line on standard error; 2 for what was asked wrongly, 1 for the rest.
    pub fn report(&self, program: &str) -> ExitCode {
        eprintln!("{program}: {self}");
        match self {
            Failure::Unusable(_) => ExitCode::from(2),
            Failure::Broken(_) => ExitCode::FAILURE,
        }
    }
}

/// A server that takes part.
#[derive(Clone, Debug)]
pub struct Contestant {
    /// Its name in reports.
    pub name: String,
    /// What it is.
    pub kind: Kind,
}

/// What a server that takes part is.
#[derive(Clone, Debug)]
pub enum Kind {
    /// One of ours.
    Ours(&'static Variant),
    /// A program of somebody's that speaks the file protocol, with its options.
    Program(Vec<String>),
    /// A foreign one that is started here.
    Started(Peer),
    /// One that is running already.
    Running(SocketAddr),
}

impl Contestant {
    /// One of ours.
    pub fn ours(variant: &'static Variant) -> Contestant {
        Contestant { name: variant.label.into(), kind: Kind::Ours(variant) }
    }

    fn is_foreign(&self) -> bool {
        matches!(self.kind, Kind::Started(_) | Kind::Running(_))
    }

    /// Why it cannot serve this at all, if it cannot.
    fn unable(&self, workload: &Workload) -> Option<String> {
        let stay = !matches!(workload.lifetime, Lifetime::PerRequest);
        let Mix { put, list, hash, .. } = workload.mix;
        match &self.kind {
            Kind::Ours(variant) if stay && workload.connections > variant.capacity() => {
                Some(match variant.capacity() {
                    1 => "serves one client at a time, so it cannot serve several that stay".into(),
                    most => format!("serves {most} clients at a time, so no more can stay"),
                })
            }
            Kind::Started(_) | Kind::Running(_) if put + list + hash > 0 => {
                Some("answers GET alone".into())
            }
            _ => None,
        }
    }

    fn note(&self) -> Option<String> {
        match &self.kind {
            Kind::Ours(variant) => {
                let options = variant.options.join(" ");
                Some(options).filter(|options| !options.is_empty())
            }
            Kind::Program(line) => Some(line.join(" ")),
            Kind::Started(peer) => Some(peer.note.clone()),
            Kind::Running(addr) => Some(format!("running on {addr}, not watched from outside")),
        }
    }
}

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

/// Every case, each run for so long.
pub fn cases(duration: Duration, warm_up: Duration, verify: bool) -> Vec<Plan> {
    let base = Workload { duration, warm_up, verify, ..Workload::default() };
    let plan = |name: &str, title: &str, workload: Workload| Plan {
        name: name.into(),
        title: title.into(),
        workload,
    };
    let mut cases: Vec<Plan> = STEPS
        .iter()
        .map(|&connections| {
            let (name, title) = (
                format!("get-4k-{connections}"),
                format!("4 KiB, keep-alive, {connections} connections"),
            );
            plan(&name, &title, Workload { connections, ..base.clone() })
        })
        .collect();
    let large =
        Workload { connections: 16, sizes: vec![1 << 20].into(), names: 16, ..base.clone() };
    let connect = Workload { connections: 16, lifetime: Lifetime::PerRequest, ..base.clone() };
    let put = Workload { mix: Mix { get: 0, put: 1, ..Mix::default() }, ..large.clone() };
    let mixed = Workload {
        connections: 32,
        mix: Mix { get: 80, put: 10, list: 5, hash: 5, quit: 0 },
        sizes: vec![1 << 10, 4 << 10, 16 << 10, 64 << 10, 256 << 10].into(),
        zipf: 1.0,
        lifetime: Lifetime::Churn { ratio: 0.05 },
        ..base.clone()
    };
    // Each client makes a request every ten seconds: nearly all of them wait, nearly all of the time.
    let idle =
        Workload { connections: 1000, arrivals: Arrivals::Fixed { rate: 100.0 }, ..base.clone() };
    cases.extend([
        plan("connect-4k", "4 KiB, a connection per request, 16 clients", connect),
        plan("get-1m", "1 MiB, keep-alive, 16 connections", large),
        plan("put", "PUT of 1 MiB, keep-alive, 16 connections", put),
        plan("mixed", "80% GET, 10% PUT, 5% LIST, 5% HASH of 1 to 256 KiB, 32 connections", mixed),
        plan("idle", "1,000 connections that are nearly idle: memory", idle),
    ]);
    cases
}

/// Sixteen people who come, ask for some files with pauses between, and go: somebody who is served one at a time keeps
/// the others waiting while nothing at all is done. Only the lateness shows it, so the load is an open loop.
pub fn visitors(duration: Duration, warm_up: Duration, verify: bool) -> Plan {
    let workload = Workload {
        connections: 16,
        arrivals: Arrivals::Fixed { rate: 200.0 },
        lifetime: Lifetime::Churn { ratio: 0.2 },
        duration,
        warm_up,
        verify,
        ..Workload::default()
    };
    let title = "4 KiB, 200 requests a second by 16 clients that stay for about five".into();
    Plan { name: "visitors".into(), title, workload }
}

/// Whether somebody who asks for `word` means this case.
pub fn is_called(case: &str, word: &str) -> bool {
    let step = case.strip_prefix(word).and_then(|rest| rest.strip_prefix('-'));
    case == word || step.is_some_and(|step| step.parse::<usize>().is_ok())
}

/// All that a comparison needs.
#[derive(Clone, Debug)]
pub struct Setup<'a> {
    /// Who takes part.
    pub contestants: &'a [Contestant],
    /// In what.
    pub cases: &'a [Plan],
    /// How often.
    pub rounds: usize,
    /// The server that the ratios are to.
    pub baseline: Option<String>,
    /// The folder that all serve.
    pub root: &'a Path,
    /// Where server and generator run.
    pub placement: Placement,
    /// Set from elsewhere, it ends the comparison; what was measured until then is the result.
    pub stop: &'a AtomicBool,
}

/// Compares. `tell` hears what is about to be done.
///
/// # Errors
///
/// The files to serve cannot be made.
pub fn compare(setup: &Setup<'_>, tell: &mut dyn FnMut(&str)) -> io::Result<Comparison> {
    let mut environment = environment(placement_words(setup.placement, setup.contestants));
    let mut watching: f64 = 0.0;
    let foreign = setup.contestants.iter().any(Contestant::is_foreign);
    let mut cases = Vec::new();
    for (nth, plan) in setup.cases.iter().enumerate() {
        let mut workload = plan.workload.clone();
        let mut results: Vec<ServerResult> = setup
            .contestants
            .iter()
            .map(|contestant| ServerResult {
                server: contestant.name.clone(),
                rounds: Vec::new(),
                failure: contestant.unable(&workload),
                note: contestant.note(),
            })
            .collect();
        // One protocol for all of them, and the foreign ones know one.
        let able = |at: &usize| results[*at].failure.is_none();
        let able: Vec<usize> = (0..results.len()).filter(able).collect();
        if foreign && able.iter().any(|&at| setup.contestants[at].is_foreign()) {
            workload.protocol = Protocol::Http;
        }
        content::make_files(setup.root, &workload)?;
        // What may be the generator's own limit is found out before anybody is judged.
        let ceiling = match is_get_alone(&workload) && !able.is_empty() {
            true => {
                tell(&format!(
                    "case {} of {}, {}: what the generator itself can do",
                    nth + 1,
                    setup.cases.len(),
                    plan.name
                ));
                let found = setup.placement.on_client_core(|| engine::null_ceiling(&workload));
                found.ok().map(|ceiling| ceiling.per_cpu_second)
            }
            false => None,
        };
        'rounds: for round in 0..setup.rounds {
            for at in order(&able, round) {
                if setup.stop.load(Ordering::Relaxed) {
                    break 'rounds;
                }
                let contestant = &setup.contestants[at];
                tell(&format!(
                    "case {} of {}, {}, round {} of {}: {}",
                    nth + 1,
                    setup.cases.len(),
                    plan.name,
                    round + 1,
                    setup.rounds,
                    contestant.name
                ));
                let made = measure(setup, contestant, &workload, &environment);
                if setup.stop.load(Ordering::Relaxed) {
                    break 'rounds; // what was cut short is no round
                }
                let result = &mut results[at];
                match made {
                    Ok(Watched { mut recording, share }) => {
                        watching = share.max(watching);
                        verdict::judge(&mut recording, &Bounds::default(), ceiling);
                        result.rounds.push(Some(recording));
                    }
                    Err(why) => {
                        result.rounds.push(None);
                        result.failure.get_or_insert(why);
                    }
                }
            }
        }
        let (name, title) = (plan.name.clone(), plan.title.clone());
        cases.push(Case { name, title, workload, results, ceiling });
        if setup.stop.load(Ordering::Relaxed) {
            break;
        }
    }
    environment.placement +=
        &format!("; to watch a server took at most {:.1}% of a core", 100.0 * watching);
    Ok(Comparison { schema: SCHEMA, environment, baseline: setup.baseline.clone(), cases })
}

/// Whether the null run answers what is asked.
fn is_get_alone(workload: &Workload) -> bool {
    let Mix { get, put, list, hash, quit } = workload.mix;
    get > 0 && put + list + hash + quit == 0 && workload.arrivals == Arrivals::Closed
}

/// The order of a round: there, back, and then somebody else begins.
fn order(all: &[usize], round: usize) -> Vec<usize> {
    let mut order = all.to_vec();
    order.rotate_left((round / 2) % all.len().max(1));
    if round % 2 == 1 {
        order.reverse();
    }
    order
}

/// Where the servers and the generator are put; of those that run already nothing is claimed.
pub fn placement_words(placement: Placement, contestants: &[Contestant]) -> String {
    let running = |contestant: &&Contestant| matches!(contestant.kind, Kind::Running(_));
    let names: Vec<&str> = contestants.iter().filter(running).map(|c| c.name.as_str()).collect();
    match names.len() {
        0 => placement.to_string(),
        n if n == contestants.len() => placement.with_external_server(None),
        _ => format!(
            "{placement}; not so {}, started elsewhere, on cores that are not known",
            names.join(", ")
        ),
    }
}

/// Where and how this is run.
pub fn environment(placement: String) -> Environment {
    let command: Vec<String> = std::env::args().collect();
    let started = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_secs());
    Environment { machine: text::machine(), command: command.join(" "), started, placement }
}

/// One run against one server that is started for it.
fn measure(
    setup: &Setup<'_>,
    contestant: &Contestant,
    workload: &Workload,
    environment: &Environment,
) -> Result<Watched, String> {
    let say = |error: io::Error| format!("does not start: {error}");
    let server = match &contestant.kind {
        Kind::Running(_) => None,
        Kind::Started(peer) => {
            let r#become = myself("become").map_err(say)?;
            Some(peer.start(r#become, setup.placement).map_err(say)?)
        }
        Kind::Program(line) => {
            let mut program = myself("become").map_err(say)?;
            program.args(line).args(["--addr", "127.0.0.1:0", "--root"]).arg(setup.root);
            // What it has to say of every client is not for this page.
            program.stderr(Stdio::null());
            Some(Server::spawn(program, setup.placement).map_err(say)?)
        }
        Kind::Ours(variant) => Some(
            start_ours(variant, setup.root, workload.connections, setup.placement).map_err(say)?,
        ),
    };
    let addr = match (&contestant.kind, &server) {
        (Kind::Running(addr), _) => *addr,
        (_, Some(server)) => server.addr(),
        _ => return Err("is not there".into()),
    };
    let target = Target { addr, name: contestant.name.clone() };
    let run = |workload: &Workload, server| {
        run_watched(workload, &target, server, setup.placement, environment, setup.stop)
    };
    if report::is_idle(workload) {
        // What comes with the first client of all is no client's: pages of the program, a heap.
        let first = Workload {
            connections: 1,
            arrivals: Arrivals::Closed,
            duration: FIRST_CLIENT,
            warm_up: Duration::ZERO,
            ..workload.clone()
        };
        run(&first, None)?;
    }
    run(workload, server.as_ref())
}

/// Starts one of ours, with room for so many clients.
///
/// # Errors
///
/// It cannot be started.
pub fn start_ours(
    variant: &Variant,
    root: &Path,
    connections: usize,
    placement: Placement,
) -> io::Result<Server> {
    let limit = (connections + 64).max(4096).to_string();
    let options = ["--max-connections", &limit, "--idle-timeout", "3600"];
    Server::start(myself("serve")?, variant, root, &options, placement)
}

/// A run and what was seen beside it.
#[derive(Clone, Debug)]
pub struct Watched {
    /// The run.
    pub recording: Recording,
    /// The share of the generator's core that it took to watch the server.
    pub share: f64,
}

/// A run in the generator's place, the server watched from outside.
///
/// # Errors
///
/// There is nothing to record; the error says why.
pub fn run_watched(
    workload: &Workload,
    target: &Target,
    server: Option<&Server>,
    placement: Placement,
    environment: &Environment,
    stop: &AtomicBool,
) -> Result<Watched, String> {
    let sampler = server.and_then(|server| Sampler::start(server.pid(), placement).ok());
    let mut clock = Clock { sampler, origin: None, end: workload.duration.as_secs_f64() };
    let run =
        Run { workload, target, stop, watcher: Some(&mut clock), environment: environment.clone() };
    let mut recording =
        placement.on_client_core(|| engine::run(run)).map_err(|error| error.to_string())?;
    let mut share = 0.0;
    if let Some(sampler) = clock.sampler {
        let series = sampler.finish(clock.origin.unwrap_or_else(Instant::now));
        share = series.cpu_share();
        (recording.empty, recording.samples) = (Some(series.first), series.samples);
    }
    Ok(Watched { recording, share })
}

/// Tells the sampler when it matters.
struct Clock {
    sampler: Option<Sampler>,
    origin: Option<Instant>,
    end: f64,
}

impl Watcher for Clock {
    fn started(&mut self, at: Instant) {
        self.origin = Some(at);
        if let Some(sampler) = &self.sampler {
            sampler.sample_threads();
        }
    }

    fn interval(&mut self, interval: &Interval, _: &Totals, _: &BTreeMap<String, u64>) {
        // While all clients are still there.
        let last = self.end - 1.5 * sampler::PERIOD.as_secs_f64();
        if let Some(sampler) = &self.sampler
            && interval.at >= last
            && interval.at < self.end - 0.5 * sampler::PERIOD.as_secs_f64()
        {
            sampler.sample_all();
        }
    }

    fn latencies(&mut self, _: &Latencies) {}
}

/// Runs `compare` as a program does.
pub fn main(options: &Options) -> ExitCode {
    run(options).unwrap_or_else(|failure| failure.report("loadgen"))
}

fn run(options: &Options) -> Result<ExitCode, Failure> {
    if let [old, new] = options.files.as_slice() {
        return diff::run(old, new);
    }
    let unusable = |error: io::Error| Failure::Unusable(format!("no folder to serve: {error}"));
    let folder = tempfile::Builder::new().prefix("compare-").tempdir().map_err(unusable)?;
    let own_root = folder.path().join("root");
    fs::create_dir(&own_root)?;
    let root = options.files_in.as_deref().unwrap_or(&own_root);
    let mut contestants = contestants(options, folder.path(), root)?;
    let duration = Duration::from_secs_f64(options.seconds);
    let warm_up = Duration::from_secs_f64(options.warm_up);
    let mut known = cases(duration, warm_up, !options.no_verify);
    if options.cases.iter().any(|word| word == "visitors") {
        known.push(visitors(duration, warm_up, !options.no_verify));
    }
    let cases = chosen(known, &options.cases)?;
    if options.aa {
        let mut again = contestants[0].clone();
        again.name += " (again)";
        contestants.insert(1, again);
    }
    let baseline = match &options.baseline {
        Some(word) => Some(named(&contestants, word)?),
        None => yardstick(&contestants),
    };
    raise_descriptor_limit();
    let stop = stop_when_interrupted(folder.path().to_owned())?;
    let placement = Placement::choose();
    println!("{}; {}", text::machine(), placement_words(placement, &contestants));
    for contestant in &contestants {
        if let Kind::Started(peer) = &contestant.kind {
            println!("\n{}: {}\n{}", peer.name, peer.note, indented(&peer.configuration));
        }
    }
    let setup = Setup {
        contestants: &contestants,
        cases: &cases,
        rounds: options.rounds as usize,
        baseline,
        root,
        placement,
        stop: &stop,
    };
    let comparison = compare(&setup, &mut progress)?;
    progress("");
    if stop.load(Ordering::Relaxed) {
        println!("interrupted: this is what there is");
    }
    let timelines = if stop.load(Ordering::Relaxed) { Vec::new() } else { timelines(&contestants) };
    conclude(&comparison, &timelines, options)?;
    if options.aa {
        println!("\n{}", self_check(&comparison));
    }
    Ok(exit_code(&comparison))
}

/// 1 if a server should have served and did not.
pub fn exit_code(comparison: &Comparison) -> ExitCode {
    let results = comparison.cases.iter().flat_map(|case| &case.results);
    let failed = results.into_iter().any(|result| result.rounds.iter().any(Option::is_none));
    ExitCode::from(u8::from(failed))
}

fn indented(text: &str) -> String {
    text.lines().map(|line| format!("    {line}\n")).collect()
}

/// What comes of a server compared with itself.
pub fn self_check(comparison: &Comparison) -> String {
    let mut shown = Vec::new();
    let mut compared = 0;
    for case in &comparison.cases {
        let [one, again, ..] = case.results.as_slice() else { continue };
        for metric in [Metric::Rate, Metric::P50, Metric::P99, Metric::Cpu] {
            let Some(ratio) = case.ratio(metric, &again.server, &one.server) else { continue };
            compared += 1;
            if ratio.difference() != Difference::NotShown {
                shown.push(format!("{} {metric:?} {}", case.name, report::ratio_text(Some(ratio))));
            }
        }
    }
    match shown.len() {
        0 => format!("A/A: {compared} figures of one server under two names, no difference shown"),
        n => format!(
            "A/A: {n} of {compared} figures of one server under two names differ, of which chance explains one in 20: {}",
            shown.join("; ")
        ),
    }
}

/// The models and peers that were asked for.
fn contestants(options: &Options, folder: &Path, root: &Path) -> Result<Vec<Contestant>, Failure> {
    let mut all = Vec::new();
    for word in &options.models {
        if word == "all" {
            all.extend(VARIANTS.iter().map(Contestant::ours));
        } else {
            all.push(Contestant::ours(variant(word)?));
        }
    }
    for word in &options.programs {
        let usage = || Failure::Unusable(format!("{word:?} is not NAME=PROGRAM [OPTION...]"));
        let (name, line) = word.split_once('=').filter(|(n, _)| !n.is_empty()).ok_or_else(usage)?;
        // A path may hold a space, too.
        let line: Vec<String> = match Path::new(line).is_file() {
            true => vec![line.to_owned()],
            false => line.split_whitespace().map(str::to_owned).collect(),
        };
        let program = line.first().ok_or_else(usage)?;
        fs::metadata(program).map_err(|e| Failure::Unusable(format!("{program}: {e}")))?;
        all.push(Contestant { name: name.into(), kind: Kind::Program(line) });
    }
    if options.models.is_empty() && options.programs.is_empty() {
        all.extend(VARIANTS.iter().filter(|c| c.is_default()).map(Contestant::ours));
    }
    for word in &options.against {
        if peers::WORDS.contains(&word.as_str()) {
            let found = peers::find(word, folder, root)?;
            found.skipped.iter().for_each(|line| println!("{line}"));
            let started =
                |peer: Peer| Contestant { name: peer.name.clone(), kind: Kind::Started(peer) };
            all.extend(found.peers.into_iter().map(started));
        } else {
            let (name, addr) = running(word)?;
            if options.files_in.is_none() {
                let why = format!(
                    "{name} runs already: --files-in FOLDER makes the files in a folder that it serves"
                );
                return Err(Failure::Unusable(why));
            }
            all.push(Contestant { name, kind: Kind::Running(addr) });
        }
    }
    for at in 1..all.len() {
        if all[..at].iter().any(|other| other.name == all[at].name) {
            return Err(Failure::Unusable(format!("{} is named twice", all[at].name)));
        }
    }
    Ok(all)
}

/// The form of one of ours that is called so.
///
/// # Errors
///
/// None is.
pub fn variant(word: &str) -> Result<&'static Variant, Failure> {
    VARIANTS.iter().find(|variant| variant.is_called(word)).ok_or_else(|| {
        let labels: Vec<&str> = VARIANTS.iter().map(|variant| variant.label).collect();
        Failure::Unusable(format!("no server {word:?}; there are {}", labels.join(", ")))
    })
}

fn running(word: &str) -> Result<(String, SocketAddr), Failure> {
    let usage =
        || Failure::Unusable(format!("{word:?} is neither nginx, python nor NAME=HOST:PORT"));
    let (name, addr) = word.split_once('=').ok_or_else(usage)?;
    if name.is_empty() {
        return Err(usage());
    }
    let found = addr.to_socket_addrs().ok().and_then(|mut all| all.next());
    let unknown = || Failure::Unusable(format!("{addr:?} is no address: HOST:PORT is needed"));
    Ok((name.to_owned(), found.ok_or_else(unknown)?))
}

/// The cases that are called by one of these words; without any, all.
///
/// # Errors
///
/// A word calls none.
pub fn chosen(cases: Vec<Plan>, words: &[String]) -> Result<Vec<Plan>, Failure> {
    if let Some(word) = words.iter().find(|word| !cases.iter().any(|c| is_called(&c.name, word))) {
        let names: Vec<&str> = cases.iter().map(|case| case.name.as_str()).collect();
        let why = format!("no case {word:?}; there are {}", names.join(", "));
        return Err(Failure::Unusable(why));
    }
    let wanted =
        |case: &Plan| words.is_empty() || words.iter().any(|word| is_called(&case.name, word));
    Ok(cases.into_iter().filter(wanted).collect())
}

/// The server that ratios are best taken to: one that everybody knows, or else that takes part everywhere.
pub fn yardstick(contestants: &[Contestant]) -> Option<String> {
    let known = contestants.iter().find(|contestant| contestant.name == "nginx");
    let many = |contestant: &&Contestant| match contestant.kind {
        Kind::Ours(variant) => variant.many,
        _ => true,
    };
    let best = known.or_else(|| contestants.iter().find(many)).or(contestants.first());
    best.map(|contestant| contestant.name.clone())
}

fn named(contestants: &[Contestant], word: &str) -> Result<String, Failure> {
    let called = |contestant: &&Contestant| {
        let ours = matches!(contestant.kind, Kind::Ours(variant) if variant.is_called(word));
        contestant.name == word || ours
    };
    let found = contestants.iter().find(called);
    let unknown = || Failure::Unusable(format!("the baseline {word:?} does not take part"));
    Ok(found.ok_or_else(unknown)?.name.clone())
}

/// What the workers of each of ours do when, for the page; one that leaves no trace is left out.
pub fn timelines(contestants: &[Contestant]) -> Vec<Timeline> {
    let mut timelines: Vec<Timeline> = Vec::new();
    for contestant in contestants {
        let Kind::Ours(variant) = contestant.kind else { continue };
        if timelines.iter().any(|strip| strip.server == variant.label) {
            continue;
        }
        progress(&format!("the timeline of {}", variant.label));
        match myself("serve").and_then(|serve| timeline::record(serve, variant)) {
            Ok(strip) => timelines.push(strip),
            Err(error) => eprintln!("no timeline of {}: {error}", variant.label),
        }
    }
    progress("");
    timelines
}

/// Prints the table and writes the files.
fn conclude(comparison: &Comparison, timelines: &[Timeline], options: &Options) -> io::Result<()> {
    let html = options.html.clone().unwrap_or_else(|| target_folder().join("index.html"));
    let beside = |name: &str| html.with_file_name(name);
    let json = options.json.clone().unwrap_or_else(|| beside("comparison.json"));
    let csv = options.csv.clone().unwrap_or_else(|| beside("comparison.csv"));
    write_reports(comparison, timelines, &html, &json, &csv)
}

/// Prints the table and writes page, JSON and CSV.
///
/// # Errors
///
/// The file system refuses.
pub fn write_reports(
    comparison: &Comparison,
    timelines: &[Timeline],
    html: &Path,
    json: &Path,
    csv: &Path,
) -> io::Result<()> {
    println!("\n{}\n", comparison.environment.placement);
    println!("{}", report::terminal::comparison(comparison));
    let small = condensed(comparison);
    report::write(json, &report::json::comparison(&small)?)?;
    report::write(csv, &report::csv::runs_of(comparison))?;
    // What the page is made of stays beside it: the bench `ipc` writes it anew, with a chapter of its own.
    report::write(&json.with_file_name("timelines.json"), &serde_json::to_string(timelines)?)?;
    let further = html.parent().map(crate::ipc::chapters).unwrap_or_default();
    report::write(html, &report::page(comparison, timelines, &further))?;
    println!("\nWritten to {}, {} and {}", html.display(), json.display(), csv.display());
    Ok(())
}

fn condensed(comparison: &Comparison) -> Comparison {
    let mut small = comparison.clone();
    for result in small.cases.iter_mut().flat_map(|case| &mut case.results) {
        for recording in result.rounds.iter_mut().flatten() {
            *recording = report::json::condensed(recording);
        }
    }
    small
}

/// The words among the arguments of `cargo bench` that filter; the rest are options and their values.
pub fn filter_words(args: &[String]) -> Vec<&str> {
    let mut words = Vec::new();
    let mut args = args.iter();
    while let Some(arg) = args.next() {
        if WITH_VALUE.contains(&arg.as_str()) {
            args.next();
        } else if !arg.starts_with('-') {
            words.push(arg.as_str());
        }
    }
    words
}

/// `comparison` in the build's folder, which is where this program is, or else in the current one's.
pub fn target_folder() -> PathBuf {
    let program = std::env::current_exe().unwrap_or_default();
    // Cargo marks its folder so that backups leave it out.
    let marked = |folder: &&Path| folder.join("CACHEDIR.TAG").exists();
    let target = program.ancestors().skip(1).find(marked);
    target.unwrap_or(Path::new("target")).join("comparison")
}

/// This program again, as something else. The servers are in it, so that they are built with it; see
/// [`role`].
///
/// # Errors
///
/// The system does not say which program this is.
pub fn myself(role: &str) -> io::Result<Command> {
    // Not by its path: a build that ends meanwhile has put another program there, or nothing for a moment.
    let mut command = Command::new("/proc/self/exe");
    command.arg0(std::env::current_exe()?).arg(role);
    Ok(command)
}

/// What this program is when it starts itself: `serve MODEL ...` a server, `become PROGRAM ...` another
/// program. Comes first in `main`; `None` if it is neither.
pub fn role() -> Option<ExitCode> {
    let mut args = std::env::args_os().skip(1);
    match args.next()?.to_str()? {
        "serve" => {
            let name = args.next();
            let entry = name.as_ref().and_then(|name| name.to_str()).and_then(find);
            let rest: Vec<OsString> = args.collect();
            Some(entry.map_or(ExitCode::from(2), |entry| (entry.main)(rest)))
        }
        "become" => {
            let line: Vec<OsString> = args.collect();
            let error = tether::become_program(&line);
            eprintln!("{}: {error}", line.first().map_or("become".into(), |l| l.to_string_lossy()));
            Some(ExitCode::FAILURE)
        }
        _ => None,
    }
}

/// Thousands of clients are thousands of descriptors, here and in the servers, which inherit the limit.
pub fn raise_descriptor_limit() {
    let maximum = getrlimit(Resource::Nofile).maximum;
    let _ = setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum });
}

/// Gives what becomes true at SIGINT or SIGTERM, so that what there is can still be said. The second
/// signal removes `folder` and exits at once with 128 plus its number.
///
/// Comes before other threads start, so that they inherit the mask.
///
/// # Errors
///
/// The system refuses the mask or a thread.
pub fn stop_when_interrupted(folder: PathBuf) -> io::Result<Arc<AtomicBool>> {
    let stop = Arc::new(AtomicBool::new(false));
    let set = stop.clone();
    let signals = SigSet::from_iter([Signal::SIGINT, Signal::SIGTERM]);
    signals.thread_block()?;
    let wait = move || {
        while let Ok(signal) = signals.wait() {
            if set.swap(true, Ordering::Relaxed) {
                let _ = fs::remove_dir_all(&folder);
                process::exit(128 + signal as i32);
            }
        }
    };
    thread::Builder::new().name("signals".into()).spawn(wait)?;
    Ok(stop)
}

/// What is being done, on one line of the terminal; nothing in a pipe.
pub fn progress(what: &str) {
    if let Some(width) = text::terminal_width() {
        // A line that is broken could not be taken back.
        let fitting: String = what.chars().take(width.saturating_sub(1)).collect();
        eprint!("\r\x1b[K{fitting}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everybody_goes_first_and_last() {
        let all = [0, 1, 2];
        let rounds: Vec<_> = (0..6).map(|round| order(&all, round)).collect();
        assert_eq!(rounds[..4], [[0, 1, 2], [2, 1, 0], [1, 2, 0], [0, 2, 1]]);
        for server in all {
            assert!(rounds.iter().any(|order| order[0] == server));
            let places: usize =
                rounds.iter().map(|order| order.iter().position(|&s| s == server).unwrap()).sum();
            assert_eq!(places, 6, "everybody's mean place is the middle");
        }
        assert!(order(&[], 3).is_empty());
    }

    #[test]
    fn cases_by_name() {
        let all = cases(Duration::from_secs(1), Duration::ZERO, true);
        let names = |words: &[&str]| {
            let words: Vec<String> = words.iter().map(|word| word.to_string()).collect();
            chosen(all.clone(), &words)
                .map(|cases| cases.into_iter().map(|c| c.name).collect::<Vec<_>>())
        };
        assert_eq!(names(&["get-4k"]).unwrap().len(), STEPS.len());
        assert_eq!(names(&["get-4k-64", "put"]).unwrap(), ["get-4k-64", "put"]);
        assert_eq!(names(&[]).unwrap().len(), all.len());
        assert!(matches!(names(&["get"]), Err(Failure::Unusable(_))));
        // One curve: they differ in their connections alone.
        for case in &all[..STEPS.len()] {
            let same = Workload { connections: 1, ..case.workload.clone() };
            assert_eq!(same, all[0].workload);
        }
    }

    #[test]
    fn who_cannot_serve() {
        let of = |name| Contestant::ours(VARIANTS.iter().find(|c| c.label == name).unwrap());
        let all = cases(Duration::from_secs(1), Duration::ZERO, true);
        let case = |name| &all.iter().find(|case| case.name == name).unwrap().workload;
        assert!(of("iterative_server").unable(case("get-4k-4")).is_some());
        assert!(of("iterative_server").unable(case("get-4k-1")).is_none());
        assert!(of("iterative_server").unable(case("connect-4k")).is_none());
        assert!(of("fork_server:prefork").unable(case("get-4k-64")).is_none());
        assert!(of("fork_server:prefork").unable(case("get-4k-256")).is_some());
        assert!(of("thread_server").unable(case("idle")).is_none());
        let remote =
            Contestant { name: "x".into(), kind: Kind::Running(([127, 0, 0, 1], 1).into()) };
        assert!(remote.unable(case("put")).is_some() && remote.unable(case("get-1m")).is_none());
    }

    #[test]
    fn words_of_cargo_bench() {
        let args = ["--bench", "pool", "--save-baseline", "before", "--quick", "get-4k"];
        assert_eq!(filter_words(&args.map(String::from)), ["pool", "get-4k"]);
    }

    #[test]
    fn running_servers_by_address() {
        assert!(matches!(running("apache"), Err(Failure::Unusable(_))));
        assert!(matches!(running("a=nowhere"), Err(Failure::Unusable(_))));
        let (name, addr) = running("a=127.0.0.1:80").unwrap();
        assert_eq!((name.as_str(), addr.port()), ("a", 80));
    }
}
