//! The command line: what is run, for how long, and what is written.

use super::cases::{self, Case, Mechanism, SIZES, USUAL};
use super::report::Report;
use super::runner::{self, Effort, Setup};
use super::{chapter, endpoints, table};
use crate::filter;
use crate::layout::Layout;
use crate::load::process;
use crate::load::report as reports;
use crate::{Placement, errln, out, outln, text};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};

/// How much is run: `--quick`, `--short`, `--full` or `--smoke`.
struct Preset {
    name: &'static str,
    sizes: &'static [usize],
    effort: Effort,
}

const fn effort(rounds: usize, millis: u64) -> Effort {
    Effort { rounds, time: Duration::from_millis(millis), count: None }
}

const QUICK: Preset =
    Preset { name: "the quick subset, about 10 s", sizes: &[USUAL], effort: effort(5, 3) };

const SHORT: Preset = Preset {
    name: "the short subset, about half a minute (all of it: --full, or cargo bench -p benches --bench ipc)",
    sizes: &[USUAL, 16 << 10],
    effort: effort(15, 3),
};

const FULL: Preset =
    Preset { name: "everything, a few minutes", sizes: &SIZES, effort: effort(20, 10) };

/// A few messages of each kind, every byte compared: whether it works, not how long it takes.
const SMOKE: Preset = Preset {
    name: "a few messages of each kind",
    sizes: &SIZES,
    effort: Effort { rounds: 1, time: Duration::ZERO, count: Some(40) },
};

/// How it was started.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Caller {
    /// By `cargo bench`, which passes its words to several programs.
    Bench,
    /// By its own name.
    Program,
}

const HELP: &str = "\
ipc: round trips and one-way messages of every mechanism between two processes, next to the bare system calls

  --quick            one size, 5 short rounds: about 10 s
  --short            two sizes, 15 short rounds: about half a minute; what a bare `cargo bench` does
  --full             all sizes, 20 rounds: a few minutes; what `cargo bench -p benches --bench ipc` does
  --smoke            a few messages of each kind, all bytes compared: whether it works
  -o, --output DIR   where ipc.json and the page go [default: target/comparison]
  --wide             all columns of the tables, however wide they become
  --list             the cases, and nothing else
  WORD ...           mechanisms (pipe, ring, posix-queue, ...) and sizes in bytes; some alone write no file without --output

Exit codes: 0 all were measured, 1 one failed or a file could not be written, 2 a wrong word, 130 interrupted (143: SIGTERM)";

/// All of it; the first line of `main`.
pub fn main(caller: Caller) -> ExitCode {
    ipc::process::init(&[(endpoints::ENTRY, endpoints::main)]);
    let args: Vec<String> = std::env::args().skip(1).collect();
    let given = |wanted: &str| args.iter().any(|arg| arg == wanted);
    if given("--help") || given("-h") {
        outln!("{HELP}");
        return ExitCode::SUCCESS;
    }
    let preset = match () {
        () if given("--smoke") => SMOKE,
        () if given("--quick") => QUICK,
        () if given("--full") => FULL,
        () if given("--short") => SHORT,
        () if caller == Caller::Program || asked_alone() => FULL,
        () => SHORT,
    };
    let (out, words) = out_and_words(&args);
    let cases = match chosen(cases::all(preset.sizes), &words) {
        Ok(cases) => cases,
        // Words may name groups and models of the other benches.
        Err(_) if caller == Caller::Bench => return ExitCode::SUCCESS,
        Err(unknown) => {
            errln!("ipc: {unknown:?} is no mechanism and no size; see --help");
            return ExitCode::from(2);
        }
    };
    if given("--list") {
        let suffix = if caller == Caller::Bench { ": benchmark" } else { "" };
        let included = cases.iter().filter(|case| case.exclusion().is_none());
        included.for_each(|case| outln!("ipc/{case}{suffix}"));
        return ExitCode::SUCCESS;
    }
    let other = ["--test", "--profile-time", "--load-baseline"];
    let measures = given("--bench") && !other.iter().any(|option| given(option));
    if caller == Caller::Bench && !measures {
        return ExitCode::SUCCESS;
    }
    let directory = match out {
        Some(directory) => Some(directory),
        None => words.is_empty().then(reports::target_directory),
    };
    let code = run(&preset, &cases, directory.as_deref()).unwrap_or_else(|error| {
        errln!("ipc: {}", text::error(&error));
        ExitCode::FAILURE
    });
    out::finish("ipc", code)
}

/// Whether cargo was told to run this bench by name: `--bench ipc` stands on its command line. Asked for alone it runs
/// everything; as one of several it is to be short.
fn asked_alone() -> bool {
    let parent = rustix::process::getppid().map(rustix::process::Pid::as_raw_pid);
    let line = parent.and_then(|pid| fs::read(format!("/proc/{pid}/cmdline")).ok());
    line.is_some_and(|line| names_this_bench(&line))
}

/// Whether a command line, with NUL bytes between its words, asks for the bench `ipc` and no other.
fn names_this_bench(line: &[u8]) -> bool {
    let words: Vec<&[u8]> = line.split(|byte| *byte == 0).collect();
    let own = words.split(|word| *word == b"--").next().unwrap_or_default();
    let mut benches = Vec::new();
    for (at, word) in own.iter().enumerate() {
        match word.strip_prefix(b"--bench=") {
            Some(name) => benches.push(name),
            None if *word == b"--bench" => benches.extend(own.get(at + 1).copied()),
            None => {}
        }
    }
    benches == [b"ipc"]
}

