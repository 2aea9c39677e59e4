//! The student's folder: a workspace of its own, with a package for every lab that was opened.
//!
//! Nothing in it is under version control, so a pull never touches it; and it is not part of the workspace around
//! it, so it changes no lock file there.

use crate::error::LabError;
use crate::grader::CheckResult;
use crate::lab::Lab;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// The folder.
#[derive(Clone, Debug)]
pub struct Folder(PathBuf);

/// What is known of a student's work.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Progress {
    /// By the names of the labs.
    pub labs: BTreeMap<String, Record>,
}

/// What is known of the work at one lab.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Record {
    /// The most points that one run of all checks has brought.
    pub best: u32,
    /// The last result of every check.
    pub last: BTreeMap<String, CheckResult>,
    /// How much help was asked for, by hole.
    pub hints: BTreeMap<String, usize>,
}

const WORKSPACE: &str = "\
# The packages of your labs. `cargo lab open N` adds one.
[workspace]
resolver = \"3\"
members = [\"[0-9]*\"]
";

impl Folder {
    /// The folder at `path`, which is made by the first lab that is opened.
    pub fn at(path: PathBuf) -> Folder {
        Folder(path)
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// Where a lab's package is.
    pub fn package(&self, lab: &Lab) -> PathBuf {
        self.0.join(lab.name())
    }

    /// Where what is built goes.
    pub fn target(&self) -> PathBuf {
        self.0.join("target")
    }

    /// Whether the lab was opened.
    pub fn has(&self, lab: &Lab) -> bool {
        self.package(lab).join("Cargo.toml").is_file()
    }

    /// Lays out a lab's starter and guides. What is there already is left as it is. Gives whether it was new.
    ///
    /// # Errors
    ///
    /// The folder cannot be written, or the lab is broken.
    pub fn open(&self, lab: &Lab) -> Result<bool, LabError> {
        let new = !self.has(lab);
        let fault = |error: io::Error| LabError::new(self.0.display(), error);
        fs::create_dir_all(&self.0).map_err(fault)?;
        write_new(&self.0.join("Cargo.toml"), WORKSPACE).map_err(fault)?;
        // The versions that are there already, so that nothing has to be looked up or fetched.
        if let Ok(lock) = fs::read_to_string(crate::workspace_root().join("Cargo.lock")) {
            write_new(&self.0.join("Cargo.lock"), &lock).map_err(fault)?;
        }
        let package = self.package(lab);
        for (path, text) in lab.starter()? {
            write_new(&package.join(path), &text).map_err(fault)?;
        }
        for guide in ["guide.en.md", "guide.zh.md"] {
            // The guide is the lab's: a better one replaces it.
            let text = fs::read(lab.directory.join(guide)).map_err(fault)?;
            fs::write(package.join(guide), text).map_err(fault)?;
        }
        Ok(new)
    }

    /// Begins a lab anew. What was there is kept beside it; gives where.
    ///
    /// # Errors
    ///
    /// As [`Folder::open`].
    pub fn reset(&self, lab: &Lab) -> Result<PathBuf, LabError> {
        let fault = |error: io::Error| LabError::new(self.0.display(), error);
        let backups = self.0.join("backups");
        fs::create_dir_all(&backups).map_err(fault)?;
        let backup = (1..)
            .map(|n| backups.join(format!("{}-{n}", lab.name())))
            .find(|path| !path.exists())
            .unwrap_or(backups);
        fs::rename(self.package(lab), &backup).map_err(fault)?;
        self.open(lab)?;
        Ok(backup)
    }

    /// What is known so far. A file that cannot be understood is an error: it is not written over.
    ///
    /// # Errors
    ///
    /// It cannot be read or understood.
    pub fn progress(&self) -> Result<Progress, LabError> {
        let path = self.0.join("progress.json");
        match fs::read_to_string(&path) {
            Ok(text) => {
                serde_json::from_str(&text).map_err(|error| LabError::new(path.display(), error))
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Progress::default()),
            Err(error) => Err(LabError::new(path.display(), error)),
        }
    }

    /// Keeps what is known.
    ///
    /// # Errors
    ///
    /// It cannot be written; then what was there stays.
    pub fn keep(&self, progress: &Progress) -> Result<(), LabError> {
        let path = self.0.join("progress.json");
        let write = || -> io::Result<()> {
            fs::create_dir_all(&self.0)?;
            let mut file = tempfile::NamedTempFile::new_in(&self.0)?;
            serde_json::to_writer_pretty(&mut file, progress)?;
            file.persist(&path)?;
            Ok(())
        };
        write().map_err(|error| LabError::new(path.display(), error))
    }
}

fn write_new(path: &Path, text: &str) -> io::Result<()> {
    if path.exists() {
        return Ok(());
    }
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder)?;
    }
    fs::write(path, text)
}
