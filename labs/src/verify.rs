//! The graders graded: every lab against programs of which it is known what they are.
//!
//! | program | must |
//! |---|---|
//! | starter | compile without warnings, and fail a check in every group |
//! | reference | have full marks, as often as asked |
//! | alternative | have full marks |
//! | wrong | compile, and be caught by the check that it names, not by its deadline alone |
//!
//! And every check must catch a wrong one. What is built is kept by the text of the program, so that a second
//! run builds only what has changed.

use crate::build::{BuildError, build};
use crate::error::LabError;
use crate::grader::{BUSY, CheckResult, Outcome, grade, interrupted};
use crate::lab::{Files, Lab, files_below};
use crate::splice::{Filling, Template};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::fs;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;

/// What is wrong with a lab.
pub type Complaint = String;

/// Which checks caught which wrong programs, by check and program.
pub type Matrix = BTreeMap<(String, String), bool>;

/// Which checks a wrong program is held against.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// The one that is meant for it, and those that are meant for none, until they have caught one.
    Declared,
    /// All, as the matrix needs it: several times as long.
    All,
}

/// How often a check is run that the machine is too busy for, which says nothing of the check.
const PATIENCE: u32 = 10;

/// Verifies a lab; programs are built below `workshop`. `say` is told what is done.
///
/// # Errors
///
/// The lab cannot be used at all, or Cargo cannot be run.
pub fn verify(
    lab: &Lab,
    workshop: &Path,
    repeat: u32,
    scope: Scope,
    matrix: &mut Matrix,
    say: &mut dyn FnMut(&str),
) -> Result<Vec<Complaint>, LabError> {
    let mut complaints = consistency(lab)?;
    let shop = Workshop { lab, folder: workshop.join(lab.name()), target: workshop.join("target") };
    let trouble = |graded: &CheckResult| match &graded.outcome {
        Outcome::GraderError(why) => format!(": {why}"),
        Outcome::Fail(finding) | Outcome::Stopped(finding) => format!(": {}", finding.observed),
        _ => String::new(),
    };
    let mut seed = 1;
    let mut run = |programs: &Path, id: &str| {
        seed += 1;
        let mut left = PATIENCE;
        lab.check(id).map(|check| {
            loop {
                let graded = grade(lab, check, programs, seed);
                left -= 1;
                let busy =
                    matches!(&graded.outcome, Outcome::GraderError(why) if why.starts_with(BUSY));
                if !busy || left == 0 {
                    return graded;
                }
            }
        })
    };
    let ids: Vec<&str> = lab.manifest.checks.iter().map(|check| &check.id[..]).collect();

    say("starter");
    match shop.build("starter", |template| template.starter())? {
        Err(error) => complaints.push(format!("starter: does not compile:\n{error}")),
        Ok(programs) => {
            let passed: BTreeSet<&str> = ids
                .iter()
                .filter(|id| {
                    run(&programs, id).is_some_and(|graded| graded.outcome == Outcome::Pass)
                })
                .copied()
                .collect();
            let groups: BTreeSet<&str> = lab.manifest.checks.iter().map(|c| c.group()).collect();
            for group in groups {
                let mut members = lab.manifest.checks.iter().filter(|check| check.group() == group);
                if members.all(|check| passed.contains(&check.id[..])) {
                    complaints.push(format!("starter: passes all of `{group}`"));
                }
            }
        }
    }

    let nothing = Filling::default();
    let mut right = vec![("reference".to_owned(), nothing, repeat)];
    let alternatives = lab.alternatives()?;
    right.extend(alternatives.into_iter().map(|(name, filling)| (name, filling, 1)));
    for (name, filling, times) in right {
        say(&name);
        match shop.build(&name, |template| template.filled(&filling))? {
            Err(error) => complaints.push(format!("{name}: does not compile:\n{error}")),
            Ok(programs) => {
                for round in 1..=times {
                    for id in &ids {
                        if let Some(graded) = run(&programs, id)
                            && !matches!(graded.outcome, Outcome::Pass | Outcome::Skip(_))
                        {
                            let why = trouble(&graded);
                            complaints.push(format!("{name}, round {round}: {id} fails{why}"));
                        }
                    }
                }
            }
        }
    }

    let wrong = lab.mutants()?;
    let meant: BTreeSet<&str> =
        wrong.values().filter_map(|filling| filling.notes.get("check")).map(|id| &id[..]).collect();
    let mut caught_one: BTreeSet<&str> = BTreeSet::new();
    for (name, filling) in &wrong {
        if let Some(signal) = interrupted() {
            return Err(LabError::new(lab.name(), format!("ended by {signal}")));
        }
        say(name);
        let declared = filling.notes.get("check").map_or("", |id| &id[..]);
        match shop.build(name, |template| template.filled(filling))? {
            Err(error) => complaints.push(format!("{name}: does not compile:\n{error}")),
            Ok(programs) => {
                for id in &ids {
                    let open = !meant.contains(id) && !caught_one.contains(id);
                    if scope == Scope::Declared && *id != declared && !open {
                        continue;
                    }
                    let Some(graded) = run(&programs, id) else { continue };
                    let caught = matches!(graded.outcome, Outcome::Fail(_) | Outcome::Stopped(_));
                    matrix.insert(((*id).to_owned(), name.clone()), caught);
                    if caught {
                        caught_one.insert(id);
                    }
                    if *id == declared {
                        match &graded.outcome {
                            Outcome::Fail(_) | Outcome::Skip(_) => {}
                            Outcome::Stopped(finding)
                                if !finding.expected.starts_with("an end") => {}
                            Outcome::Stopped(finding) if finding.observed.contains("DEADLOCK") => {}
                            Outcome::Stopped(_) => {
                                complaints
                                    .push(format!("{name}: {id} needs its deadline to catch it"));
                            }
                            Outcome::Pass => {
                                complaints.push(format!("{name}: {id} does not catch it"))
                            }
                            Outcome::GraderError(why) => {
                                complaints.push(format!("{name}: {id}: {why}"))
                            }
                        }
                    }
                }
            }
        }
    }
    for id in ids {
        let catches = |((check, _), caught): (&(String, String), &bool)| check == id && *caught;
        if !matrix.iter().any(catches) {
            complaints.push(format!("{id}: catches no wrong program"));
        }
    }
    Ok(complaints)
}

