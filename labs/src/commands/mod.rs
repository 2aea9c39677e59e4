//! What the subcommands do.
//!
//! | module | commands |
//! |---|---|
//! | `open` | start, list, next, open, reset |
//! | `test` | test, watch, grade |
//! | `explain` | hint, explain |
//! | `bench` | bench |
//! | `author` | verify, new, export: they need the references |

mod author;
mod bench;
mod explain;
mod open;
mod test;

use crate::{Arguments, Command};
use labs::bench::Extent;
use labs::error::LabError;
use labs::grader::run_worker;
use labs::lab::Lab;
use labs::manifest::Language;
use labs::student::Folder;
use labs::sweep::sweep;
use nix::sys::signal::Signal;
use std::fmt;
use std::fs::{File, TryLockError};
use std::io::{self, IsTerminal, Write};
use std::path::Path;
use std::process::ExitCode;

/// Why a command did nothing.
#[derive(Debug)]
pub enum CliError {
    /// It was used wrongly: what to do.
    Usage(String),
    /// Something that is not the student's fault.
    GraderError(String),
    /// A signal asked it to end.
    Interrupted(Signal),
}

impl CliError {
    /// The exit code.
    pub fn code(&self) -> ExitCode {
        match self {
            CliError::Usage(_) => ExitCode::from(2),
            CliError::GraderError(_) => ExitCode::from(3),
            // As a shell has it.
            CliError::Interrupted(signal) => ExitCode::from(128 + *signal as u8),
        }
    }
}

impl fmt::Display for CliError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            CliError::Usage(text) | CliError::GraderError(text) => f.write_str(text),
            CliError::Interrupted(signal) => {
                write!(f, "ended by {signal}; nothing was left behind")
            }
        }
    }
}

impl From<LabError> for CliError {
    fn from(error: LabError) -> CliError {
        CliError::GraderError(error.to_string())
    }
}

impl From<io::Error> for CliError {
    fn from(error: io::Error) -> CliError {
        CliError::GraderError(error.to_string())
    }
}

/// What every command has to work with.
struct Cli {
    labs: Vec<Lab>,
    folder: Folder,
    language: Language,
}

pub fn run(arguments: Arguments) -> Result<ExitCode, CliError> {
    if let Command::Check { lab, check, seed, binaries, directory } = arguments.command {
        if !run_worker(&lab, &check, binaries, directory, seed)? {
            return Err(CliError::GraderError(format!("{lab} has no check {check}")));
        }
        return Ok(ExitCode::SUCCESS);
    }
    let cli = Cli {
        labs: Lab::all(&labs::labs_directory())?,
        folder: Folder::at(
            arguments.folder.unwrap_or_else(|| labs::workspace_root().join("my-labs")),
        ),
        language: arguments.lang.unwrap_or_else(language_of_the_environment),
    };
    match arguments.command {
        Command::Start => cli.start(),
        Command::List => cli.list(),
        Command::Next => cli.next(),
        Command::Open { lab } => cli.open(cli.find(&lab)?),
        Command::Test { lab, only, seed, repeat } => {
            cli.test(lab.as_deref(), only.as_deref(), seed, repeat)
        }
        Command::Watch { lab, poll } => cli.watch(lab.as_deref(), poll),
        Command::Hint { lab, gap, level } => cli.hint(cli.find(&lab)?, gap.as_deref(), level),
        Command::Explain { lab, check } => cli.explain(cli.find(&lab)?, &check),
        Command::Reset { lab } => cli.reset(cli.find(&lab)?),
        Command::Bench { lab, against, rounds, seconds, reference } => {
            let extent = Extent { rounds, seconds };
            cli.bench([cli.find(&against)?, cli.find(&lab)?], extent, reference)
        }
        Command::Grade { all, format } => cli.grade(all, format),
        Command::Progress => cli.list(),
        Command::Verify { labs, changed, repeat, matrix } => {
            cli.verify(&labs, changed.as_deref(), repeat, matrix.as_deref())
        }
        Command::New { number, name } => cli.new_lab(&number, &name),
        Command::Export { student, instructor, labs, bare, no_vendor } => {
            cli.export(student.as_deref(), instructor.as_deref(), &labs, (bare, !no_vendor))
        }
        Command::Check { .. } => Ok(ExitCode::SUCCESS),
    }
}

fn language_of_the_environment() -> Language {
    let value = ["LC_ALL", "LC_MESSAGES", "LANG"]
        .iter()
        .find_map(|name| std::env::var(name).ok().filter(|value| !value.is_empty()));
    if value.is_some_and(|value| value.starts_with("zh")) { Language::Zh } else { Language::En }
}

impl Cli {
    fn find(&self, number: &str) -> Result<&Lab, CliError> {
        let wanted = format!("{number:0>2}");
        let matches = |lab: &&Lab| lab.number() == wanted || lab.name() == number;
        self.labs.iter().find(matches).ok_or_else(|| {
            let numbers: Vec<String> = self.labs.iter().map(Lab::number).collect();
            CliError::Usage(format!("there is no lab {number}; there are {}", numbers.join(", ")))
        })
    }

    fn opened(&self, lab: &Lab) -> Result<(), CliError> {
        if self.folder.has(lab) {
            return Ok(());
        }
        let number = lab.number();
        Err(CliError::Usage(format!("lab {number} is not open yet: cargo lab open {number}")))
    }

    /// Makes sure that the labs that this one builds on are open, and that all have the layout of this version.
    fn prepare(&self, lab: &Lab) -> Result<(), CliError> {
        for name in &lab.manifest.builds_on {
            let earlier = self.find(name)?;
            if !self.folder.has(earlier) {
                let (number, first) = (lab.number(), earlier.number());
                return Err(CliError::Usage(format!(
                    "lab {number} builds on the library that you write in lab {first}: cargo lab open {first}"
                )));
            }
        }
        self.migrate(lab)
    }

    /// Brings an open lab to the layout of this version, where an earlier one has opened it.
    fn migrate(&self, lab: &Lab) -> Result<(), CliError> {
        for backup in self.folder.migrate(lab)? {
            eprintln!(
                "lab: an earlier version opened this lab; it has the new layout now, and a backup is in {}",
                backup.display()
            );
        }
        Ok(())
    }
}

/// Removes what an earlier grader has left that was killed, and prints what it was.
fn report_swept() {
    let swept = sweep();
    if !swept.is_empty() {
        eprintln!("lab: an earlier run was killed; removed what it left: {}", swept.join(", "));
    }
}

fn lock_file(path: &Path, otherwise: &str) -> Result<File, CliError> {
    let file = File::create(path)?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(CliError::GraderError(otherwise.into())),
        Err(TryLockError::Error(error)) => Err(error.into()),
    }
}

/// What is under way, on a terminal; an empty one goes away.
fn progress_line(text: &str) {
    let mut stderr = io::stderr();
    if stderr.is_terminal() {
        let _ = write!(stderr, "\r\x1b[K{text}");
        let _ = stderr.flush();
    }
}
