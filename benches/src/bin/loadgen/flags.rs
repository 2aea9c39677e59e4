//! The flags: every one of them overrides what a scenario file says.

use crate::scenario;
use benches::load::compare;
use benches::load::engine::{self, RunError};
use benches::load::verdict::Bounds;
use benches::load::workload::{
    Arrivals, Distribution, Lifetime, Mix, Profile, Protocol, Sizes, Workload,
};
use benches::out;
use benches::text::parse_size as size;
use benches::{Placement, Variant};
use std::io;
use std::path::PathBuf;
use std::time::Duration;

/// The server, the workload and the outputs of a run.
#[derive(clap::Args)]
pub struct Flags {
    /// Load a server that is running: one of ours or, with --protocol http, any other
    #[arg(long, value_name = "HOST:PORT", conflicts_with = "serve")]
    pub addr: Option<String>,
    /// Start one of our servers for the run, in a process and on a core of its own: thread, pool:steal, ...
    #[arg(long, value_name = "MODEL")]
    pub serve: Option<String>,
    /// The process of a server that is running: it and its descendants are watched from outside
    #[arg(long, value_name = "PID", conflicts_with = "serve", value_parser = clap::value_parser!(i32).range(1..))]
    pub pid: Option<i32>,
    /// Make the requested files in DIR before the run: the directory that the server serves
    #[arg(long, value_name = "DIR")]
    pub root: Option<PathBuf>,
    /// Put the files onto the server before the run, by PUT of the file protocol
    #[arg(long)]
    pub upload: bool,
    /// The server's name in reports [default: its model or address]
    #[arg(long, value_name = "NAME")]
    pub name: Option<String>,
    /// Read the workload from a TOML file; a flag overrides its key. `loadgen scenario` prints one with every key
    #[arg(long, value_name = "FILE")]
    scenario: Option<PathBuf>,