/// What can be seen without running anything.
///
/// # Errors
///
/// The lab cannot be read.
pub fn consistency(lab: &Lab) -> Result<Vec<Complaint>, LabError> {
    let mut complaints = Vec::new();
    let templates = lab.templates()?;
    let holes: Vec<&str> = templates.values().flat_map(Template::holes).collect();
    let unique: BTreeSet<&str> = holes.iter().copied().collect();
    if unique.len() != holes.len() {
        complaints.push("two holes have one name".into());
    }
    let listed: BTreeSet<&str> = lab.manifest.holes.iter().map(|hole| &hole.name[..]).collect();
    for hole in unique.symmetric_difference(&listed) {
        complaints.push(format!("hole `{hole}` is not both in the reference and in lab.toml"));
    }
    for other in lab.builds_on()?.iter().filter(|other| other.manifest.library.is_none()) {
        complaints.push(format!("builds on {}, which has no library", other.name()));
    }
    if templates.values().all(|template| template.canaries().next().is_none()) {
        complaints.push("the reference has no canary".into());
    }
    // A lab that has no checks yet has no guides either.
    if !lab.manifest.checks.is_empty() {
        complaints.extend(crate::guides::complaints(lab)?);
    }
    let coded: BTreeSet<&str> = crate::coded_checks(&lab.name()).collect();
    let checks: BTreeSet<&str> = lab.manifest.checks.iter().map(|check| &check.id[..]).collect();
    for check in coded.symmetric_difference(&checks) {
        complaints.push(format!("check `{check}` is not both in checks.rs and in lab.toml"));
    }
    let kinds = [
        ("wrong", lab.mutants()?, &["check", "mistake"][..]),
        ("alternative", lab.alternatives()?, &["way"]),
    ];
    for (kind, fillings, notes) in kinds {
        for (name, filling) in fillings {
            for hole in filling.holes().filter(|hole| !listed.contains(hole)) {
                complaints.push(format!("{kind}/{name}: there is no hole `{hole}`"));
            }
            for note in notes.iter().filter(|note| !filling.notes.contains_key(**note)) {
                complaints.push(format!("{kind}/{name}: lacks `// {note}: ...`"));
            }
            if let Some(check) = filling.notes.get("check").filter(|id| lab.check(id).is_none()) {
                complaints.push(format!("{kind}/{name}: there is no check `{check}`"));
            }
        }
    }
    Ok(complaints)
}

struct Workshop<'a> {
    lab: &'a Lab,
    folder: PathBuf,
    target: PathBuf,
}

impl Workshop<'_> {
    /// Builds a program; gives the folder with its binaries, or what the compiler says.
    fn build(
        &self,
        name: &str,
        sources: impl Fn(&Template) -> String,
    ) -> Result<Result<PathBuf, String>, LabError> {
        let packages = self.lab.packages(sources)?;
        let mut hasher = DefaultHasher::new();
        packages.hash(&mut hasher);
        let programs = self.folder.join(name);
        let (key, mark) = (format!("{:016x}", hasher.finish()), programs.join("built-from"));
        if fs::read_to_string(&mark).is_ok_and(|found| found == key) {
            return Ok(Ok(programs));
        }
        let fault = |error: io::Error| LabError::new(programs.display(), error);
        let place = self.folder.join("packages");
        lay_out(&packages, &place)?;
        let package = place.join(self.lab.name());
        let built = match build(&package, &self.target) {
            Ok(built) if built.warnings.is_empty() => built,
            Ok(built) => return Ok(Err(built.warnings.concat())),
            Err(BuildError::Compiler(text)) => return Ok(Err(text)),
            Err(BuildError::Cargo(why)) => return Err(LabError::new(package.display(), why)),
        };
        let _ = fs::remove_dir_all(&programs);
        fs::create_dir_all(&programs).map_err(fault)?;
        for (name, path) in built.programs {
            fs::copy(path, programs.join(name)).map_err(fault)?;
        }
        fs::write(mark, key).map_err(fault)?;
        Ok(Ok(programs))
    }
}

