//! `compare` on the command line.

use super::cases::{self, Plan};
use super::contestants::{self, Contestant, Words, default_baseline};
use super::output::{Files, self_check, strict_exit_code, timelines, write_reports};
use super::run::{Setup, compare, placement_text};
use super::wrk::Wrk;
use crate::layout::Layout;
use crate::load::diff;
use crate::load::failure::Failure;
use crate::load::process::{raise_descriptor_limit, stop_when_interrupted};
use crate::load::report::{self, Chapter};
use crate::load::workload::Workload;
use crate::out;
use crate::text::{self, progress};
use crate::{Placement, outln, tether::Scratch};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

/// What `compare` takes.
#[derive(Clone, Debug, clap::Args)]
pub struct Options {
    /// Two files of `--json`: shows which differences between them the rounds show
    #[arg(value_names = ["OLD.json", "NEW.json"], num_args = 2)]
    files: Vec<PathBuf>,
    /// Compare these servers, by name: thread, pool:steal, ...; `all` is every variant [default: each model in its
    /// default variant, unless there is a --program]
    #[arg(long, alias = "models", value_name = "MODEL,...", value_delimiter = ',')]
    serve: Vec<String>,
    /// Compare them with other servers: nginx, lighttpd, h2o, caddy or python (where installed), a bare loop of system
    /// calls (bare), or any server that is running (NAME=HOST:PORT); may be given again. But for `bare`, all are then
    /// driven over HTTP
    #[arg(long, value_name = "A,B", value_delimiter = ',')]
    against: Vec<String>,
    /// Compare programs that speak the file protocol, two builds of one server for example: each is started with
    /// `--addr 127.0.0.1:0 --root DIR` behind its options and prints `listening on HOST:PORT` first; may be given again
    #[arg(long = "program", value_name = "NAME=PROGRAM [OPTION...]")]
    programs: Vec<String>,
    /// Run these cases: get-4k (a curve of 1 to 1,000 connections), get-4k-64 (one point of it), connect-4k, get-1m, put,
    /// mixed, idle [default: all of these]; get-SIZE, put-SIZE and connect-SIZE (get-64k, put-64m), visitors (clients
    /// that come, stay for some requests and think in between). NAME-N is the case with N clients: idle-10000
    #[arg(long = "case", value_name = "CASE,...", value_delimiter = ',')]
    cases: Vec<String>,
    /// Run N rounds; below five, only large differences can be shown
    #[arg(long, value_name = "N", default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..))]
    rounds: u32,
    /// Put the load on with this program
    #[arg(long, value_enum, default_value_t)]
    driver: Driver,
    /// Measure each run for S seconds; with wrk, whole ones
    #[arg(short, long, alias = "seconds", value_name = "S", default_value_t = 2.0, value_parser = seconds)]
    duration: f64,
    /// Warm each run up for S seconds before that
    #[arg(long, value_name = "S", default_value_t = 0.5, value_parser = seconds)]
    warm_up: f64,
    /// Take ratios to this server [default: nginx where it takes part, else the first that serves
    /// many]
    #[arg(long, value_name = "NAME")]
    baseline: Option<String>,
    /// Run the first server twice under two names: the method is sound if it shows no difference
    #[arg(long)]
    aa: bool,
    /// Do not verify the bodies of replies: the generator is quicker without
    #[arg(long)]
    no_verify: bool,
    /// Make the files to serve in this directory instead of in a temporary one: a server that is running already
    /// must serve it
    #[arg(long, alias = "files-in", value_name = "DIR")]
    root: Option<PathBuf>,
    /// Write the JSON to this file, or to standard output with `-` [default: comparison.json next to the page]
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Write the page to this file [default: target/comparison/index.html]
    #[arg(long, value_name = "FILE")]
    html: Option<PathBuf>,
    /// Write a CSV with a row for each run to this file [default: comparison.csv next to the page]
    #[arg(long, alias = "csv", value_name = "FILE")]
    summary_csv: Option<PathBuf>,
    /// Print all columns of the tables, however wide they become; a pipe has 100 columns, a terminal its width
    #[arg(long)]
    wide: bool,
}

/// The program that puts the load on the servers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
enum Driver {
    /// This generator
    #[default]
    Loadgen,
    /// wrk, where it is installed: GET alone, over HTTP, in a closed loop
    Wrk,
}

fn seconds(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(seconds) if (0.05..=3600.0).contains(&seconds) => Ok(seconds),
        _ => Err("seconds between 0.05 and 3600 are needed".into()),
    }
}

