//! The flags: every one of them overrides what a scenario file says.

use benches::Placement;
use benches::load::engine::{self, RunError};
use benches::load::verdict::Bounds;
use benches::load::workload::{Arrivals, Lifetime, Mix, Protocol, Workload};
use std::fs;
use std::path::PathBuf;
use std::time::Duration;

/// Whom to load, with what, and where to put what was found.
#[derive(clap::Args)]
pub struct Flags {
    /// The server: one that is running, ours or, with --protocol http, anybody's
    #[arg(long, value_name = "HOST:PORT", conflicts_with = "serve")]
    pub addr: Option<String>,
    /// Start one of our servers for the run, in a process and on a core of its own: thread, pool:steal, ...
    #[arg(long, value_name = "MODEL")]
    pub serve: Option<String>,
    /// The process of a server that is running: it and its descendants are watched from outside
    #[arg(long, value_name = "PID", conflicts_with = "serve")]
    pub pid: Option<i32>,
    /// The folder that the server serves: the files that are asked for are made there before the run
    #[arg(long, value_name = "DIR")]
    pub root: Option<PathBuf>,
    /// Put the files onto the server before the run, by PUT of the file protocol
    #[arg(long)]
    pub upload: bool,
    /// The server's name in reports [default: its model or address]
    #[arg(long, value_name = "NAME")]
    pub name: Option<String>,
    /// A TOML file with any of what follows; a flag overrides it
    #[arg(long, value_name = "FILE")]
    scenario: Option<PathBuf>,

    /// Which protocol to speak: http drives foreign servers, too [default: file]
    #[arg(long, value_enum, help_heading = "Workload")]
    protocol: Option<Protocol>,
    /// How many clients there are. In a closed loop each has a request under way at all times; in an
    /// open loop this is the most that can be in flight [default: 64]
    #[arg(short, long, value_name = "N", help_heading = "Workload")]
    connections: Option<usize>,
    /// Requests per second, sent on time whatever the server does (an open loop). Without it the next request
    /// waits for the last reply (a closed loop): that finds the highest throughput, but a server that
    /// stalls is then asked less, and its percentiles flatter it. Use a rate to learn what people would
    /// feel
    #[arg(long, value_name = "R", help_heading = "Workload")]
    rate: Option<f64>,
    /// How arrivals of --rate are spaced: evenly, or at random as independent people come
    #[arg(
        long,
        value_name = "fixed|poisson",
        value_enum,
        requires = "rate",
        help_heading = "Workload"
    )]
    arrivals: Option<Spacing>,
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
    /// large ones that of a byte [default: 4KiB]
    #[arg(long, value_name = "BYTES,...", value_delimiter = ',', value_parser = size, help_heading = "Workload")]
    sizes: Option<Vec<u64>>,
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
    /// How long a reply may take, in seconds, before it counts as lost [default: 10]
    #[arg(long, value_name = "S", value_parser = seconds, help_heading = "Workload")]
    timeout: Option<Duration>,

    /// The share of errors above which the figures are called invalid
    #[arg(long, value_name = "SHARE", default_value_t = Bounds::default().errors, help_heading = "Verdict")]
    max_errors: f64,
    /// Do not find out first what the generator itself can do
    #[arg(long, help_heading = "Verdict")]
    no_null_run: bool,

    /// Write everything as JSON
    #[arg(long, value_name = "FILE", help_heading = "Output")]
    pub json: Option<PathBuf>,
    /// Write the course of the run, a row for each tenth of a second
    #[arg(long, value_name = "FILE", help_heading = "Output")]
    pub csv: Option<PathBuf>,
    /// Write the response times as an HdrHistogram log
    #[arg(long, value_name = "FILE", help_heading = "Output")]
    pub hgrm: Option<PathBuf>,
    /// Write a page with plots
    #[arg(long, value_name = "FILE", help_heading = "Output")]
    pub html: Option<PathBuf>,
}

/// How arrivals are spaced.
#[derive(Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Spacing {
    Fixed,
    Poisson,
}

impl Flags {
    /// What the scenario says, overridden by the flags; or what is wrong with it, in a line.
    pub fn workload(&self) -> Result<Workload, String> {
        let mut workload = match &self.scenario {
            None => Workload::default(),
            Some(path) => {
                let wrong = |why: String| format!("scenario {}: {why}", path.display());
                let text = fs::read_to_string(path).map_err(|error| wrong(error.to_string()))?;
                toml::from_str(&text).map_err(|error| {
                    let line =
                        error.span().map(|span| text[..span.start].matches('\n').count() + 1);
                    let line = line.map_or(String::new(), |line| format!("line {line}: "));
                    wrong(line + error.message().lines().next().unwrap_or_default())
                })?
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
        set(&mut workload.sizes, self.sizes.as_ref());
        set(&mut workload.names, self.names.as_ref());
        set(&mut workload.zipf, self.zipf.as_ref());
        set(&mut workload.lifetime, self.lifetime.as_ref());
        set(&mut workload.pipelining, self.pipelining.as_ref());
        set(&mut workload.slow_share, self.slow_share.as_ref());
        set(&mut workload.slow_rate, self.slow_rate.as_ref());
        set(&mut workload.seed, self.seed.as_ref());
        set(&mut workload.timeout, self.timeout.as_ref());
        if let Some(rate) = self.rate {
            workload.arrivals = match self.arrivals {
                Some(Spacing::Poisson) => Arrivals::Poisson { rate },
                _ => Arrivals::Fixed { rate },
            };
        }
        workload.verify &= !self.no_verify;
        Ok(workload)
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
        let ceiling = placement.at_client(|| engine::null_ceiling(workload))?;
        Ok(Some(ceiling.per_cpu_second))
    }
}

fn seconds(text: &str) -> Result<Duration, String> {
    let seconds = text.parse().map_err(|_| "not a number of seconds".to_owned())?;
    Duration::try_from_secs_f64(seconds).map_err(|error| error.to_string())
}

/// A number of bytes, with a suffix or without.
fn size(text: &str) -> Result<u64, String> {
    let suffixes = [("KiB", 1 << 10), ("MiB", 1 << 20), ("GiB", 1 << 30), ("", 1)];
    let (number, unit) = suffixes
        .into_iter()
        .find_map(|(suffix, unit)| text.strip_suffix(suffix).map(|number| (number, unit)))
        .unwrap_or((text, 1));
    let number: Option<u64> = number.parse().ok();
    number
        .and_then(|number| number.checked_mul(unit))
        .ok_or_else(|| "not a number of bytes, such as 4096, 4KiB or 1MiB".into())
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
    fn sizes_mixes_and_lifetimes() {
        assert_eq!(size("4KiB"), Ok(4096));
        assert_eq!(size("7"), Ok(7));
        assert!(size("4K").is_err() && size("").is_err() && size("99999999999GiB").is_err());
        let expected = Mix { get: 8, put: 1, list: 0, hash: 0, quit: 0 };
        assert_eq!(mix("get=8,put=1"), Ok(expected));
        assert!(mix("get").is_err() && mix("take=1").is_err() && mix("get=x").is_err());
        assert_eq!(lifetime("churn=0.5"), Ok(Lifetime::Churn { ratio: 0.5 }));
        assert!(lifetime("churn=x").is_err() && lifetime("short").is_err());
        assert!(seconds("-1").is_err() && seconds("x").is_err());
    }
}