    /// Speak this protocol; http drives third-party servers, too [default: file]
    #[arg(long, value_enum, help_heading = "Workload")]
    protocol: Option<Protocol>,
    /// How many connections to make before the load begins. In a closed loop these are the clients, and each has a
    /// request under way at all times; in an open loop it is also the most that can be in flight, unless
    /// --max-in-flight is set [default: 64]
    #[arg(short, long, value_name = "N", help_heading = "Workload")]
    connections: Option<usize>,
    /// The most requests that an open loop has under way at once. An arrival that finds all connections busy makes
    /// one more, up to this number; what arrives beyond that is dropped [default: N of --connections if that is set,
    /// else the arrivals of 10 seconds, at least 64 and at most 10,000]
    #[arg(long, value_name = "N", help_heading = "Workload")]
    max_in_flight: Option<usize>,
    /// Requests per second, sent on time whatever the server does (an open loop). Without it the next request
    /// waits for the last reply (a closed loop): that finds the highest throughput, but a server that
    /// stalls is then asked less, and its percentiles flatter it. Use a rate to learn what people would
    /// feel
    #[arg(long, value_name = "R", help_heading = "Workload")]
    rate: Option<f64>,
    /// How arrivals of an open loop are spaced: evenly, or at random as independent people come
    #[arg(long, value_name = "fixed|poisson", value_enum, help_heading = "Workload")]
    arrivals: Option<Spacing>,
    /// Several levels of load in one run, one after the other: 1,4,16,64 or, with the seconds of each,
    /// 1,4,16,64:5. They are connections: those of the next level are added to those that live. With --rate
    /// or --arrivals they are requests per second. Every step is warmed up, measured and reported for
    /// itself, so one run shows where the server has enough
    #[arg(long, value_name = "LEVELS[:S]", value_parser = steps, conflicts_with = "ramp", help_heading = "Workload")]
    steps: Option<Growth>,
    /// A load that rises (or falls) evenly: 1:200:20 goes from 1 connection to 200 in 20 seconds, with --rate or
    /// --arrivals from 1 request per second to 200. Reported in ten phases: see at which load latency
    /// begins to climb
    #[arg(long, value_name = "FROM:TO:S", value_parser = ramp, help_heading = "Workload")]
    ramp: Option<Growth>,
    /// How long is measured, in seconds [default: 5]
    #[arg(short, long, value_name = "S", value_parser = seconds, help_heading = "Workload")]
    duration: Option<Duration>,
    /// How long is run before that and thrown away, so that caches and pools are filled [default: 1]
    #[arg(long, value_name = "S", value_parser = seconds, help_heading = "Workload")]
    warm_up: Option<Duration>,
    /// What is asked, by weight: get=8,put=1,list=1,hash=1,quit=1 [default: get=1]
    #[arg(long, value_name = "VERB=N,...", value_parser = mix, help_heading = "Workload")]
    mix: Option<Mix>,
    /// Sizes of the files, as many names of each: 4KiB,64KiB,1MiB. Small ones measure the cost of a request,
    /// large ones that of a byte. Or a distribution from which the size of every file is drawn, by the seed:
    /// lognormal:median=8K,sigma=1.5,files=200 (most files of a disk) or pareto:min=1K,alpha=1.2 (a few are
    /// very large); max=SIZE cuts the tail [default: 16MiB] and files=N is --names [default: 4KiB]
    #[arg(long, value_name = "BYTES,...|DISTRIBUTION", value_parser = sizes, help_heading = "Workload")]
    sizes: Option<Files>,
    /// How many files there are [default: 64]
    #[arg(long, value_name = "N", help_heading = "Workload")]
    names: Option<usize>,
    /// How unequally files are asked for: 0 is all alike, 1 is how people ask for pages of the web
    /// [default: 0]
    #[arg(long, value_name = "S", help_heading = "Workload")]
    zipf: Option<f64>,
    /// How long connections live: keep-alive, per-request (measures accepting too), or churn=RATIO (each
    /// request is the connection's last with this probability) [default: keep-alive]
    #[arg(long, value_name = "POLICY", value_parser = lifetime, help_heading = "Workload")]
    lifetime: Option<Lifetime>,
    /// How many requests are sent ahead of their replies on each connection [default: 1]
    #[arg(long, value_name = "N", help_heading = "Workload")]
    pipelining: Option<usize>,
    /// The share of clients that read slowly, which a server must not let hold up the others. They are
    /// no part of the rate and the percentiles [default: 0]
    #[arg(long, value_name = "SHARE", help_heading = "Workload")]
    slow_share: Option<f64>,
    /// How many bytes a slow client reads in a second [default: 16KiB]
    #[arg(long, value_name = "BYTES", value_parser = size, help_heading = "Workload")]
    slow_rate: Option<u64>,
    /// Do not verify bodies: a cheaper generator, and a server may answer nonsense
    #[arg(long, help_heading = "Workload")]
    no_verify: bool,
    /// Where all that is random begins: the same seed asks the same [default: 1]
    #[arg(long, value_name = "N", help_heading = "Workload")]
    seed: Option<u64>,
    /// How long a reply may take, in seconds, before it counts as lost, and how long a server that refuses
    /// connections in mid-run is waited for [default: 10]
    #[arg(long, value_name = "S", value_parser = seconds, help_heading = "Workload")]
    timeout: Option<Duration>,
    /// Have a client pause for SECONDS after each error, or for as long as Retry-After of the reply asks. The
    /// pauses are reported [default: 0]
    #[arg(long, value_name = "SECONDS", value_parser = seconds, help_heading = "Workload")]
    pause_after_error: Option<Duration>,

    /// The share of errors above which the figures are called invalid
    #[arg(long, value_name = "SHARE", default_value_t = Bounds::default().errors, value_parser = share, help_heading = "Verdict")]
    max_errors: f64,
    /// Do not find out first what the generator itself can do
    #[arg(long, help_heading = "Verdict")]
    no_null_run: bool,

    /// Write everything as JSON; a run in steps as a comparison in which every step is a case. `-` is standard output;
    /// the text then goes to standard error
    #[arg(long, value_name = "FILE", help_heading = "Output")]
    pub json: Option<PathBuf>,
    /// Write the time series of the run, a row for each tenth of a second
    #[arg(long, value_name = "FILE", help_heading = "Output")]
    pub csv: Option<PathBuf>,
    /// Write what came of the run, a row for it or for each of its steps
    #[arg(long, value_name = "FILE", help_heading = "Output")]
    pub summary_csv: Option<PathBuf>,
    /// Write the response times as an HdrHistogram log; of a run in steps a file for each, named after it
    #[arg(long, value_name = "FILE", help_heading = "Output")]
    pub hgrm: Option<PathBuf>,
    /// Write a page with plots
    #[arg(long, value_name = "FILE", help_heading = "Output")]
    pub html: Option<PathBuf>,
    /// Print all columns of the tables, however wide they become; a pipe has 100 columns, a terminal its width
    #[arg(long, help_heading = "Output")]
    pub wide: bool,
}

