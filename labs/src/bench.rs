//! Two servers of the labs under the same load, by the workspace's load generator.
//!
//! The generator takes both in turns, each started anew for every round, so that a machine that grows slower does so
//! for both (`loadgen compare`). Nothing here is graded: speed on a student's machine proves nothing.

use crate::error::LabError;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::{fs, io};

/// What is run, from the model's weakness to its strength: clients that stay and think, clients that never pause,
/// clients that come for one file, large files.
pub const CASES: &str = "visitors,get-4k-16,connect-4k,get-1m";

/// A server that takes part.
#[derive(Clone, Debug)]
pub struct Contestant {
    /// What it is called in tables and pictures.
    pub name: String,
    /// The program.
    pub program: PathBuf,
    /// Its own options.
    pub options: Vec<String>,
}

/// How long the load takes.
#[derive(Clone, Copy, Debug)]
pub struct Extent {
    /// How many rounds.
    pub rounds: u32,
    /// How long each is measured, in seconds.
    pub seconds: f64,
}

/// Builds the program `server` of the package in `package` with optimisation and puts it at `place`.
///
/// # Errors
///
/// It does not compile; Cargo has said why then. Or a file cannot be written.
pub fn build_server(package: &Path, target: &Path, place: &Path) -> Result<(), LabError> {
    let built = cargo()
        .args(["build", "--release", "--quiet", "--bin", "server", "--target-dir"])
        .arg(target)
        .current_dir(package)
        .status();
    check_build(built, package)?;
    let copy = || -> io::Result<()> {
        fs::create_dir_all(place.parent().unwrap_or(place))?;
        // Not over a program that may be running.
        let _ = fs::remove_file(place);
        fs::copy(target.join("release/server"), place).map(drop)
    };
    copy().map_err(|error| LabError::new(place.display(), error))
}

/// Builds the load generator, which takes a minute the first time; gives where it is.
///
/// # Errors
///
/// It is not part of this copy of the workspace, or Cargo fails.
pub fn build_generator(root: &Path) -> Result<PathBuf, LabError> {
    if !root.join("benches/Cargo.toml").is_file() {
        return Err(LabError::new(
            root.display(),
            "this copy of the workspace has no load generator",
        ));
    }
    let target = root.join("target");
    let built = cargo()
        .args(["build", "--release", "--quiet", "-p", "benches", "--bin", "loadgen"])
        .arg("--target-dir")
        .arg(&target)
        .current_dir(root)
        .status();
    check_build(built, root)?;
    Ok(target.join("release/loadgen"))
}

/// Puts the load on; tables go to standard output, the page to `page`. Gives how the generator ended: with 0 if all
/// could be measured, with 1 if a server failed on the way.
///
/// # Errors
///
/// The generator cannot be started.
pub fn compare(
    generator: &Path,
    contestants: &[Contestant],
    extent: Extent,
    page: &Path,
) -> io::Result<ExitStatus> {
    let mut command = Command::new(generator);
    command.arg("compare").args(["--case", CASES, "--rounds", &extent.rounds.to_string()]);
    command.args(["--seconds", &extent.seconds.to_string(), "--warm-up", "0.3"]);
    for Contestant { name, program, options } in contestants {
        let options: String = options.iter().map(|option| format!(" {option}")).collect();
        command.arg("--program").arg(format!("{name}={}{options}", program.display()));
    }
    command.arg("--html").arg(page).stdin(Stdio::null()).status()
}

fn cargo() -> Command {
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo.env_remove("CARGO_MANIFEST_DIR").env_remove("CARGO_TARGET_DIR").stdin(Stdio::null());
    cargo
}

fn check_build(built: io::Result<ExitStatus>, place: &Path) -> Result<(), LabError> {
    match built {
        Ok(status) if status.success() => Ok(()),
        Ok(_) => Err(LabError::new(place.display(), "it was not built; the lines above say why")),
        Err(error) => Err(LabError::new("cargo", error)),
    }
}
