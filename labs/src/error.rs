//! Why a lab, a copy of the course or a student's folder cannot be used.

use std::fmt;

/// What is wrong, and with which file or tool: it, and not a student, is at fault.
#[derive(Clone, Debug)]
pub struct LabError {
    place: String,
    why: String,
}

impl LabError {
    pub(crate) fn new(place: impl fmt::Display, why: impl fmt::Display) -> LabError {
        LabError { place: place.to_string(), why: why.to_string() }
    }
}

impl fmt::Display for LabError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.place, self.why)
    }
}

impl std::error::Error for LabError {}