/// What `--steps` and `--ramp` say.
#[derive(Clone)]
struct Growth {
    profile: Profile,
    duration: Option<Duration>,
}

/// What `--sizes` says.
#[derive(Clone)]
struct Files {
    sizes: Sizes,
    names: Option<usize>,
}

/// How arrivals are spaced.
#[derive(Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Spacing {
    Fixed,
    Poisson,
}

impl Flags {
    /// Checks that all files can be written, before anything is run.
    ///
    /// # Errors
    ///
    /// One cannot.
    pub fn check_outputs(&self) -> io::Result<()> {
        out::check_all(&[
            ("--json", self.json.as_deref()),
            ("--csv", self.csv.as_deref()),
            ("--summary-csv", self.summary_csv.as_deref()),
            ("--hgrm", self.hgrm.as_deref()),
            ("--html", self.html.as_deref()),
        ])
    }

    /// What the scenario says, overridden by the flags; or what is wrong with it, in a line.
    pub fn workload(&self) -> Result<Workload, String> {
        let mut sets_connections = self.connections.is_some();
        let mut workload = match &self.scenario {
            None => Workload::default(),
            Some(path) => {
                let (workload, sets) = scenario::read(path)?;
                sets_connections |= sets;
                workload
            }
        };
        fn set<T: Clone>(field: &mut T, flag: Option<&T>) {
            if let Some(flag) = flag {
                field.clone_from(flag);
            }
        }
        set(&mut workload.protocol, self.protocol.as_ref());
        set(&mut workload.connections, self.connections.as_ref());
        set(&mut workload.duration, self.duration.as_ref());
        set(&mut workload.warm_up, self.warm_up.as_ref());
        set(&mut workload.mix, self.mix.as_ref());
        if let Some(Files { sizes, names }) = &self.sizes {
            workload.sizes = sizes.clone();
            set(&mut workload.names, names.as_ref());
        }
        set(&mut workload.names, self.names.as_ref());
        set(&mut workload.zipf, self.zipf.as_ref());
        set(&mut workload.lifetime, self.lifetime.as_ref());
        set(&mut workload.pipelining, self.pipelining.as_ref());
        set(&mut workload.slow_share, self.slow_share.as_ref());
        set(&mut workload.slow_rate, self.slow_rate.as_ref());
        set(&mut workload.seed, self.seed.as_ref());
        set(&mut workload.timeout, self.timeout.as_ref());
        set(&mut workload.pause_after_error, self.pause_after_error.as_ref());
        if let Some(Growth { profile, duration }) = self.steps.as_ref().or(self.ramp.as_ref()) {
            workload.profile = profile.clone();
            set(&mut workload.duration, duration.as_ref());
        }
        let rate = self.rate.or(workload.arrivals.rate());
        let growing = workload.profile != Profile::Steady;
        match (self.arrivals, rate) {
            (None, Some(rate)) if self.rate.is_some() => {
                workload.arrivals = match workload.arrivals {
                    Arrivals::Poisson { .. } => Arrivals::Poisson { rate },
                    _ => Arrivals::Fixed { rate },
                };
            }
            (None, _) => {}
            (Some(_), None) if !growing => {
                return Err("--arrivals needs a --rate, or --steps or a --ramp of rates".into());
            }
            (Some(Spacing::Fixed), rate) => {
                workload.arrivals = Arrivals::Fixed { rate: rate.unwrap_or(0.0) };
            }
            (Some(Spacing::Poisson), rate) => {
                workload.arrivals = Arrivals::Poisson { rate: rate.unwrap_or(0.0) };
            }
        }
        workload.verify &= !self.no_verify;
        workload.max_in_flight = self.max_in_flight.or(workload.max_in_flight);
        if !sets_connections && workload.max_in_flight.is_none() {
            workload.max_in_flight = self.default_in_flight(&workload);
        }
        Ok(workload)
    }

