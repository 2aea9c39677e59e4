//! Building and grading.

use super::{Cli, CliError, lock_file, progress_line, report_swept};
use crate::Format;
use labs::build::{self, BuildError};
use labs::grader::{CheckResult, TerminationSignals, become_subreaper, grade, interrupted};
use labs::lab::Lab;
use labs::manifest::CheckInfo;
use labs::report::{self, LabReport, Status};
use labs::student::Folder;
use labs::watch::Watch;
use labs::{formats, sweep};
use std::fs::{self, File};
use std::io::{self, Write};
use std::process::ExitCode;
use std::time::{SystemTime, UNIX_EPOCH};
use tempfile::TempDir;

/// A student's programs, ready to be graded.
struct Built {
    /// A copy: an editor may build while a check runs.
    programs: TempDir,
    _lock: File,
}

impl Cli {
    pub(super) fn test(
        &self,
        lab: Option<&str>,
        only: Option<&str>,
        seed: Option<u64>,
        repeat: u32,
    ) -> Result<ExitCode, CliError> {
        let lab = self.chosen(lab)?;
        let mut last = Status::Pass;
        for _ in 0..repeat.max(1) {
            let graded = match self.build_and_grade(lab, only, seed.unwrap_or_else(fresh_seed))? {
                Ok(graded) => graded,
                Err(errors) => {
                    eprint!("{errors}");
                    eprintln!("lab: it does not compile yet, so nothing was graded");
                    return Ok(ExitCode::FAILURE);
                }
            };
            let result = LabReport { lab, graded };
            print!("{}", result.text(self.language));
            last = result.status();
            if last != Status::Pass {
                break;
            }
        }
        Ok(ExitCode::from(last as u8))
    }

    pub(super) fn watch(&self, lab: Option<&str>, poll: bool) -> Result<ExitCode, CliError> {
        let lab = self.chosen(lab)?;
        let package = self.folder.package(lab);
        let mut watch = Watch::new(&package, poll);
        println!("Watching {}; Ctrl-C ends it.", package.join("src").display());
        if let Some(why) = watch.polling_reason() {
            println!("The files are looked at again and again: {why}.");
        }
        let mut before: Option<Vec<CheckResult>> = None;
        loop {
            // What is saved from here on is in the next run.
            watch.mark_seen();
            let built = self.build(lab);
            // During a build a signal ends the command at once. From here to the next build it ends the watch in order.
            let signals = TerminationSignals::block()?;
            let graded = built.and_then(|built| match built {
                Ok(built) => self.run_checks(lab, None, fresh_seed(), built).map(Ok),
                Err(errors) => Ok(Err(errors)),
            });
            match graded {
                Ok(Ok(graded)) => {
                    let result = LabReport { lab, graded };
                    match &before {
                        None => print!("{}", result.text(self.language)),
                        Some(before) => print!("{}", result.changes(before, self.language)),
                    }
                    before = Some(result.graded);
                }
                Ok(Err(errors)) => {
                    eprint!("{errors}");
                    println!("It does not compile; the next save is tried again.");
                }
                Err(CliError::GraderError(why)) => println!("Not graded: {why}"),
                Err(CliError::Interrupted(_)) => break,
                Err(problem) => return Err(problem),
            }
            io::stdout().flush()?;
            watch.wait_for_change(&signals)?;
            drop(signals);
            if interrupted().is_some() {
                break;
            }
        }
        println!("\nThe watch has ended.");
        Ok(ExitCode::SUCCESS)
    }

    pub(super) fn grade(&self, all: bool, format: Format) -> Result<ExitCode, CliError> {
        let mut results = Vec::new();
        for lab in &self.labs {
            let graded = match (self.folder.has(lab), all) {
                (true, _) => match self.build_and_grade(lab, None, fresh_seed()) {
                    Ok(Ok(graded)) => graded,
                    Ok(Err(errors)) => {
                        eprint!("{errors}");
                        report::not_compiled(lab, &errors)
                    }
                    // An incomplete report is better than none.
                    Err(CliError::GraderError(why)) => report::ungraded(lab, &why),
                    // What it builds on is not there.
                    Err(CliError::Usage(why)) => {
                        report::not_compiled(lab, &format!("error: {why}"))
                    }
                    Err(problem) => return Err(problem),
                },
                (false, true) => report::unopened(lab),
                (false, false) => continue,
            };
            results.push(LabReport { lab, graded });
        }
        if results.is_empty() {
            let why = "no lab is open: cargo lab start (with --all, those that were not opened count, too)";
            return Err(CliError::Usage(why.into()));
        }
        match format {
            Format::Text => {
                results.iter().for_each(|result| print!("{}", result.text(self.language)))
            }
            Format::Json => print!("{}", formats::json(&results)),
            Format::Junit => print!("{}", formats::junit(&results)),
            Format::Gradescope => print!("{}", formats::gradescope(&results)),
            Format::Classroom => print!("{}", formats::classroom(&results)),
        }
        Ok(ExitCode::from(formats::overall(&results) as u8))
    }

