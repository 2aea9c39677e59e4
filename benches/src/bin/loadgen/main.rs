//! The load generator.
//!
//! ```text
//! cargo loadgen --addr HOST:PORT --root DIR      against a server that is running and serves DIR
//! cargo loadgen --serve thread_server            against one of ours, started for it and watched
//! cargo loadgen compare                          all models, beside each other
//! cargo loadgen knee --serve thread_server       the highest rate within a bound
//! ```

mod flags;
mod live;

use benches::load::compare::{self, Failure};
use benches::load::engine::{self, Run, RunError, Target};
use benches::load::observe::{self, Observer};
use benches::load::recording::{ErrorKind, Recording};
use benches::load::report::{self, Case, Comparison, ServerResult};
use benches::load::workload::Workload;
use benches::load::{content, diff, knee, verdict};
use benches::{CONTENDERS, Placement, tether};
use clap::error::ErrorKind as ClapError;
use clap::{CommandFactory, Parser, Subcommand};
use file_service::client::Client;
use flags::Flags;
use live::Live;
use rustix::process::Pid;
use std::fs;
use std::net::{SocketAddr, ToSocketAddrs};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::atomic::AtomicBool;
use std::time::Instant;

/// Puts load on a file server and tells how it bears it
#[derive(Parser)]
#[command(name = "loadgen", args_conflicts_with_subcommands = true)]
struct CommandLine {
    #[command(subcommand)]
    other: Option<Other>,
    #[command(flatten)]
    flags: Flags,
}

#[derive(Subcommand)]
enum Other {
    /// Several servers under the same cases, in interleaved rounds
    Compare(compare::Options),
    /// Which differences between two comparisons are shown, which are not
    Diff(diff::Options),
    /// The highest rate that a server bears within a bound of latency
    Knee(knee::Options),
}

fn main() -> ExitCode {
    tether::tie();
    if let Some(code) = compare::role() {
        return code;
    }
    let line = match CommandLine::try_parse() {
        Ok(line) => line,
        Err(error) => return refuse(&error),
    };
    let result = match &line.other {
        Some(Other::Compare(options)) => return compare::main(options),
        Some(Other::Diff(options)) => return diff::main(options),
        Some(Other::Knee(options)) => return knee::main(options),
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

/// Runs the load that the flags ask for.
fn load(flags: &Flags) -> Result<ExitCode, Failure> {
    let workload = flags.workload().map_err(unusable)?;
    engine::check(&workload).map_err(unusable)?;
    compare::raise_descriptor_limit();
    let folder = tempfile::Builder::new().prefix("loadgen-").tempdir().map_err(unusable)?;
    let stop = compare::stop_when_interrupted(folder.path().to_owned())?;
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
            let contender = CONTENDERS.iter().find(|c| c.is_called(name)).ok_or_else(|| {
                let labels: Vec<&str> = CONTENDERS.iter().map(|c| c.label).collect();
                unusable(format!("no model {name:?}; there are {}", labels.join(", ")))
            })?;
            let root = root.as_deref().unwrap_or(Path::new("."));
            let server = compare::start_ours(contender, root, workload.connections, placement)?;
            let target = Target { addr: server.addr(), name: contender.label.into() };
            (Some(server), target)
        }
        (None, Some(addr)) => {
            let addr = resolve(addr)?;
            (None, Target { addr, name: addr.to_string() })
        }
        (None, None) => {
            return Err(unusable("whom shall it load? Give --addr HOST:PORT or --serve MODEL"));
        }
    };
    let target = Target { name: flags.name.clone().unwrap_or(target.name), ..target };
    if flags.upload {
        upload(target.addr, &workload)?;
    }
    let watched = match (&server, flags.pid) {
        (Some(server), _) => Some(server.pid()),
        (None, Some(pid)) => {
            let none = || unusable(format!("there is no process {pid}"));
            Some(Pid::from_raw(pid).ok_or_else(none)?)
        }
        (None, None) => None,
    };
    let observer = watched
        .map(|pid| observe::observe(pid, placement))
        .transpose()
        .map_err(|error| unusable(format!("the server cannot be watched: {error}")))?;
    let ceiling = flags.ceiling(&workload, placement).map_err(failed)?;
    let recording = measure(&workload, &target, placement, &stop, observer)?;
    conclude(flags, recording, ceiling)
}