    /// The most in flight where nothing is set: what the rate needs, the system allows, and a server that is started
    /// for the run can hold.
    fn default_in_flight(&self, workload: &Workload) -> Option<usize> {
        let variant = self.serve.as_ref().and_then(|name| compare::variant(name).ok());
        let held = variant.map_or(usize::MAX, Variant::capacity);
        Some(engine::affordable_in_flight(workload)?.min(held.max(workload.connections)))
    }

    /// What the figures are judged by.
    pub fn bounds(&self) -> Bounds {
        Bounds { errors: self.max_errors, ..Bounds::default() }
    }

    /// What the generator itself can do in a second, if that is wanted.
    pub fn ceiling(
        &self,
        workload: &Workload,
        placement: Placement,
    ) -> Result<Option<f64>, RunError> {
        if self.no_null_run {
            return Ok(None);
        }
        let ceiling = placement.on_client_core(|| engine::null_ceiling(workload))?;
        Ok(Some(ceiling.per_cpu_second))
    }
}

fn seconds(text: &str) -> Result<Duration, String> {
    let wrong = || format!("{text:?} is not a number of seconds, such as 5 or 0.5");
    Duration::try_from_secs_f64(text.parse().map_err(|_| wrong())?).map_err(|_| wrong())
}

fn share(text: &str) -> Result<f64, String> {
    let found = text.parse().ok().filter(|share| (0.0..=1.0).contains(share));
    found.ok_or_else(|| format!("{text:?} is not a share between 0 and 1, such as 0.01"))
}

/// A list of sizes, or a distribution.
fn sizes(text: &str) -> Result<Files, String> {
    let Some((distribution, words)) = text.split_once(':') else {
        let list: Result<Vec<u64>, String> = text.split(',').map(size).collect();
        return Ok(Files { sizes: list?.into(), names: None });
    };
    let (mut smallest, mut shape, mut max, mut names) = (None, None, Distribution::LARGEST, None);
    let (first, second) = match distribution {
        "lognormal" => ("median", "sigma"),
        "pareto" => ("min", "alpha"),
        _ => {
            return Err(format!(
                "no distribution {distribution:?}; there are lognormal and pareto"
            ));
        }
    };
    for word in words.split(',') {
        let wrong =
            || format!("{word:?} does not belong to {distribution}:{first}=SIZE,{second}=X");
        let (name, value) = word.split_once('=').ok_or_else(wrong)?;
        match name {
            name if name == first => smallest = Some(size(value)?),
            name if name == second => shape = Some(value.parse().map_err(|_| wrong())?),
            "max" => max = size(value)?,
            "files" => names = Some(value.parse().map_err(|_| wrong())?),
            _ => return Err(wrong()),
        }
    }
    let missing = || format!("a distribution needs both: {distribution}:{first}=SIZE,{second}=X");
    let (smallest, shape) = (smallest.ok_or_else(missing)?, shape.ok_or_else(missing)?);
    let distribution = match distribution {
        "lognormal" => Distribution::Lognormal { median: smallest, sigma: shape, max },
        _ => Distribution::Pareto { min: smallest, alpha: shape, max },
    };
    Ok(Files { sizes: Sizes::Distribution(distribution), names })
}

fn steps(text: &str) -> Result<Growth, String> {
    let (levels, each) = match text.split_once(':') {
        None => (text, None),
        Some((levels, each)) => (levels, Some(seconds(each)?)),
    };
    let level = |word: &str| {
        word.trim().parse().map_err(|_| format!("{word:?} is no level; 1,4,16,64:5 is right"))
    };
    let levels: Result<Vec<f64>, String> = levels.split(',').map(level).collect();
    Ok(Growth { profile: Profile::Steps { levels: levels? }, duration: each })
}

fn ramp(text: &str) -> Result<Growth, String> {
    let wrong = || format!("{text:?} is not FROM:TO:SECONDS, such as 1:200:20");
    let parts: Vec<&str> = text.split(':').collect();
    let [from, to, length] = parts[..] else { return Err(wrong()) };
    let (from, to) = (from.parse().map_err(|_| wrong())?, to.parse().map_err(|_| wrong())?);
    Ok(Growth { profile: Profile::Ramp { from, to }, duration: Some(seconds(length)?) })
}

