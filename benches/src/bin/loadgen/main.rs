//! The load generator.
//!
//! ```text
//! cargo loadgen --addr HOST:PORT --root DIR      against a server that is running and serves DIR
//! cargo loadgen --serve thread_server            against one of ours, started for it and watched
//! cargo loadgen compare                          all models, in interleaved rounds
//! cargo loadgen compare OLD.json NEW.json        which differences between two files are shown
//! cargo loadgen knee --serve thread_server       the highest rate within a bound
//! cargo loadgen picture FILE.json -o FILE.svg    the picture of a comparison, for a README
//! cargo loadgen scenario                         a scenario file with every key
//! ```

mod flags;
mod live;
mod scenario;

use benches::layout::Layout;
use benches::load::compare;
use benches::load::engine::{self, Run, RunError, Target};
use benches::load::failure::{EXIT_CODES, Failure, INVALID};
use benches::load::process::Interrupt;
use benches::load::recording::{ErrorKind, Recording};
use benches::load::report::{self, Comparison};
use benches::load::sampler::Sampler;
use benches::load::workload::{Profile, Sizes, Workload};
use benches::load::{content, diff, knee, process, sampled_run, verdict};
use benches::tether::{self, Scratch};
use benches::{Placement, Server, errln, out, outln, text};
use clap::error::{ContextKind, ContextValue, ErrorKind as ClapError};
use clap::{CommandFactory, Parser, Subcommand};
use file_service::client::Client;
use flags::Flags;
use live::Live;
use rustix::process::Pid;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Instant;

/// Put load on a file server and measure it
#[derive(Parser)]
#[command(name = "loadgen", args_conflicts_with_subcommands = true, allow_negative_numbers = true, version, after_help = EXIT_CODES)]
struct CommandLine {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    flags: Flags,
}

#[derive(Subcommand)]
enum Command {
    #[command(after_help = EXIT_CODES)]
    /// Compare several servers under the same cases, in interleaved rounds
    Compare(compare::Options),
    /// Show which differences between two comparisons the rounds show
    Diff(diff::Options),
    #[command(after_help = EXIT_CODES)]
    /// Find the highest rate that a server keeps up within a bound of latency
    Knee(knee::Options),
    /// Draw a comparison from its JSON, as an SVG for light and dark backgrounds
    Picture(Picture),
    /// Print a scenario file with every key at its default and what it means
    Scenario,
}

/// What `picture` takes.
#[derive(clap::Args)]
struct Picture {
    /// The JSON of `cargo bench`, `compare` or a run in steps
    #[arg(value_name = "FILE.json")]
    file: PathBuf,
    /// Write the picture to this file
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
    let code = match &line.command {
        Some(Command::Compare(options)) => compare::main(options, benches::ipc::chapters),
        Some(Command::Diff(options)) => diff::main(options),
        Some(Command::Knee(options)) => knee::main(options),
        Some(Command::Picture(options)) => reported(picture(options)),
        Some(Command::Scenario) => {
            out::print(format_args!("{}", scenario::EXAMPLE));
            ExitCode::SUCCESS
        }
        None => reported(load(&line.flags)),
    };
    out::finish("loadgen", code)
}

fn reported(result: Result<ExitCode, Failure>) -> ExitCode {
    result.unwrap_or_else(|failure| failure.report("loadgen"))
}

/// What Rust's parsers of numbers print, and what is printed instead.
const NUMBERS: [(&str, &str); 7] = [
    ("is not in 1..=4294967295", "is not 1 or more"),
    ("invalid digit found in string", "a whole number is needed"),
    ("cannot parse integer from empty string", "a whole number is needed"),
    ("number too large to fit in target type", "the number is too large"),
    ("number too small to fit in target type", "the number is too small"),
    ("invalid float literal", "a number is needed"),
    ("cannot parse float from empty string", "a number is needed"),
];

/// Prints what is wrong with the command line, in one line; or the help that was asked for.
fn refuse(error: &clap::Error) -> ExitCode {
    if matches!(error.kind(), ClapError::DisplayHelp | ClapError::DisplayVersion) {
        out::keep_error(error.print());
        return out::finish("loadgen", ExitCode::SUCCESS);
    }
    let text = error.to_string();
    let what = text.split("\n\n").next().unwrap_or_default();
    let words: Vec<&str> = what.trim_start_matches("error: ").split_whitespace().collect();
    let mut line = words.join(" ");
    for (jargon, plain) in NUMBERS {
        line = line.replace(jargon, plain);
    }
    for kind in
        [ContextKind::SuggestedArg, ContextKind::SuggestedSubcommand, ContextKind::SuggestedValue]
    {
        let near = match error.get(kind) {
            Some(ContextValue::String(near)) => Some(near),
            Some(ContextValue::Strings(all)) => all.first(),
            _ => None,
        };
        if let Some(near) = near {
            line += &format!("; did you mean {near}?");
        }
    }
    errln!("{}: {line}", CommandLine::command().get_name());
    ExitCode::from(2)
}

