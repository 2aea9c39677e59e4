//! The exercises of the course: their machinery, and the checks of every lab.
//!
//! A student works in a folder of their own, `my-labs/`, which holds what they write and the guide. The graders look
//! at their programs from outside, as the kernel and the other end of a connection see them, and know the
//! classic mistakes by name. They are graded themselves: every lab has mutants that must be caught by the
//! check that is meant for them, and alternatives that must pass (`cargo lab verify`).
//!
//! | module | what lives there |
//! |---|---|
//! | [`lab`] | a lab's directory, and the packages that are made of it |
//! | [`manifest`] | its `lab.toml` |
//! | [`splice`] | from one marked source to starter, reference, mutants and alternatives |
//! | [`guides`] | the two languages, compared with each other |
//! | [`machine`] | whether this machine has what the labs need |
//! | [`skeleton`] | a new lab's directory |
//! | [`student`] | the student's folder: packages, progress, migration from earlier versions |
//! | [`build`] | builds a package by Cargo |
//! | [`mod@bench`] | two servers of the labs under the same load |
//! | [`export`] | copies to give away, without and with the solutions |
//! | `context` | what a check has to work with |
//! | [`grader`] | runs a check, contains the programs, cleans up |
//! | [`sweep`] | removes what a killed grader has left |
//! | [`report`] | results as text |
//! | [`formats`] | results for machines |
//! | [`watch`] | waits for a student's next save |
//! | [`error`] | why any of this cannot be done |
//! | [`verify`] | grades the graders |

#![forbid(unsafe_code)]

pub mod bench;
pub mod build;
mod context;
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
fn check_fn(lab: &str, check: &str) -> Option<Check> {
    let (_, checks) = LABS.iter().find(|(name, _)| *name == lab)?;
    checks.iter().find(|(id, _)| *id == check).map(|(_, code)| *code)
}

/// The names of the checks that a lab has code for.
fn coded_checks(lab: &str) -> impl Iterator<Item = &'static str> {
    let checks = LABS.iter().find(|(name, _)| *name == lab).map_or(&[][..], |(_, checks)| *checks);
    checks.iter().map(|(id, _)| *id)
}

/// The directory with the labs in it.
pub fn labs_directory() -> PathBuf {
    // Cargo sets it for what it runs; a program that is run by itself remembers where it was built.
    let found = std::env::var_os("CARGO_MANIFEST_DIR").map(PathBuf::from);
    found
        .filter(|found| found.join("build.rs").is_file() && found.ends_with("labs"))
        .unwrap_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).to_owned())
}

/// The root of the workspace.
pub fn workspace_root() -> PathBuf {
    labs_directory().parent().map_or_else(|| PathBuf::from("."), Path::to_owned)
}