    /// The lab of this number, or the one that was worked at last.
    fn chosen(&self, number: Option<&str>) -> Result<&Lab, CliError> {
        let lab = match number {
            Some(number) => self.find(number)?,
            None => self.latest().ok_or_else(|| {
                CliError::Usage("which lab? cargo lab start opens the first one".into())
            })?,
        };
        self.opened(lab)?;
        Ok(lab)
    }

    /// The lab whose files were changed last.
    fn latest(&self) -> Option<&Lab> {
        let changed = |lab: &&Lab| {
            let sources = fs::read_dir(self.folder.package(lab).join("src")).ok()?;
            let times = sources.flatten().filter_map(|file| file.metadata().ok()?.modified().ok());
            times.max()
        };
        self.labs.iter().filter(|lab| changed(lab).is_some()).max_by_key(changed)
    }

    /// Builds and grades; returns the compiler's errors if it does not compile.
    fn build_and_grade(
        &self,
        lab: &Lab,
        only: Option<&str>,
        seed: u64,
    ) -> Result<Result<Vec<CheckResult>, String>, CliError> {
        wanted(lab, only)?; // before the build, which takes long
        match self.build(lab)? {
            Ok(built) => self.run_checks(lab, only, seed, built).map(Ok),
            Err(errors) => Ok(Err(errors)),
        }
    }

    /// Builds; returns the compiler's errors if it does not compile.
    fn build(&self, lab: &Lab) -> Result<Result<Built, String>, CliError> {
        let lock = lock(&self.folder, lab)?;
        report_swept();
        self.prepare(lab)?;
        let package = self.folder.package(lab);
        let built = match build::build(&package, &self.folder.target()) {
            Ok(built) => built,
            Err(BuildError::Compiler(text)) => return Ok(Err(text)),
            Err(BuildError::Cargo(why)) => return Err(CliError::GraderError(why)),
        };
        let binaries = built
            .programs
            .values()
            .next()
            .and_then(|program| program.parent())
            .ok_or_else(|| CliError::GraderError("the package has no program".into()))?
            .to_owned();
        let programs = tempfile::Builder::new().prefix(&sweep::name()).tempdir()?;
        for name in built.programs.keys() {
            fs::copy(binaries.join(name), programs.path().join(name))?;
        }
        Ok(Ok(Built { programs, _lock: lock }))
    }

    /// Runs the checks and records their results.
    fn run_checks(
        &self,
        lab: &Lab,
        only: Option<&str>,
        seed: u64,
        built: Built,
    ) -> Result<Vec<CheckResult>, CliError> {
        // Between two checks as well: a signal ends the command after the copy of the programs is removed.
        let signals = TerminationSignals::block()?;
        let Built { programs, _lock } = built;
        become_subreaper()?;
        let wanted = wanted(lab, only)?;
        let mut all = Vec::new();
        for (at, check) in wanted.iter().enumerate() {
            progress_line(&format!("{}/{} {}", at + 1, wanted.len(), check.id));
            all.push(grade(lab, check, programs.path(), seed));
            if signals.arrived()
                && let Some(signal) = interrupted()
            {
                progress_line("");
                return Err(CliError::Interrupted(signal));
            }
        }
        progress_line("");
        self.remember(lab, &all)?;
        Ok(all)
    }

    fn remember(&self, lab: &Lab, graded: &[CheckResult]) -> Result<(), CliError> {
        let mut progress = self.folder.progress(&self.labs)?;
        let known = progress.labs.entry(lab.name()).or_default();
        for graded in graded {
            known.last.insert(graded.id.clone(), graded.clone());
        }
        let result = LabReport { lab, graded: graded.to_vec() };
        known.best = known.best.max(result.points().0);
        Ok(self.folder.save_progress(&progress)?)
    }
}

/// Returns the checks whose name contains `only`; all, if that is `None`.
fn wanted<'l>(lab: &'l Lab, only: Option<&str>) -> Result<Vec<&'l CheckInfo>, CliError> {
    let wanted: Vec<_> = lab
        .manifest
        .checks
        .iter()
        .filter(|check| only.is_none_or(|only| check.id.contains(only)))
        .collect();
    if wanted.is_empty() {
        let ids: Vec<&str> = lab.manifest.checks.iter().map(|check| &check.id[..]).collect();
        let only = only.unwrap_or_default();
        return Err(CliError::Usage(format!(
            "no check is called {only}; there are {}",
            ids.join(", ")
        )));
    }
    Ok(wanted)
}

/// Keeps a second grader away, which would use the same files and take this one's processes for a student's.
fn lock(folder: &Folder, lab: &Lab) -> Result<File, CliError> {
    fs::create_dir_all(folder.target())?;
    let path = folder.target().join(format!("{}.lock", lab.name()));
    lock_file(
        &path,
        &format!("lab {} is being graded already, by another `cargo lab`", lab.number()),
    )
}

fn fresh_seed() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    (now.as_nanos() as u64 ^ u64::from(std::process::id()).rotate_left(32)) & 0xffff_ffff
}
