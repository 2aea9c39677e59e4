//! Why a command of the generator has no result.

use crate::{errln, text};
use std::fmt;
use std::io;
use std::process::ExitCode;

/// Why a command has no result.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Failure {
    /// The request is wrong: exit code 2.
    Unusable(String),
    /// It failed on the way: exit code 1.
    Broken(String),
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Failure {
        Failure::Broken(text::error(&error))
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Failure::Unusable(why) | Failure::Broken(why) => f.write_str(why),
        }
    }
}

impl Failure {
    /// Prints it as a line on standard error; returns the exit code.
    pub fn report(&self, program: &str) -> ExitCode {
        errln!("{program}: {self}");
        match self {
            Failure::Unusable(_) => ExitCode::from(2),
            Failure::Broken(_) => ExitCode::FAILURE,
        }
    }

    /// The request is wrong, for this reason.
    pub fn unusable(why: &io::Error) -> Failure {
        Failure::Unusable(text::error(why))
    }
}