fn unusable(why: impl ToString) -> Failure {
    Failure::Unusable(why.to_string())
}

/// Draws what is kept in a file.
fn picture(options: &Picture) -> Result<ExitCode, Failure> {
    let comparison = diff::read(&options.file)?;
    let drawn = match report::levels(&comparison) {
        0 | 1 => report::pair_svg(&comparison),
        _ => Some(report::overview_svg(&comparison)),
    };
    let nothing = || {
        let file = options.file.display();
        unusable(format!(
            "{file}: cannot draw: expected a case under several numbers of connections, or two servers in one case"
        ))
    };
    let drawn = drawn.ok_or_else(nothing)?;
    out::check_all(&[("--output", Some(&options.output))]).map_err(|e| Failure::unusable(&e))?;
    report::write(&options.output, &drawn)?;
    if !out::is_stdout(&options.output) {
        outln!("Written to {}", options.output.display());
    }
    Ok(ExitCode::SUCCESS)
}

/// Runs the load that the flags ask for.
fn load(flags: &Flags) -> Result<ExitCode, Failure> {
    let workload = flags.workload().map_err(unusable)?;
    workload.validate().map_err(unusable)?;
    flags.check_outputs().map_err(|error| Failure::unusable(&error))?;
    process::raise_descriptor_limit();
    let interrupt = process::stop_when_interrupted()?;
    let folder = Scratch::new("loadgen-").map_err(|error| Failure::unusable(&error))?;
    let placement = Placement::choose();
    let root = flags.root.clone();
    let root = match &flags.serve {
        Some(_) => Some(root.unwrap_or_else(|| folder.path().to_owned())),
        None => root,
    };
    if let Some(root) = &root {
        content::make_files(root, &workload).map_err(|error| {
            unusable(format!("cannot make files in {}: {}", root.display(), text::error(&error)))
        })?;
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
            return Err(unusable("no server to load: pass --addr HOST:PORT or --serve MODEL"));
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
    let sampler =
        watched.map(|pid| Sampler::start(pid, placement)).transpose().map_err(|error| {
            let pid = watched.map_or(0, Pid::as_raw_pid);
            unusable(match error.kind() {
                io::ErrorKind::NotFound => format!("--pid {pid}: there is no such process"),
                _ => {
                    format!("the server (process {pid}) cannot be watched: {}", text::error(&error))
                }
            })
        })?;
    let ceiling = flags.ceiling(&workload, placement).map_err(failed)?;
    let words = match &server {
        Some(_) => placement.to_string(),
        None => placement.with_external_server(flags.pid),
    };
    let measured = measure(&workload, &target, (placement, words), &interrupt, sampler);
    let ended = server.as_ref().and_then(Server::why_ended);
    let mut measured = measured.map_err(|failure| match (&failure, &ended) {
        (Failure::Broken(why), Some(ended)) => Failure::Broken(format!("{why}: {ended}")),
        _ => failure,
    })?;
    if let (Some(last), Some(ended)) = (measured.recordings.last_mut(), ended)
        && verdict::server_ended(last)
    {
        last.notes.push(format!("the server: {ended}"));
    }
    // Its end is not a part of the report.
    drop(server);
    let code = conclude(flags, &workload, measured, ceiling)?;
    Ok(interrupt.exit_code().unwrap_or(code))
}

/// What was measured.
struct Measured {
    recordings: Vec<Recording>,
    /// Why it is less than was asked for, if the user has interrupted it.
    interrupted: Option<String>,
}

fn measure(
    workload: &Workload,
    target: &Target,
    (placement, words): (Placement, String),
    interrupt: &Interrupt,
    sampler: Option<Sampler>,
) -> Result<Measured, Failure> {
    let mut live = Live::new(sampler, workload);
    let environment = sampled_run::environment(words);
    let stop = interrupt.flag();
    let run = Run { workload, target, stop, watcher: Some(&mut live), environment };
    let result = placement.on_client_core(|| engine::run_phases(run));
    let cut = interrupt.is_set();
    let (sampler, origin) = live.end();
    let interrupted = cut.then(|| match origin {
        Some(origin) => format!(
            "interrupted after {} of {}: the requests that were under way then are not counted",
            text::duration(origin.elapsed()),
            text::duration(workload.measured())
        ),
        None => "interrupted in the warm-up: nothing was measured".to_owned(),
    });
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
    Ok(Measured { recordings, interrupted })
}

fn failed(error: RunError) -> Failure {
    match error {
        RunError::Unreachable(why) => Failure::Broken(why),
        RunError::Unusable(why) => Failure::Unusable(why),
    }
}

/// Judges, writes the files, and then prints.
fn conclude(
    flags: &Flags,
    workload: &Workload,
    measured: Measured,
    ceiling: Option<f64>,
) -> Result<ExitCode, Failure> {
    let Measured { mut recordings, interrupted } = measured;
    recordings.iter_mut().for_each(|run| verdict::judge(run, &flags.bounds(), ceiling));
    if let (Some(why), Some(last)) = (&interrupted, recordings.last_mut()) {
        if last.totals.done == 0 {
            // There was no time to answer.
            last.invalid.clear();
        }
        last.invalid.insert(0, why.clone());
    }
    let all = Comparison::alone(workload, &recordings, ceiling);
    let alone = match (&workload.profile, &recordings[..]) {
        (Profile::Steady, [recording]) => Some(recording),
        _ => None,
    };
    let written = write_reports(flags, &all, &recordings, alone);

    let layout = Layout::of_stdout(flags.wide);
    outln!("{}", layout.text(&all.environment.placement));
    match alone {
        Some(recording) => outln!("{}", report::terminal::recording(recording, layout)),
        None => outln!("{}", report::terminal::course(&all, layout)),
    }
    if let Sizes::Distribution(_) = workload.sizes {
        outln!("{}", layout.text(&report::terminal::files(workload)));
    }
    if let Some(ceiling) = ceiling {
        let line =
            format!("The generator itself could do {ceiling:.0} requests per second of this kind.");
        outln!("{}", layout.text(&line));
    }
    let sum = |of: fn(&Recording) -> u64| recordings.iter().map(of).sum::<u64>();
    let refused = sum(|r| r.errors.get(ErrorKind::Refused.as_str()).copied().unwrap_or(0));
    let done = sum(|recording| recording.totals.done);
    if done == 0 && refused > 0 {
        outln!("The server refuses everything: does it have the files? See --root and --upload.");
    }
    written?;
    let failed = recordings.iter().any(verdict::server_ended) || done == 0;
    let invalid = recordings.iter().any(|recording| !recording.invalid.is_empty());
    Ok(match (failed, invalid) {
        (true, _) => ExitCode::FAILURE,
        (false, true) => ExitCode::from(INVALID),
        (false, false) => ExitCode::SUCCESS,
    })
}

/// Writes every file that the flags ask for, even if one of them fails.
fn write_reports(
    flags: &Flags,
    all: &Comparison,
    recordings: &[Recording],
    alone: Option<&Recording>,
) -> Result<(), Failure> {
    let mut failed = Vec::new();
    let mut write = |path: &Path, text: io::Result<String>| {
        let written = text.and_then(|text| report::write(path, &text));
        failed.extend(written.err().map(|error| error.to_string()));
    };
    if let Some(path) = &flags.json {
        let json = match alone {
            Some(recording) => report::json::recording(recording),
            None => report::json::comparison(all),
        };
        write(path, json);
    }
    if let Some(path) = &flags.csv {
        write(path, Ok(report::csv::intervals_of(all)));
    }
    if let Some(path) = &flags.summary_csv {
        write(path, Ok(report::csv::runs_of(all)));
    }
    if let Some(path) = &flags.hgrm {
        for (recording, case) in recordings.iter().zip(&all.cases) {
            let path = match alone {
                _ if out::is_stdout(path) => path.clone(),
                Some(_) => path.clone(),
                None => step_file(path, &case.name),
            };
            let log = report::hgrm::log(&recording.response_time, recording.unanswered());
            write(&path, Ok(log));
        }
    }
    if let Some(path) = &flags.html {
        write(path, Ok(report::page(all, &[], &[])));
    }
    match failed.is_empty() {
        true => Ok(()),
        false => Err(Failure::Broken(failed.join("; "))),
    }
}

/// `run.hgrm` of a step: `run-step-16.hgrm`.
fn step_file(path: &Path, step: &str) -> PathBuf {
    let stem = path.file_stem().unwrap_or_default().to_string_lossy();
    let extension = path.extension().map_or(String::new(), |e| format!(".{}", e.to_string_lossy()));
    path.with_file_name(format!("{stem}-{step}{extension}"))
}

/// Puts the files of a workload onto a server that speaks the file protocol.
fn upload(target: &Target, workload: &Workload) -> Result<(), Failure> {
    let folder = Scratch::new("upload-")?;
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
