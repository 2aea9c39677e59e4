//! A copy in the making.

use crate::error::LabError;
use std::path::{Path, PathBuf};
use std::{fs, io};

/// A copy that has not got its name yet; it goes away unless it gets one.
pub(super) struct Unfinished(pub(super) PathBuf);

impl Unfinished {
    pub(super) fn next_to(place: &Path) -> Result<Unfinished, LabError> {
        let fault = |error: io::Error| LabError::new(place.display(), error);
        let taken = match fs::read_dir(place) {
            Ok(mut entries) => entries.next().is_some(),
            Err(error) if error.kind() == io::ErrorKind::NotFound => false,
            Err(error) => return Err(fault(error)),
        };
        if taken {
            return Err(LabError::new(place.display(), "is not empty"));
        }
        let place = std::path::absolute(place).map_err(fault)?;
        let parent =
            place.parent().ok_or_else(|| LabError::new(place.display(), "is not a directory"))?;
        fs::create_dir_all(parent).map_err(fault)?;
        let name = place.file_name().unwrap_or_default().to_string_lossy();
        let copy = parent.join(format!(".{name}.unfinished-{}", std::process::id()));
        fs::create_dir(&copy).map_err(fault)?;
        Ok(Unfinished(copy))
    }

    pub(super) fn finish(self, place: &Path) -> Result<(), LabError> {
        let fault = |error: io::Error| LabError::new(place.display(), error);
        // An empty directory may be there, which `rename` replaces.
        fs::rename(&self.0, std::path::absolute(place).map_err(fault)?).map_err(fault)
    }
}

impl Drop for Unfinished {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}
