//! The commands of authors and instructors, which need the references.

use super::{Cli, CliError, lock_file, progress_line, report_swept};
use labs::export::{Plan, instructor, required, student};
use labs::grader::become_subreaper;
use labs::lab::Lab;
use labs::verify::{Changed, Matrix, Scope, changed, matrix_table, verify, write_packages};
use labs::{bench, labs_directory, skeleton, workspace_root};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Instant;

impl Cli {
    /// A student's copy has no references to hold anything against.
    fn authors_only(&self, command: &str) -> Result<(), CliError> {
        if self.labs.iter().all(Lab::has_reference) {
            return Ok(());
        }
        Err(CliError::Usage(format!(
            "`lab {command}` needs the instructor's copy: this one is a student's and has no references"
        )))
    }

    pub(super) fn verify(
        &self,
        numbers: &[String],
        base: Option<&str>,
        repeat: u32,
        file: Option<&Path>,
    ) -> Result<ExitCode, CliError> {
        self.authors_only("verify")?;
        let mut chosen: Vec<&Lab> = match numbers {
            [] => self.labs.iter().collect(),
            numbers => numbers.iter().map(|number| self.find(number)).collect::<Result<_, _>>()?,
        };
        if let Some(base) = base {
            match changed(&self.labs, &workspace_root(), base)? {
                Changed::All(why) => println!("all labs: {why}"),
                Changed::Labs(names) => {
                    chosen.retain(|lab| names.contains(&lab.name()));
                    println!("{} of {} labs differ from {base}", chosen.len(), self.labs.len());
                }
            }
        }
        become_subreaper()?;
        report_swept();
        let directory = verify_directory();
        fs::create_dir_all(&directory)?;
        let _lock = lock_file(&directory.join("lock"), "another `lab verify` is under way")?;
        let scope = if file.is_some() { Scope::All } else { Scope::Declared };
        let mut text = String::from(MATRIX_HEAD);
        let mut bad = false;
        let begun = Instant::now();
        let mut sums = (0, 0);
        for lab in &chosen {
            let mut matrix = Matrix::new();
            let name = lab.name();
            let begun = Instant::now();
            let mut progress = |what: &str| progress_line(&format!("{name}: {what}"));
            let complaints = verify(lab, &directory, repeat, scope, &mut matrix, &mut progress)?;
            progress_line("");
            let mutants = lab.mutants()?.len();
            let alternatives = lab.alternatives()?.len();
            let what = if complaints.is_empty() { "ok" } else { "BAD" };
            println!(
                "{what:<4} {name}: {mutants} mutants, {alternatives} alternatives, {:.1} s",
                begun.elapsed().as_secs_f64()
            );
            complaints.iter().for_each(|complaint| println!("     {complaint}"));
            bad |= !complaints.is_empty();
            sums = (sums.0 + mutants, sums.1 + alternatives);
            text += "\n";
            text += &matrix_table(lab, &matrix);
        }
        println!(
            "{} labs, {} mutants, {} alternatives, each reference {repeat} times: {:.1} s",
            chosen.len(),
            sums.0,
            sums.1,
            begun.elapsed().as_secs_f64()
        );
        if let Some(file) = file {
            fs::write(file, text)?;
        }
        Ok(if bad { ExitCode::FAILURE } else { ExitCode::SUCCESS })
    }

    pub(super) fn new_lab(&self, number: &str, name: &str) -> Result<ExitCode, CliError> {
        self.authors_only("new")?;
        let digits = number.len() == 2 && number.bytes().all(|byte| byte.is_ascii_digit());
        let word = name.starts_with(|char: char| char.is_ascii_lowercase())
            && name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_');
        if !digits || !word {
            let how = "a lab has a number of two digits and a name of small letters: cargo lab new 09 chat_room";
            return Err(CliError::Usage(how.into()));
        }
        if let Some(lab) = self.labs.iter().find(|lab| lab.number() == number) {
            return Err(CliError::Usage(format!(
                "there is a lab {number} already: {}",
                lab.name()
            )));
        }
        let directory = skeleton::make(&labs_directory(), number, name)?;
        println!("{} is there, in its smallest form.", directory.display());
        println!(
            "  write  reference/src, then checks.rs and lab.toml, then wrong/ and alternative/, then the guides"
        );
        println!("  then   cargo lab verify {number}");
        Ok(ExitCode::SUCCESS)
    }

    pub(super) fn export(
        &self,
        students: Option<&Path>,
        instructors: Option<&Path>,
        numbers: &[String],
        (bare, vendor): (bool, bool),
    ) -> Result<ExitCode, CliError> {
        self.authors_only("export")?;
        if let Some(place) = instructors {
            let files = instructor(&workspace_root(), place)?;
            println!("{}: {files} files, with every solution", place.display());
        }
        if let Some(place) = students {
            let mut chosen: Vec<&Lab> = match numbers {
                // A lab without checks is not one yet.
                [] => self.labs.iter().filter(|lab| !lab.manifest.checks.is_empty()).collect(),
                numbers => {
                    numbers.iter().map(|number| self.find(number)).collect::<Result<_, _>>()?
                }
            };
            for lab in required(&self.labs, &chosen) {
                println!("{} comes along: others build on it", lab.name());
                chosen.push(lab);
            }
            chosen.sort_by_key(|lab| lab.name());
            chosen.dedup_by_key(|lab| lab.name());
            let (root, all, chosen) = (&workspace_root(), &self.labs, &chosen[..]);
            student(&Plan { root, all, chosen, bare, vendor }, place)?;
            let how = if vendor { "builds without a network" } else { "needs a network to build" };
            println!("{}: {} labs, no solutions, {how}", place.display(), chosen.len());
        }
        Ok(ExitCode::SUCCESS)
    }
}

const MATRIX_HEAD: &str = "\
# What catches what

Written by `cargo lab verify --matrix labs/MATRIX.md`: every mutant of every lab with the checks that caught it. The one
that is meant for it stands in bold.
";

/// Builds the server of a lab's reference and puts it at `place`.
pub(super) fn reference_server(lab: &Lab, place: &Path) -> Result<(), CliError> {
    let directory = verify_directory();
    let packages = directory.join(lab.name()).join("bench");
    write_packages(&lab.reference()?, &packages)?;
    Ok(bench::build_server(&packages.join(lab.name()), &directory.join("target"), place)?)
}

pub(super) fn verify_directory() -> PathBuf {
    workspace_root().join("target/lab-verify")
}