/// Writes packages, each a workspace of its own, to folders of their names below `place`, which are made anew unless they
/// are there already: what is not written is not built again.
///
/// # Errors
///
/// The file system refuses.
pub fn lay_out(packages: &BTreeMap<String, Files>, place: &Path) -> Result<(), LabError> {
    for (name, files) in packages {
        let package = place.join(name);
        write_package(files.clone(), &package)
            .map_err(|error| LabError::new(package.display(), error))?;
    }
    Ok(())
}

fn write_package(mut files: Files, package: &Path) -> io::Result<()> {
    files.entry("Cargo.toml".into()).or_default().push_str("\n[workspace]\n");
    let mut found = files_below(package)?;
    found.remove(Path::new("Cargo.lock"));
    if found == files {
        return Ok(());
    }
    let _ = fs::remove_dir_all(package);
    for (path, text) in files {
        let path = package.join(path);
        fs::create_dir_all(path.parent().unwrap_or(package))?;
        fs::write(path, text)?;
    }
    let lock = crate::workspace_root().join("Cargo.lock");
    if lock.is_file() {
        // The versions that are there already; Cargo takes from it what it needs.
        fs::copy(lock, package.join("Cargo.lock"))?;
    }
    Ok(())
}

/// The matrix of a lab's checks and wrong programs as Markdown.
pub fn table(lab: &Lab, matrix: &Matrix) -> String {
    let mut text = String::new();
    let _ = writeln!(text, "## {} {}\n", lab.number(), lab.manifest.title.en);
    let _ = writeln!(text, "| wrong program | the mistake | caught by |\n|---|---|---|");
    let Ok(fillings) = lab.mutants() else { return text };
    for (name, filling) in fillings {
        let note = |key: &str| filling.notes.get(key).cloned().unwrap_or_default();
        let caught = |id: &&str| matrix.get(&((*id).to_owned(), name.clone())) == Some(&true);
        let declared = note("check");
        let ids = lab.manifest.checks.iter().map(|check| &check.id[..]).filter(caught);
        let cells: Vec<String> = ids
            .map(|id| if id == declared { format!("**{id}**") } else { id.to_owned() })
            .collect();
        let _ = writeln!(text, "| {name} | {} | {} |", note("mistake"), cells.join(", "));
    }
    text
}

/// Which labs a change concerns.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Changed {
    /// Every one: why.
    All(String),
    /// Those of these names.
    Labs(BTreeSet<String>),
}

/// What the machinery consists of: a change of it may change what any lab's checks do.
const MACHINERY: [&str; 7] = [
    "labs/src/",
    "labs/build.rs",
    "labs/Cargo.toml",
    "harness/",
    "Cargo.toml",
    "Cargo.lock",
    ".cargo/",
];

/// The labs that differ from the commit `base`, together with those that build on them.
///
/// # Errors
///
/// A lab cannot be read.
pub fn changed(labs: &[Lab], root: &Path, base: &str) -> Result<Changed, LabError> {
    let git = |arguments: &[&str]| -> Result<String, String> {
        let output = Command::new("git").arg("-C").arg(root).args(arguments).output();
        let output = output.map_err(|error| format!("git: {error}"))?;
        let said = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim().to_owned();
        if output.status.success() { Ok(said(&output.stdout)) } else { Err(said(&output.stderr)) }
    };
    let paths = || -> Result<String, String> {
        // From where the two went different ways, to what lies here now, committed or not.
        let fork = git(&["merge-base", "--", base, "HEAD"])?;
        let committed = git(&["diff", "--name-only", "--no-renames", "--relative", &fork])?;
        Ok(committed + "\n" + &git(&["ls-files", "--others", "--exclude-standard"])?)
    };
    let paths = match paths() {
        Ok(paths) => paths,
        Err(why) => {
            return Ok(Changed::All(format!("cannot tell what differs from {base}: {why}")));
        }
    };
    let mut names = BTreeSet::new();
    for path in paths.lines() {
        if MACHINERY
            .iter()
            .any(|part| path == *part || (part.ends_with('/') && path.starts_with(part)))
        {
            return Ok(Changed::All(format!("{path} differs from {base}, and all rest on it")));
        }
        let name = path.strip_prefix("labs/").and_then(|rest| rest.split('/').next());
        names.extend(name.map(str::to_owned));
    }
    for lab in labs {
        if lab.manifest.builds_on.iter().any(|other| names.contains(other)) {
            names.insert(lab.name());
        }
    }
    names.retain(|name| labs.iter().any(|lab| lab.name() == *name));
    Ok(Changed::Labs(names))
}
