//! The load generator.
//!
//! ```text
//! cargo loadgen --addr HOST:PORT --root DIR      against a server that is running and serves DIR
//! cargo loadgen --serve thread_server            against one of ours, started for it and watched
//! cargo loadgen compare                          all models, in interleaved rounds
//! cargo loadgen compare OLD.json NEW.json        which differences between two files are shown
//! cargo loadgen knee --serve thread_server       the highest rate within a bound
//! cargo loadgen picture FILE.json -o FILE.svg    the picture of a comparison, for a README
//! ```

mod flags;
mod live;

use benches::layout::Layout;
use benches::load::compare;
use benches::load::engine::{self, Run, RunError, Target};
use benches::load::failure::Failure;
use benches::load::recording::{ErrorKind, Recording};
use benches::load::report::{self, Comparison};
use benches::load::sampler::Sampler;
use benches::load::workload::{Profile, Sizes, Workload};
use benches::load::{content, diff, knee, process, sampled_run, verdict};
use benches::{Placement, tether};
use clap::error::ErrorKind as ClapError;
use clap::{CommandFactory, Parser, Subcommand};
use file_service::client::Client;
use flags::Flags;
use live::Live;
use rustix::process::Pid;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::atomic::AtomicBool;
use std::time::Instant;

/// Put load on a file server and measure it
#[derive(Parser)]
#[command(name = "loadgen", args_conflicts_with_subcommands = true, allow_negative_numbers = true)]
struct CommandLine {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    flags: Flags,
}

#[derive(Subcommand)]
enum Command {
    /// Compare several servers under the same cases, in interleaved rounds
    Compare(compare::Options),
    /// Show which differences between two comparisons the rounds show
    Diff(diff::Options),
    /// Find the highest rate that a server keeps up within a bound of latency
    Knee(knee::Options),
    /// Draw a comparison from its JSON, as an SVG for light and dark backgrounds
    Picture(Picture),
}

/// What `picture` takes.
#[derive(clap::Args)]
struct Picture {
    /// What `cargo bench`, `compare` or a run in steps has written as JSON
    file: PathBuf,
    /// Where the picture goes
    #[arg(short, long, value_name = "FILE.svg")]
    output: PathBuf,
}

fn main() -> ExitCode {
    tether::tie();
    if let Some(code) = process::role() {
        return code;
    }
    let line = match CommandLine::try_parse() {
        Ok(line) => line,
        Err(error) => return refuse(&error),
    };
    let result = match &line.command {
        Some(Command::Compare(options)) => return compare::main(options, benches::ipc::chapters),
        Some(Command::Diff(options)) => return diff::main(options),
        Some(Command::Knee(options)) => return knee::main(options),
        Some(Command::Picture(options)) => picture(options),
        None => load(&line.flags),
    };
    result.unwrap_or_else(|failure| failure.report("loadgen"))
}

/// What is wrong with the command line, in one line; or the help that was asked for.
fn refuse(error: &clap::Error) -> ExitCode {
    if matches!(error.kind(), ClapError::DisplayHelp | ClapError::DisplayVersion) {
        // A reader that has gone away is no failure.
        let _ = error.print();
        return ExitCode::SUCCESS;
    }
    let text = error.to_string();
    let what = text.split("\n\n").next().unwrap_or_default();
    let words: Vec<&str> = what.trim_start_matches("error: ").split_whitespace().collect();
    eprintln!("{}: {}", CommandLine::command().get_name(), words.join(" "));
    ExitCode::from(2)
}

fn unusable(why: impl ToString) -> Failure {
    Failure::Unusable(why.to_string())
}

/// Draws what is kept in a file.
fn picture(options: &Picture) -> Result<ExitCode, Failure> {
    let comparison = diff::read(&options.file)?;
    if report::levels(&comparison) < 2 {
        let file = options.file.display();
        return Err(unusable(format!(
            "{file}: nothing to draw against: it has no case under several numbers of connections"
        )));
    }
    report::write(&options.output, &report::overview_svg(&comparison))?;
    println!("written to {}", options.output.display());
    Ok(ExitCode::SUCCESS)
}

/// Runs the load that the flags ask for.
fn load(flags: &Flags) -> Result<ExitCode, Failure> {
    let workload = flags.workload().map_err(unusable)?;
    workload.validate().map_err(unusable)?;
    process::raise_descriptor_limit();
    let folder = tempfile::Builder::new().prefix("loadgen-").tempdir().map_err(unusable)?;
    let stop = process::stop_when_interrupted(folder.path().to_owned())?;
    let placement = Placement::choose();
    let root = flags.root.clone();
    let root = match &flags.serve {
        Some(_) => Some(root.unwrap_or_else(|| folder.path().to_owned())),
        None => root,
    };
    if let Some(root) = &root {
        content::make_files(root, &workload)
            .map_err(|error| unusable(format!("no files can be made in {root:?}: {error}")))?;
    }
    let (server, target) = match (&flags.serve, &flags.addr) {
        (Some(name), _) => {
            let variant = compare::variant(name)?;
            let root = root.as_deref().unwrap_or(Path::new("."));
            let clients = workload.most_connections();
            let server = process::serve(variant, root, clients, placement)?;
            let target = Target::new(server.addr(), variant.label);
            (Some(server), target)
        }
        (None, Some(addr)) => {
            let wrong = |why: String| unusable(format!("--addr {addr}: {why}"));
            (None, Target::resolve(addr).map_err(wrong)?)
        }
        (None, None) => {
            return Err(unusable("no server to load: give --addr HOST:PORT or --serve MODEL"));
        }
    };
    let target = Target { name: flags.name.clone().unwrap_or(target.name), ..target };
    if flags.upload {
        upload(&target, &workload)?;
    }
    let watched = match (&server, flags.pid) {
        (Some(server), _) => Some(server.pid()),
        (None, Some(pid)) => {
            let none = || unusable(format!("there is no process {pid}"));
            Some(Pid::from_raw(pid).ok_or_else(none)?)
        }
        (None, None) => None,
    };
    let sampler = watched
        .map(|pid| Sampler::start(pid, placement))
        .transpose()
        .map_err(|error| unusable(format!("the server cannot be watched: {error}")))?;
    let ceiling = flags.ceiling(&workload, placement).map_err(failed)?;
    let words = match &server {
        Some(_) => placement.to_string(),
        None => placement.with_external_server(flags.pid),
    };
    let measured = measure(&workload, &target, (placement, words), &stop, sampler)?;
    conclude(flags, &workload, measured, ceiling)
}

