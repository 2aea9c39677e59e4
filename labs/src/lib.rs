//! The exercises of the course: their machinery, and the checks of every lab.
//!
//! A student works in a folder of their own, `my-labs/`, which holds what they write and the guide. The graders look
//! at their programs from outside, as the kernel and the other end of a connection see them, and know the
//! classic mistakes by name. They are graded themselves: every lab has wrong programs that must be caught by the
//! check that is meant for them, and different ones that must pass (`cargo lab verify`).
//!
//! | module | what lives there |
//! |---|---|
//! | [`lab`] | a lab's directory, and the packages that are made of it |
//! | [`manifest`] | its `lab.toml` |
//! | [`splice`] | from one marked source to starter, reference, wrong and alternative programs |
//! | [`guides`] | the two languages, held against each other |
//! | [`machine`] | whether this machine has what the labs need |
//! | [`skeleton`] | a new lab's folder |
//! | [`student`] | the student's folder: packages, progress |
//! | [`build`] | Cargo as a tool |
//! | [`mod@bench`] | two students' servers under the same load |
//! | [`export`] | copies to give away, without and with the solutions |
//! | [`context`] | what a check has to work with |
//! | [`grader`] | runs a check, contains the programs, cleans up |
//! | [`sweep`] | what a grader leaves that was killed, and its removal |
//! | [`report`] | results as text |
//! | [`formats`] | results for machines |
//! | [`watch`] | waits for a student's next save |
//! | [`verify`] | the graders graded |

#![forbid(unsafe_code)]

pub mod bench;
pub mod build;
pub mod context;
pub mod error;
pub mod export;
pub mod formats;
pub mod grader;
pub mod guides;
pub mod lab;
pub mod machine;
pub mod manifest;
mod poll;
pub mod report;
pub mod skeleton;
pub mod splice;
pub mod student;
pub mod sweep;
pub mod verify;
pub mod watch;

use context::Check;
use std::path::{Path, PathBuf};

include!(concat!(env!("OUT_DIR"), "/labs.rs"));

/// The code of a check.
pub fn check_fn(lab: &str, check: &str) -> Option<Check> {
    let (_, checks) = LABS.iter().find(|(name, _)| *name == lab)?;
    checks.iter().find(|(id, _)| *id == check).map(|(_, code)| *code)
}

/// The names of the checks that a lab has code for.
pub fn coded_checks(lab: &str) -> impl Iterator<Item = &'static str> {
    let checks = LABS.iter().find(|(name, _)| *name == lab).map_or(&[][..], |(_, checks)| *checks);
    checks.iter().map(|(id, _)| *id)
}

/// The folder with the labs in it.
pub fn labs_directory() -> PathBuf {
    // Cargo sets it for what it runs; a program that is run by itself remembers where it was built.
    let home = std::env::var_os("CARGO_MANIFEST_DIR").map(PathBuf::from);
    home.filter(|home| home.join("build.rs").is_file() && home.ends_with("labs"))
        .unwrap_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).to_owned())
}

/// The root of the workspace.
pub fn workspace_root() -> PathBuf {
    labs_directory().parent().map_or_else(|| PathBuf::from("."), Path::to_owned)
}
