//! `progress.json`: what is known of a student's work.

use crate::error::LabError;
use crate::grader::CheckResult;
use crate::lab::Lab;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::Path;
use std::{fs, io};

/// What is known of a student's work.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Progress {
    /// By the names of the labs.
    pub labs: BTreeMap<String, LabProgress>,
}

/// What is known of the work at one lab.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct LabProgress {
    /// The most points that one run of all checks has brought.
    pub best: u32,
    /// The last result of every check.
    pub last: BTreeMap<String, CheckResult>,
    /// How much help was asked for, by hole.
    pub hints: BTreeMap<String, usize>,
}

impl Progress {
    /// Reads the file; there is no progress without one. Holes and checks that had other names in an earlier version
    /// get those that `labs` have.
    ///
    /// # Errors
    ///
    /// It cannot be read or understood.
    pub(super) fn load(path: &Path, labs: &[Lab]) -> Result<Progress, LabError> {
        let text = match fs::read_to_string(path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Progress::default()),
            Err(error) => return Err(LabError::new(path.display(), error)),
        };
        let mut progress: Progress =
            serde_json::from_str(&text).map_err(|error| LabError::new(path.display(), error))?;
        for lab in labs {
            if let Some(known) = progress.labs.get_mut(&lab.name()) {
                known.rename(lab);
            }
        }
        Ok(progress)
    }

    /// Writes the file, or leaves it as it was.
    ///
    /// # Errors
    ///
    /// It cannot be written.
    pub(super) fn save(&self, path: &Path) -> Result<(), LabError> {
        let write = || -> io::Result<()> {
            let folder = path.parent().unwrap_or(Path::new("."));
            fs::create_dir_all(folder)?;
            let mut file = tempfile::NamedTempFile::new_in(folder)?;
            serde_json::to_writer_pretty(&mut file, self)?;
            file.persist(path)?;
            Ok(())
        };
        write().map_err(|error| LabError::new(path.display(), error))
    }
}

impl LabProgress {
    fn rename(&mut self, lab: &Lab) {
        let last = std::mem::take(&mut self.last).into_values().map(|mut result| {
            if let Some(check) = lab.check(&result.id) {
                result.id.clone_from(&check.id);
            }
            (result.id.clone(), result)
        });
        self.last = last.collect();
        let hints = std::mem::take(&mut self.hints).into_iter();
        let hints = hints
            .map(|(hole, level)| (lab.hole(&hole).map_or(hole, |known| known.name.clone()), level));
        self.hints = hints.collect();
    }
}