fn measure(
    workload: &Workload,
    target: &Target,
    (placement, words): (Placement, String),
    stop: &AtomicBool,
    sampler: Option<Sampler>,
) -> Result<Vec<Recording>, Failure> {
    let mut live = Live::new(sampler, workload);
    let environment = sampled_run::environment(words);
    let run = Run { workload, target, stop, watcher: Some(&mut live), environment };
    let result = placement.on_client_core(|| engine::run_phases(run));
    let (sampler, origin) = live.end();
    let mut recordings = result.map_err(failed)?;
    if let Some(sampler) = sampler {
        let mut series = sampler.finish(origin.unwrap_or_else(Instant::now));
        for recording in &mut recordings {
            recording.empty = Some(series.first);
            recording.samples = match workload.profile {
                Profile::Steady => std::mem::take(&mut series.samples),
                _ => series.between(recording.since, recording.since + recording.generator.seconds),
            };
            recording.notes.extend(report::why_no_cpu_split(recording));
        }
    }
    Ok(recordings)
}

fn failed(error: RunError) -> Failure {
    Failure::Unusable(error.to_string())
}

/// Judges, prints, writes.
fn conclude(
    flags: &Flags,
    workload: &Workload,
    mut recordings: Vec<Recording>,
    ceiling: Option<f64>,
) -> Result<ExitCode, Failure> {
    recordings.iter_mut().for_each(|run| verdict::judge(run, &flags.bounds(), ceiling));
    let all = Comparison::alone(workload, &recordings, ceiling);
    let alone = match (&workload.profile, &recordings[..]) {
        (Profile::Steady, [recording]) => Some(recording),
        _ => None,
    };
    let layout = Layout::of_stdout(flags.wide);
    println!("{}", layout.text(&all.environment.placement));
    match alone {
        Some(recording) => println!("{}", report::terminal::recording(recording, layout)),
        None => println!("{}", report::terminal::course(&all, layout)),
    }
    if let Sizes::Distribution(_) = workload.sizes {
        println!("{}", layout.text(&report::terminal::files(workload)));
    }
    if let Some(ceiling) = ceiling {
        let line =
            format!("The generator itself could do {ceiling:.0} requests per second of this kind.");
        println!("{}", layout.text(&line));
    }
    let sum = |of: fn(&Recording) -> u64| recordings.iter().map(of).sum::<u64>();
    let refused = sum(|r| r.errors.get(ErrorKind::Refused.as_str()).copied().unwrap_or(0));
    if sum(|recording| recording.totals.done) == 0 && refused > 0 {
        println!("The server refuses everything: does it have the files? See --root and --upload.");
    }
    if let Some(path) = &flags.json {
        let json = match alone {
            Some(recording) => report::json::recording(recording)?,
            None => report::json::comparison(&all)?,
        };
        report::write(path, &json)?;
    }
    if let Some(path) = &flags.csv {
        report::write(path, &report::csv::intervals_of(&all))?;
    }
    if let Some(path) = &flags.summary_csv {
        report::write(path, &report::csv::runs_of(&all))?;
    }
    if let Some(path) = &flags.hgrm {
        for (recording, case) in recordings.iter().zip(&all.cases) {
            let path = match alone {
                Some(_) => path.clone(),
                None => step_file(path, &case.name),
            };
            report::write(
                &path,
                &report::hgrm::log(&recording.response_time, recording.unanswered()),
            )?;
        }
    }
    if let Some(path) = &flags.html {
        report::write(path, &report::page(&all, &[], &[]))?;
    }
    let ended = recordings.iter().any(verdict::server_ended);
    Ok(if ended { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

/// `run.hgrm` of a step: `run-step-16.hgrm`.
fn step_file(path: &Path, step: &str) -> PathBuf {
    let stem = path.file_stem().unwrap_or_default().to_string_lossy();
    let extension = path.extension().map_or(String::new(), |e| format!(".{}", e.to_string_lossy()));
    path.with_file_name(format!("{stem}-{step}{extension}"))
}

/// Puts the files of a workload onto a server that speaks the file protocol.
fn upload(target: &Target, workload: &Workload) -> Result<(), Failure> {
    let folder = tempfile::tempdir()?;
    content::make_files(folder.path(), workload)?;
    let to = &target.authority;
    let refused = |error: &dyn std::fmt::Display| unusable(format!("--upload to {to}: {error}"));
    let mut client = Client::connect(&target.addrs[..]).map_err(|error| refused(&error))?;
    for name in (0..workload.names).map(content::file_name) {
        let bytes = fs::read(folder.path().join(&name))?;
        client.put(&name, &bytes).map_err(|error| refused(&error))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn command_line_is_consistent() {
        CommandLine::command().debug_assert();
    }
}
