//! The student's folder: a workspace of its own, with a package for every lab that was opened.
//!
//! Nothing in it is under version control, so a pull never touches it; and it is not part of the workspace around
//! it, so it changes no lock file there.

mod migrate;
mod progress;

pub use progress::{LabProgress, Progress};

use crate::error::LabError;
use crate::lab::Lab;
use std::path::{Path, PathBuf};
use std::{fs, io};

/// The folder.
#[derive(Clone, Debug)]
pub struct Folder(PathBuf);

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

    /// Writes a lab's starter and guides. Files that are there already are left as they are, apart from the guides.
    /// Returns whether the lab was new.
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
        let starter = lab.starter()?;
        let manifest = fs::read_to_string(package.join("Cargo.toml")).ok();
        // A package that an earlier version has made may have other files.
        if new || manifest.as_ref() == starter.get(Path::new("Cargo.toml")) {
            // The manifest comes last: with it, the lab is open.
            for (path, text) in starter.iter().rev() {
                write_new(&package.join(path), text).map_err(fault)?;
            }
        }
        for guide in ["guide.en.md", "guide.zh.md"] {
            // The guide is the lab's: a better one replaces it.
            let text = fs::read(lab.directory.join(guide)).map_err(fault)?;
            fs::write(package.join(guide), text).map_err(fault)?;
        }
        Ok(new)
    }

    /// Begins a lab anew. Returns where the backup of the old files is.
    ///
    /// # Errors
    ///
    /// As [`Folder::open`].
    pub fn reset(&self, lab: &Lab) -> Result<PathBuf, LabError> {
        let fault = |error: io::Error| LabError::new(self.0.display(), error);
        let backup = self.new_backup(lab).map_err(fault)?;
        fs::rename(self.package(lab), &backup).map_err(fault)?;
        self.open(lab)?;
        Ok(backup)
    }

    /// Brings a lab that an earlier version of the command has opened to the layout of this one, and the labs that it
    /// builds on. Does nothing to labs that are not open. Returns the backups of what was changed, one for each lab.
    ///
    /// # Errors
    ///
    /// The folder cannot be written, or a lab is broken.
    pub fn migrate(&self, lab: &Lab) -> Result<Vec<PathBuf>, LabError> {
        let fault = |error: io::Error| LabError::new(self.0.display(), error);
        let mut backups = Vec::new();
        for lab in lab.builds_on()?.iter().chain([lab]).filter(|lab| self.has(lab)) {
            let package = self.package(lab);
            if let Some(changes) = migrate::changes(lab, &package)? {
                let backup = self.new_backup(lab).map_err(fault)?;
                migrate::copy(&package, &backup).map_err(fault)?;
                migrate::apply(&changes, &package).map_err(fault)?;
                backups.push(backup);
            }
        }
        Ok(backups)
    }

    /// A path for a backup of a lab, which is not taken.
    fn new_backup(&self, lab: &Lab) -> io::Result<PathBuf> {
        let backups = self.0.join("backups");
        fs::create_dir_all(&backups)?;
        let mut paths = (1..).map(|n| backups.join(format!("{}-{n}", lab.name())));
        paths.find(|path| !path.exists()).ok_or_else(|| io::ErrorKind::AlreadyExists.into())
    }

    /// What is known of the student's work at these labs.
    ///
    /// # Errors
    ///
    /// The file cannot be read or understood; it is not written over then.
    pub fn progress(&self, labs: &[Lab]) -> Result<Progress, LabError> {
        Progress::load(&self.0.join("progress.json"), labs)
    }

    /// Writes down what is known.
    ///
    /// # Errors
    ///
    /// The file cannot be written; then what was there stays.
    pub fn save_progress(&self, progress: &Progress) -> Result<(), LabError> {
        progress.save(&self.0.join("progress.json"))
    }
}

fn write_new(path: &Path, text: &str) -> io::Result<()> {
    if path.exists() {
        return Ok(());
    }
    if let Some(directory) = path.parent() {
        fs::create_dir_all(directory)?;
    }
    fs::write(path, text)
}
