//! The programs that a lab is verified with: built once, and again when their text has changed.

use crate::build::{BuildError, build};
use crate::error::LabError;
use crate::lab::{Files, Lab, files_below};
use crate::splice::Template;
use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::{Path, PathBuf};
use std::{fs, io};

/// The programs of a lab.
pub(super) struct Builds<'a> {
    pub(super) lab: &'a Lab,
    /// Where the lab's packages and programs go.
    pub(super) directory: PathBuf,
    /// Where Cargo builds.
    pub(super) target: PathBuf,
}

impl Builds<'_> {
    /// Builds a program; returns the directory with its binaries, or what the compiler printed.
    pub(super) fn build(
        &self,
        name: &str,
        sources: impl Fn(&Template) -> String,
    ) -> Result<Result<PathBuf, String>, LabError> {
        let packages = self.lab.packages(sources)?;
        let mut hasher = DefaultHasher::new();
        packages.hash(&mut hasher);
        let programs = self.directory.join(name);
        let (key, mark) = (format!("{:016x}", hasher.finish()), programs.join("built-from"));
        if fs::read_to_string(&mark).is_ok_and(|found| found == key) {
            return Ok(Ok(programs));
        }
        let fault = |error: io::Error| LabError::new(programs.display(), error);
        let place = self.directory.join("packages");
        write_packages(&packages, &place)?;
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

/// Writes packages, each a workspace of its own, to directories of their names below `place`. One that is there with
/// the same files is left alone, so that Cargo does not build it again.
///
/// # Errors
///
/// The file system refuses.
pub fn write_packages(packages: &BTreeMap<String, Files>, place: &Path) -> Result<(), LabError> {
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
