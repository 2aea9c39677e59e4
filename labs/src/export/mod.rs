//! Copies of the course to give away: one for students, with no solution in it, and one for instructors, with
//! everything.
//!
//! | in a student's copy | why |
//! |---|---|
//! | `labs/`, `harness/` | the source of the `lab` command, which is built there |
//! | the other packages | the client, the load generator and the servers, which the guides use; a *bare* copy is without |
//! | `labs/NN_name/` | `lab.toml`, the guides, `checks.rs`, `starter/`; no reference, no mutants or alternatives |
//! | `labs/dependencies/` | an empty package that depends on what students' programs may use, so that it is vendored |
//! | `vendor/`, `.cargo/config.toml` | every crate that is needed: it builds without a network |
//!
//! The copy is made next to its place and searched for every canary and for the bodies of the holes. It only
//! gets its name when nothing was found, so a copy with a solution in it never exists.

mod leaks;
mod unfinished;
mod vendor;
mod workspace;

pub use leaks::leaks;

use crate::error::LabError;
use crate::lab::{DEPENDENCIES, Lab};
use std::collections::BTreeSet;
use std::path::Path;
use std::process::{Command, Stdio};
use std::{fs, io};
use unfinished::Unfinished;
use vendor::{cargo, vendor};
use workspace::{copy_all, dependencies_of, packages, to_text, without_tests, workspace};

/// The packages of the workspace that the command is made of: all that a bare copy has.
const PACKAGES: [&str; 2] = ["harness", "labs"];

/// Files of the workspace's root that students get as they are.
const DOCUMENTS: [&str; 4] = ["PROTOCOL.md", "LICENSE-APACHE", "LICENSE-MIT", ".gitignore"];

/// What a student's copy is to be.
#[derive(Clone, Copy, Debug)]
pub struct Plan<'a> {
    /// The root of the workspace that is copied.
    pub root: &'a Path,
    /// Every lab that there is: none of their solutions may be in the copy.
    pub all: &'a [Lab],
    /// The labs that the copy has.
    pub chosen: &'a [&'a Lab],
    /// Whether the workspace's other programs are left out.
    pub bare: bool,
    /// Whether the crates that are needed are put into the copy.
    pub vendor: bool,
}

/// Makes a student's copy at `place`, which must not exist or be empty.
///
/// # Errors
///
/// Something cannot be read or written, Cargo cannot vendor, or a solution is in the copy; then there is none.
pub fn student(plan: &Plan<'_>, place: &Path) -> Result<(), LabError> {
    let fault = |error: io::Error| LabError::new(place.display(), error);
    let unfinished = Unfinished::next_to(place)?;
    let copy = &unfinished.0;
    for document in DOCUMENTS {
        let source = plan.root.join(document);
        if source.is_file() {
            write(&copy.join(document), &fs::read(source).map_err(fault)?)?;
        }
    }
    let packages = packages(plan)?;
    let mut used = BTreeSet::new();
    for package in &packages {
        let (source, target) = (plan.root.join(package), copy.join(package));
        let manifest = without_tests(&source.join("Cargo.toml"))?;
        used.extend(dependencies_of(&manifest));
        // The directory of `labs` has the labs in it.
        let parts = if package == "labs" { &["src", "build.rs"][..] } else { &["."] };
        for part in parts {
            copy_all(&source.join(part), &target.join(part)).map_err(fault)?;
        }
        write(&target.join("Cargo.toml"), to_text(&manifest).as_bytes())?;
    }
    write(&copy.join("Cargo.toml"), workspace(plan.root, &packages, &used)?.as_bytes())?;
    // Cargo takes out of it what is not needed.
    let lock = fs::read(plan.root.join("Cargo.lock")).map_err(fault)?;
    write(&copy.join("Cargo.lock"), &lock)?;
    let dependencies = copy.join("labs/dependencies");
    write(&dependencies.join("src/lib.rs"), b"//! What the programs of the labs may use.\n")?;
    let manifest = format!(
        "[package]\nname = \"lab_dependencies\"\nversion = \"0.1.0\"\nedition = \"2024\"\npublish = false\n\n{DEPENDENCIES}"
    );
    write(&dependencies.join("Cargo.toml"), manifest.as_bytes())?;
    for lab in plan.chosen {
        copy_lab(lab, &copy.join("labs").join(lab.name()))?;
    }
    write(&copy.join("README.md"), include_bytes!("README.md"))?;
    let config = if plan.bare { CONFIG.to_owned() } else { format!("{CONFIG}{LOADGEN}") };
    write(&copy.join(".cargo/config.toml"), config.as_bytes())?;
    let found = leaks(copy, plan.all)?;
    if !found.is_empty() {
        let why = format!("a solution would be given away, so nothing is:\n{}", found.join("\n"));
        return Err(LabError::new(place.display(), why));
    }
    if plan.vendor {
        vendor(copy)?;
        let config = format!("{config}{VENDORED}");
        write(&copy.join(".cargo/config.toml"), config.as_bytes())?;
    } else {
        cargo(copy, &["update", "--workspace", "--quiet"])?;
    }
    unfinished.finish(place)
}

