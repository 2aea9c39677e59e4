//! Why a command of the generator has no result.

use crate::{errln, text};
use std::fmt;
use std::io;
use std::process::ExitCode;

pub use crate::out::INVALID;

/// What the exit codes mean, for `--help`.
pub const EXIT_CODES: &str = "\
Exit codes:
  0    the figures are valid
  1    the server failed, ended or answered nothing, or an output could not be written
  2    the command line, a scenario or an input file is wrong: nothing was run
  3    figures are INVALID, for the reasons in the report
  130  interrupted by Ctrl-C (143: by SIGTERM): what was measured until then is reported
A reader of standard output that leaves early (`| head`) changes none of them.";

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
        errln!("{program}: {}", text::without_numbers(&self.to_string()));
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