fn mix(text: &str) -> Result<Mix, String> {
    let mut mix = Mix { get: 0, put: 0, list: 0, hash: 0, quit: 0 };
    for part in text.split(',') {
        let wrong = || format!("{part:?} is not VERB=WEIGHT, such as get=8");
        let (verb, weight) = part.split_once('=').ok_or_else(wrong)?;
        let weight = weight.parse().map_err(|_| wrong())?;
        match verb {
            "get" => mix.get = weight,
            "put" => mix.put = weight,
            "list" => mix.list = weight,
            "hash" => mix.hash = weight,
            "quit" => mix.quit = weight,
            _ => return Err(format!("no verb {verb:?}; there are get, put, list, hash, quit")),
        }
    }
    Ok(mix)
}

fn lifetime(text: &str) -> Result<Lifetime, String> {
    match text.split_once('=') {
        None if text == "keep-alive" => Ok(Lifetime::KeepAlive),
        None if text == "per-request" => Ok(Lifetime::PerRequest),
        Some(("churn", ratio)) => match ratio.parse() {
            Ok(ratio) => Ok(Lifetime::Churn { ratio }),
            Err(_) => Err(format!("{ratio:?} is no ratio")),
        },
        _ => Err("not one of keep-alive, per-request, churn=RATIO".into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_mixes_lifetimes_are_parsed() {
        assert_eq!(size("4KiB"), Ok(4096));
        assert_eq!(size("7"), Ok(7));
        assert_eq!(size("4K"), Ok(4096));
        assert!(size("4k").is_err() && size("").is_err() && size("99999999999GiB").is_err());
        let expected = Mix { get: 8, put: 1, list: 0, hash: 0, quit: 0 };
        assert_eq!(mix("get=8,put=1"), Ok(expected));
        assert!(mix("get").is_err() && mix("take=1").is_err() && mix("get=x").is_err());
        assert_eq!(lifetime("churn=0.5"), Ok(Lifetime::Churn { ratio: 0.5 }));
        assert!(lifetime("churn=x").is_err() && lifetime("short").is_err());
        assert!(seconds("-1").is_err() && seconds("x").is_err());
    }

    #[test]
    fn size_distributions_are_parsed() {
        let files =
            sizes("lognormal:median=8K,sigma=1.5,files=200").unwrap_or_else(|e| panic!("{e}"));
        let distribution =
            Distribution::Lognormal { median: 8192, sigma: 1.5, max: Distribution::LARGEST };
        assert_eq!((files.sizes, files.names), (Sizes::Distribution(distribution), Some(200)));
        let files = sizes("pareto:min=1K,alpha=1.2,max=1M").unwrap_or_else(|e| panic!("{e}"));
        let distribution = Distribution::Pareto { min: 1024, alpha: 1.2, max: 1 << 20 };
        assert_eq!((files.sizes, files.names), (Sizes::Distribution(distribution), None));
        let files = sizes("1,4KiB").unwrap_or_else(|e| panic!("{e}"));
        assert_eq!(files.sizes, vec![1, 4096].into());
        for wrong in [
            "",
            "1,,2",
            "normal:median=1",
            "lognormal:",
            "lognormal:median=8K",
            "lognormal:median=8K,sigma=x",
            "lognormal:min=1,alpha=2",
            "pareto:min=1K,alpha=1,files=many",
        ] {
            assert!(sizes(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn steps_and_ramps_are_parsed() {
        let growth = steps("1,4,16:2.5").unwrap_or_else(|e| panic!("{e}"));
        assert_eq!(growth.profile, Profile::Steps { levels: vec![1.0, 4.0, 16.0] });
        assert_eq!(growth.duration, Some(Duration::from_millis(2500)));
        assert_eq!(steps("7").map(|growth| growth.duration), Ok(None));
        let growth = ramp("1:200:20").unwrap_or_else(|e| panic!("{e}"));
        assert_eq!(growth.profile, Profile::Ramp { from: 1.0, to: 200.0 });
        assert_eq!(growth.duration, Some(Duration::from_secs(20)));
        assert!(steps("1,x").is_err() && steps("").is_err() && steps("1:y").is_err());
        assert!(ramp("1:2").is_err() && ramp("1:2:3:4").is_err() && ramp("a:2:3").is_err());
    }
}