/// Runs `compare` as a program does. `chapters` returns further chapters for the page in a directory.
pub fn main(options: &Options, chapters: impl Fn(&Path) -> Vec<Chapter>) -> ExitCode {
    run(options, chapters).unwrap_or_else(|failure| failure.report("loadgen"))
}

fn run(options: &Options, chapters: impl Fn(&Path) -> Vec<Chapter>) -> Result<ExitCode, Failure> {
    if let [old, new] = options.files.as_slice() {
        return diff::run(old, new, Layout::of_stdout(options.wide));
    }
    let unusable = |error: io::Error| {
        Failure::Unusable(format!("cannot make a directory to serve: {}", text::error(&error)))
    };
    let files = options.files();
    files.check().map_err(|error| Failure::unusable(&error))?;
    let interrupt = stop_when_interrupted()?;
    let directory = Scratch::new("compare-").map_err(unusable)?;
    let own_root = directory.path().join("root");
    let root = options.root.as_deref().unwrap_or(&own_root);
    fs::create_dir_all(root).map_err(|error| {
        let (root, why) = (root.display(), text::error(&error));
        Failure::Unusable(format!("cannot make files in {root}: {why}"))
    })?;
    let wrk = match options.driver {
        Driver::Loadgen => None,
        Driver::Wrk => Some(Wrk::find(directory.path())?),
    };
    let words = Words {
        variants: &options.serve,
        programs: &options.programs,
        against: &options.against,
        directory_is_known: options.root.is_some(),
    };
    let mut contestants = contestants::named(&words, directory.path(), root)?;
    let cases = options.cases()?;
    if options.aa {
        let again = format!("{} (again)", contestants[0].name);
        contestants.insert(1, Contestant { name: again, ..contestants[0].clone() });
    }
    let baseline = match &options.baseline {
        Some(word) => Some(contestants::baseline(&contestants, word)?),
        None => default_baseline(&contestants),
    };
    raise_descriptor_limit();
    let placement = Placement::choose();
    let layout = Layout::of_stdout(options.wide);
    let place = format!("{}; {}", text::machine(), placement_text(placement, &contestants));
    outln!("{}", layout.text(&place));
    contestants
        .iter()
        .filter_map(Contestant::configuration)
        .for_each(|text| outln!("\n{}", text.trim_end()));
    let setup = Setup {
        contestants: &contestants,
        cases: &cases,
        rounds: options.rounds as usize,
        baseline,
        root,
        placement,
        wrk,
        stop: interrupt.flag(),
    };
    let comparison = compare(&setup, &mut progress)?;
    progress("");
    let timelines = timelines(&contestants, interrupt.flag());
    let further = files.html.parent().map(chapters).unwrap_or_default();
    let written = write_reports(&comparison, &timelines, &further, &files);
    if options.aa {
        outln!("\n{}", layout.text(&self_check(&comparison)));
    }
    written?;
    Ok(interrupt.exit_code().unwrap_or_else(|| strict_exit_code(&comparison)))
}

impl Options {
    /// The cases that are asked for; without a name, those of the standard ones that the driver can run.
    fn cases(&self) -> Result<Vec<Plan>, Failure> {
        let base = Workload {
            duration: Duration::from_secs_f64(self.duration),
            warm_up: Duration::from_secs_f64(self.warm_up),
            verify: !self.no_verify,
            ..Workload::default()
        };
        let mut cases = cases::named(&self.cases, &base)?;
        if self.driver == Driver::Loadgen {
            return Ok(cases);
        }
        if self.duration.fract() != 0.0 {
            let why =
                format!("wrk runs for whole seconds: --duration 1 or more, not {}", self.duration);
            return Err(Failure::Unusable(why));
        }
        for case in &cases {
            let Some(why) = Wrk::unsupported(&case.workload) else { continue };
            let name = &case.name;
            if !self.cases.is_empty() {
                return Err(Failure::Unusable(format!("{name} cannot be driven by wrk: {why}")));
            }
            outln!("{name} left out: {why}");
        }
        cases.retain(|case| Wrk::unsupported(&case.workload).is_none());
        Ok(cases)
    }

    fn files(&self) -> Files {
        let html = self.html.clone();
        let default = report::target_directory().join("index.html");
        let html = html.unwrap_or_else(|| default.clone());
        // A page on standard output has no directory.
        let page = if out::is_stdout(&html) { &default } else { &html };
        let next_to = |name: &str| page.with_file_name(name);
        let json = self.json.clone().unwrap_or_else(|| next_to("comparison.json"));
        let csv = self.summary_csv.clone().unwrap_or_else(|| next_to("comparison.csv"));
        Files { html, json, csv, layout: Layout::of_stdout(self.wide) }
    }
}