fn measure(
    workload: &Workload,
    target: &Target,
    placement: Placement,
    stop: &AtomicBool,
    observer: Option<Observer>,
) -> Result<Recording, Failure> {
    let mut live = Live::new(observer, workload.duration);
    let environment = compare::environment(placement);
    let run = Run { workload, target, stop, watcher: Some(&mut live), environment };
    let result = placement.at_client(|| engine::run(run));
    let (observer, origin) = live.end();
    let mut recording = result.map_err(failed)?;
    if let Some(observer) = observer {
        recording.samples = observer.finish(origin.unwrap_or_else(Instant::now)).samples;
    }
    Ok(recording)
}

fn failed(error: RunError) -> Failure {
    Failure::Unusable(error.to_string())
}

/// Judges, prints, writes.
fn conclude(
    flags: &Flags,
    mut recording: Recording,
    ceiling: Option<f64>,
) -> Result<ExitCode, Failure> {
    verdict::judge(&mut recording, &flags.bounds(), ceiling);
    println!("{}", report::table::recording(&recording));
    if let Some(ceiling) = ceiling {
        println!("The generator itself could do {ceiling:.0} requests per second of this kind.");
    }
    let refused = recording.errors.get(ErrorKind::Refused.as_str()).copied().unwrap_or(0);
    if recording.totals.done == 0 && refused > 0 {
        println!("The server refuses everything: does it have the files? See --root and --upload.");
    }
    let write = |path: &Option<PathBuf>, text: &dyn Fn() -> std::io::Result<String>| match path {
        None => Ok(()),
        Some(path) => text()
            .and_then(|text| fs::write(path, text))
            .map_err(|error| Failure::Broken(format!("{}: {error}", path.display()))),
    };
    write(&flags.json, &|| report::json::recording(&recording))?;
    write(&flags.csv, &|| Ok(report::csv::intervals(&recording)))?;
    write(&flags.hgrm, &|| Ok(report::hgrm::log(&recording.response_time)))?;
    write(&flags.html, &|| Ok(report::html::page(&alone(&recording), &[])))?;
    Ok(if verdict::server_ended(&recording) { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

/// A comparison of one.
fn alone(recording: &Recording) -> Comparison {
    let result = ServerResult {
        server: recording.server.clone(),
        rounds: vec![Some(recording.clone())],
        failure: None,
        note: None,
    };
    let case = Case {
        name: "load".into(),
        title: format!("{} connections", recording.workload.connections),
        workload: recording.workload.clone(),
        results: vec![result],
    };
    Comparison {
        schema: report::SCHEMA,
        environment: recording.environment.clone(),
        baseline: None,
        cases: vec![case],
    }
}

fn resolve(addr: &str) -> Result<SocketAddr, Failure> {
    let unknown = |why: String| unusable(format!("--addr {addr}: {why}"));
    let mut found = addr.to_socket_addrs().map_err(|error| unknown(error.to_string()))?;
    found.next().ok_or_else(|| unknown("no such address".into()))
}

/// Puts the files of a workload onto a server that speaks the file protocol.
fn upload(addr: SocketAddr, workload: &Workload) -> Result<(), Failure> {
    let folder = tempfile::tempdir()?;
    content::make_files(folder.path(), workload)?;
    let refused = |error: &dyn std::fmt::Display| unusable(format!("--upload to {addr}: {error}"));
    let mut client = Client::connect(addr).map_err(|error| refused(&error))?;
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
    fn the_command_line_is_sound() {
        CommandLine::command().debug_assert();
    }
}