/// The directory that was named, and the words that filter.
fn out_and_words(args: &[String]) -> (Option<PathBuf>, Vec<&str>) {
    let at = args.iter().position(|arg| ["-o", "--output", "--out"].contains(&arg.as_str()));
    let out = at.and_then(|at| args.get(at + 1));
    let words = filter::words(args);
    let words = words.into_iter().filter(|word| out.is_none_or(|out| out != word)).collect();
    (out.map(PathBuf::from), words)
}

/// The cases that words leave; the error is the word that means nothing.
fn chosen(cases: Vec<Case>, words: &[&str]) -> Result<Vec<Case>, String> {
    let mut mechanisms = Vec::new();
    let mut sizes = Vec::new();
    for word in words {
        let mechanism = Mechanism::ALL.into_iter().find(|mechanism| mechanism.name() == *word);
        match (mechanism, word.parse::<usize>()) {
            (Some(mechanism), _) => mechanisms.push(mechanism),
            (None, Ok(size)) if SIZES.contains(&size) => sizes.push(size),
            _ => return Err((*word).to_owned()),
        }
    }
    let wanted = |case: &Case| {
        (mechanisms.is_empty() || mechanisms.contains(&case.mechanism))
            && (sizes.is_empty()
                || !case.mechanism.carries_messages()
                || sizes.contains(&case.size))
    };
    Ok(cases.into_iter().filter(wanted).collect())
}

fn run(preset: &Preset, cases: &[Case], directory: Option<&Path>) -> io::Result<ExitCode> {
    if let Some(directory) = directory {
        reports::check(&directory.join("ipc.json"))?;
        reports::check(&directory.join("index.html"))?;
    }
    let begun = Instant::now();
    let interrupt = process::stop_when_interrupted()?;
    let placement = Placement::choose();
    let words = match placement {
        Placement::Pinned { server, client, .. } => format!(
            "two processes, both on core {client}, or the near one on core {client} and the far one on core {server}"
        ),
        Placement::Unpinned => "two processes, not pinned".to_owned(),
    };
    let layout = Layout::of_stdout(std::env::args().any(|arg| arg == "--wide"));
    outln!("ipc, {}: {} rounds", preset.name, preset.effort.rounds);
    outln!("{}", layout.text(&format!("{}; {words}", text::machine())));
    let environment = crate::load::sampled_run::environment(words);
    let setup = Setup { cases, effort: preset.effort, placement, stop: interrupt.flag() };
    let mut report = runner::run(&setup, environment, &mut text::progress);
    text::progress("");
    if interrupt.is_set() {
        report.environment.placement +=
            &format!("; INTERRUPTED after {}", text::duration(begun.elapsed()));
    }
    let written = directory.map(|directory| write(&report, directory));
    if interrupt.is_set() {
        let after = text::duration(begun.elapsed());
        outln!("INTERRUPTED after {after}: only the rounds that had ended are reported");
    }
    outln!("\n{}", table::table(&report, layout));
    if let Some((to, page)) = written.transpose()? {
        outln!("Written to {} and {}", to.display(), page.display());
    }
    if let Some(code) = interrupt.exit_code() {
        return Ok(code);
    }
    Ok(if report.failures().is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Writes the figures and the page; returns where they are.
fn write(report: &Report, directory: &Path) -> io::Result<(PathBuf, PathBuf)> {
    let json = report.json().map_err(io::Error::other)?;
    let (to, page) = (directory.join("ipc.json"), directory.join("index.html"));
    reports::write(&to, &json)?;
    chapter::rewrite(directory)?;
    Ok((to, page))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(words: &str) -> Vec<u8> {
        words.replace(' ', "\0").into_bytes()
    }

    #[test]
    fn bench_named_alone_runs_everything() {
        for (words, alone) in [
            ("cargo bench -p benches --bench ipc", true),
            ("/usr/bin/cargo bench --bench=ipc", true),
            ("cargo bench -p benches --bench ipc -- pipe", true),
            ("cargo bench", false),
            ("cargo bench --bench ipc --bench basics", false),
            ("cargo bench -- --bench ipc", false),
            ("sh", false),
        ] {
            assert_eq!(names_this_bench(&line(words)), alone, "{words}");
        }
    }

    #[test]
    fn words_choose_mechanisms_and_sizes() {
        let all = || cases::all(&SIZES);
        assert_eq!(chosen(all(), &[]).unwrap().len(), all().len());
        let pipes = chosen(all(), &["pipe", "100"]).unwrap();
        assert!(pipes.iter().all(|case| case.mechanism == Mechanism::Pipe && case.size == 100));
        assert_eq!(pipes.len(), 4);
        let number = chosen(all(), &["event", "100"]).unwrap();
        assert!(!number.is_empty() && number.iter().all(|case| case.size == cases::NUMBER));
        assert_eq!(chosen(all(), &["thread"]), Err("thread".to_owned()));
        assert_eq!(chosen(all(), &["101"]), Err("101".to_owned()));
    }

    #[test]
    fn directory_is_not_a_filter_word() {
        let args = ["--bench", "--out", "there", "pipe"].map(str::to_owned);
        assert_eq!(out_and_words(&args), (Some(PathBuf::from("there")), vec!["pipe"]));
    }
}
