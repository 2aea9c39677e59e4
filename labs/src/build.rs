//! Builds a package by Cargo, and finds its programs.

use serde::Deserialize;
use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// What a build has made.
#[derive(Clone, Debug, Default)]
pub struct Built {
    /// Programs by their names.
    pub programs: BTreeMap<String, PathBuf>,
    /// What the compiler warned of, as it prints it.
    pub warnings: Vec<String>,
}

/// Why there is nothing to run.
#[derive(Debug)]
pub enum BuildError {
    /// The program does not compile: what the compiler prints.
    Compiler(String),
    /// Cargo could not be run, or failed before it compiled anything: why.
    Cargo(String),
}

impl fmt::Display for BuildError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            BuildError::Compiler(text) | BuildError::Cargo(text) => f.write_str(text),
        }
    }
}

impl From<io::Error> for BuildError {
    fn from(error: io::Error) -> BuildError {
        BuildError::Cargo(format!("cargo: {error}"))
    }
}

#[derive(Deserialize)]
struct Message {
    reason: String,
    executable: Option<PathBuf>,
    target: Option<Target>,
    message: Option<Diagnostic>,
}

#[derive(Deserialize)]
struct Target {
    name: String,
}

#[derive(Deserialize)]
struct Diagnostic {
    level: String,
    rendered: Option<String>,
}

/// Builds the package in `package`, with what it makes below `target`.
///
/// # Errors
///
/// It does not compile, or Cargo cannot do its work.
pub fn build(package: &Path, target: &Path) -> Result<Built, BuildError> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let output = Command::new(cargo)
        .args([
            "build",
            "--quiet",
            "--message-format=json-diagnostic-rendered-ansi",
            "--target-dir",
        ])
        .arg(target)
        .current_dir(package)
        // What the caller's Cargo has set for itself concerns another package.
        .env_remove("CARGO_MANIFEST_DIR")
        .env_remove("CARGO_TARGET_DIR")
        .stdin(Stdio::null())
        .output()?;
    let mut built = Built::default();
    let mut errors = String::new();
    for line in String::from_utf8_lossy(&output.stdout).lines() {
        let Ok(message) = serde_json::from_str::<Message>(line) else { continue };
        if let (Some(program), Some(target)) = (message.executable, &message.target) {
            built.programs.insert(target.name.clone(), program);
        }
        if message.reason == "compiler-message"
            && let Some(diagnostic) = message.message
        {
            let text = diagnostic.rendered.unwrap_or_default();
            match &diagnostic.level[..] {
                "warning" => built.warnings.push(text),
                _ => errors += &text,
            }
        }
    }
    if output.status.success() {
        return Ok(built);
    }
    if errors.is_empty() {
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        return Err(BuildError::Cargo(text));
    }
    Err(BuildError::Compiler(errors))
}
