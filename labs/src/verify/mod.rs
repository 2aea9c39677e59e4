//! The graders graded: every lab is run against programs of known quality.
//!
//! | program | must |
//! |---|---|
//! | starter | compile without warnings, and fail a check in every group |
//! | reference | have full marks, as often as asked |
//! | alternative | have full marks |
//! | mutant | compile, and be caught by the check that it names, not by its deadline alone |
//!
//! And every check must catch a mutant. What is built is kept by the text of the program, so that a second
//! run builds only what has changed.

mod builds;
mod changed;
mod consistency;
mod matrix;

pub use builds::write_packages;
pub use changed::{Changed, changed};
pub use consistency::consistency;
pub use matrix::{Matrix, matrix_table};

use crate::error::LabError;
use crate::grader::{AN_END, BUSY, CheckResult, Outcome, grade, interrupted};
use crate::lab::Lab;
use crate::manifest::CheckInfo;
use crate::splice::{Filling, Template};
use builds::Builds;
use std::collections::BTreeSet;
use std::path::Path;

/// What is wrong with a lab.
pub type Complaint = String;

/// Which checks a mutant is run against.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// The one that is meant for it, and those that are meant for none, until they have caught one.
    Declared,
    /// All, as the matrix needs it: several times as long.
    All,
}

/// How often a check is run that the machine is too busy for, which proves nothing about the check.
const ATTEMPTS: u32 = 10;

/// Verifies a lab; programs are built below `directory`. Calls `progress` with the name of each program.
///
/// # Errors
///
/// The lab cannot be used at all, or Cargo cannot be run.
pub fn verify(
    lab: &Lab,
    directory: &Path,
    repeat: u32,
    scope: Scope,
    matrix: &mut Matrix,
    progress: &mut dyn FnMut(&str),
) -> Result<Vec<Complaint>, LabError> {
    let complaints = consistency(lab)?;
    let (own, target) = (directory.join(lab.name()), directory.join("target"));
    let builds = Builds { lab, directory: own, target };
    let mut verifier = Verifier { lab, builds, seed: 1, complaints };
    progress("starter");
    verifier.starter()?;
    progress("reference");
    verifier.right("reference", &Filling::default(), repeat)?;
    for (name, filling) in lab.alternatives()? {
        progress(&name);
        verifier.right(&name, &filling, 1)?;
    }
    let mutants = lab.mutants()?;
    let declared = |filling: &Filling| filling.notes.get("check").cloned().unwrap_or_default();
    let meant: BTreeSet<String> = mutants.values().map(declared).collect();
    for (name, filling) in &mutants {
        if let Some(signal) = interrupted() {
            return Err(LabError::new(lab.name(), format!("ended by {signal}")));
        }
        progress(name);
        let declared = declared(filling);
        let checks = lab.manifest.checks.iter().filter(|check| {
            let catches =
                |((id, _), caught): (&(String, String), &bool)| *id == check.id && *caught;
            let unproven = !meant.contains(&check.id) && !matrix.iter().any(catches);
            scope == Scope::All || check.id == declared || unproven
        });
        let checks: Vec<&CheckInfo> = checks.collect();
        verifier.mutant(name, filling, &declared, &checks, matrix)?;
    }
    let mut complaints = verifier.complaints;
    for CheckInfo { id, .. } in &lab.manifest.checks {
        if !matrix.iter().any(|((check, _), caught)| check == id && *caught) {
            complaints.push(format!("{id}: catches no mutant"));
        }
    }
    Ok(complaints)
}

struct Verifier<'a> {
    lab: &'a Lab,
    builds: Builds<'a>,
    seed: u64,
    complaints: Vec<Complaint>,
}

impl Verifier<'_> {
    /// Runs a check, again where the machine is too busy for it.
    fn run(&mut self, programs: &Path, check: &CheckInfo) -> CheckResult {
        self.seed += 1;
        let mut attempts = 1;
        loop {
            let result = grade(self.lab, check, programs, self.seed);
            let busy =
                matches!(&result.outcome, Outcome::GraderError(why) if why.starts_with(BUSY));
            if !busy || attempts == ATTEMPTS {
                return result;
            }
            attempts += 1;
        }
    }

    /// The program's binaries, or none and a complaint.
    fn build(
        &mut self,
        name: &str,
        sources: impl Fn(&Template) -> String,
    ) -> Result<Option<std::path::PathBuf>, LabError> {
        Ok(match self.builds.build(name, sources)? {
            Ok(programs) => Some(programs),
            Err(error) => {
                self.complaints.push(format!("{name}: does not compile:\n{error}"));
                None
            }
        })
    }

    fn starter(&mut self) -> Result<(), LabError> {
        let Some(programs) = self.build("starter", Template::starter)? else { return Ok(()) };
        let lab = self.lab;
        let mut failed = BTreeSet::new();
        for check in &lab.manifest.checks {
            if self.run(&programs, check).outcome != Outcome::Pass {
                failed.insert(check.group());
            }
        }
        let groups: BTreeSet<&str> = lab.manifest.checks.iter().map(CheckInfo::group).collect();
        let passed =
            groups.difference(&failed).map(|group| format!("starter: passes all of `{group}`"));
        self.complaints.extend(passed);
        Ok(())
    }

    fn right(&mut self, name: &str, filling: &Filling, repeat: u32) -> Result<(), LabError> {
        let Some(programs) = self.build(name, |template| template.filled(filling))? else {
            return Ok(());
        };
        let lab = self.lab;
        for round in 1..=repeat {
            for check in &lab.manifest.checks {
                let why = match self.run(&programs, check).outcome {
                    Outcome::Pass | Outcome::Skip(_) => continue,
                    Outcome::GraderError(why) => why,
                    Outcome::Fail(finding) | Outcome::Stopped(finding) => finding.observed,
                };
                self.complaints.push(format!("{name}, round {round}: {} fails: {why}", check.id));
            }
        }
        Ok(())
    }

    fn mutant(
        &mut self,
        name: &str,
        filling: &Filling,
        declared: &str,
        checks: &[&CheckInfo],
        matrix: &mut Matrix,
    ) -> Result<(), LabError> {
        let Some(programs) = self.build(name, |template| template.filled(filling))? else {
            return Ok(());
        };
        for check in checks {
            let id = &check.id;
            let outcome = self.run(&programs, check).outcome;
            let caught = matches!(outcome, Outcome::Fail(_) | Outcome::Stopped(_));
            matrix.insert((id.clone(), name.to_owned()), caught);
            if id != declared {
                continue;
            }
            self.complaints.extend(match outcome {
                Outcome::Fail(_) | Outcome::Skip(_) => None,
                Outcome::Stopped(finding)
                    if !finding.expected.starts_with(AN_END)
                        || finding.observed.contains("DEADLOCK") =>
                {
                    None
                }
                Outcome::Stopped(_) => Some(format!("{name}: {id} needs its deadline to catch it")),
                Outcome::Pass => Some(format!("{name}: {id} does not catch it")),
                Outcome::GraderError(why) => Some(format!("{name}: {id}: {why}")),
            });
        }
        Ok(())
    }
}