/// Makes an instructor's copy at `place`: every file that is under version control or could be, and the starters.
///
/// # Errors
///
/// Something cannot be read or written, or `root` is not under Git.
pub fn instructor(root: &Path, place: &Path) -> Result<usize, LabError> {
    let fault = |error: io::Error| LabError::new(place.display(), error);
    let output = Command::new("git")
        .arg("-C")
        .arg(root)
        .args(["ls-files", "--cached", "--others", "--exclude-standard", "-z"])
        .stdin(Stdio::null())
        .output()
        .map_err(|error| LabError::new("git", error))?;
    if !output.status.success() {
        let why = String::from_utf8_lossy(&output.stderr).trim().to_owned();
        return Err(LabError::new(root.display(), why));
    }
    let unfinished = Unfinished::next_to(place)?;
    let mut copied = 0;
    for name in output.stdout.split(|byte| *byte == 0).filter(|name| !name.is_empty()) {
        let name = String::from_utf8_lossy(name).into_owned();
        let (source, target) = (root.join(&name), unfinished.0.join(&name));
        let Ok(kind) = source.symlink_metadata() else { continue };
        fs::create_dir_all(target.parent().unwrap_or(place)).map_err(fault)?;
        if kind.is_symlink() {
            let leads = fs::read_link(&source).map_err(fault)?;
            std::os::unix::fs::symlink(leads, &target).map_err(fault)?;
        } else {
            fs::copy(&source, &target).map_err(fault)?;
        }
        copied += 1;
    }
    for lab in Lab::all(&unfinished.0.join("labs"))? {
        write_starter(&lab, &lab.directory)?;
    }
    unfinished.finish(place)?;
    Ok(copied)
}

/// The labs that these build on, and which are not among them.
pub fn required<'a>(all: &'a [Lab], chosen: &[&Lab]) -> Vec<&'a Lab> {
    let needed = |lab: &&Lab| {
        let name = lab.name();
        chosen.iter().any(|other| other.manifest.builds_on.contains(&name))
            && chosen.iter().all(|other| other.name() != name)
    };
    all.iter().filter(needed).collect()
}

fn write(path: &Path, bytes: &[u8]) -> Result<(), LabError> {
    let fault = |error: io::Error| LabError::new(path.display(), error);
    if let Some(directory) = path.parent() {
        fs::create_dir_all(directory).map_err(fault)?;
    }
    fs::write(path, bytes).map_err(fault)
}

/// What students get of a lab.
fn copy_lab(lab: &Lab, target: &Path) -> Result<(), LabError> {
    let text = |name: &str| {
        let path = lab.directory.join(name);
        fs::read_to_string(&path).map_err(|error| LabError::new(path.display(), error))
    };
    for name in ["lab.toml", "guide.en.md", "guide.zh.md", "checks.rs"] {
        write(&target.join(name), text(name)?.as_bytes())?;
    }
    write_starter(lab, target)
}

/// Writes what the student begins with to `starter/` below `target`.
fn write_starter(lab: &Lab, target: &Path) -> Result<(), LabError> {
    for (path, text) in lab.starter()? {
        write(&target.join("starter").join(path), text.as_bytes())?;
    }
    Ok(())
}

const CONFIG: &str = "\
[alias]
# The exercises: `cargo lab --help`.
lab = \"run --quiet -p labs --bin lab --\"
";

const LOADGEN: &str = "\
# The load generator: `cargo loadgen --help`.
loadgen = \"run --release --quiet -p benches --bin loadgen --\"
";

const VENDORED: &str = "
# Everything that is needed lies in `vendor`: no network is used.
[source.crates-io]
replace-with = \"vendored\"

[source.vendored]
directory = \"vendor\"
";
