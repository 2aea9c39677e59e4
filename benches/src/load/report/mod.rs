//! Reports of a run and of a comparison: tables, JSON, CSV, the histogram log and one page of HTML.
//!
//! All of it is made from a [`Recording`] or a [`Comparison`] and from nothing else, so that a file kept from last
//! month makes the same page as a run that has just ended. Nothing here judges: the page shows figures, how to read them,
//! and which of them are missing or invalid.
//!
//! | module | what |
//! |---|---|
//! | `comparison`, `metric` | the data: cases, servers, rounds; the metrics of a recording |
//! | [`terminal`] | tables for a terminal |
//! | [`json`], [`csv`], [`hgrm`] | files for other programs |
//! | `page` | the page of HTML, made of chapters |
//! | `chapters`, `figures` | which chapters and figures a comparison has |
//! | `run` | the page of one run, its title, figures and chapters |
//! | `tables`, `notes`, `sweeps` | rows of figures, notes on them, the cases that are one curve |
//! | `svg` | plots |
//! | `picture` | the picture for a README |

mod chapters;
mod comparison;
mod figures;
mod metric;
mod notes;
mod page;
mod picture;
mod run;
mod sweeps;
mod tables;

pub mod csv;
pub mod hgrm;
pub mod json;
pub(crate) mod svg;
pub mod terminal;

pub use comparison::{Case, Comparison, Lane, SCHEMA, ServerResult, Span, Timeline};
pub use metric::{Metric, why_no_cpu_split};
pub use page::{Chapter, Figure};
pub use picture::{overview_svg, pair_svg};
pub use sweeps::levels;
pub use tables::{NEAR, case_rows};

pub use crate::out::{check, write};
pub(crate) use comparison::is_idle;
pub(crate) use metric::NONE;
pub(crate) use tables::ratio_text;

use super::recording::Recording;
use metric::{errors, fullest, memory};
use std::path::{Path, PathBuf};

/// The page of a comparison and of the timelines of its servers, with further chapters behind its own.
pub fn page(comparison: &Comparison, timelines: &[Timeline], further: &[Chapter]) -> String {
    let mut chapters = chapters::chapters(comparison, timelines);
    chapters.extend_from_slice(further);
    match run::is_alone(comparison) {
        true => run::html(comparison, &chapters),
        false => page::html(comparison, &chapters),
    }
}

/// The directory of reports: `comparison` in the build's directory, in which this program is, or else in the current
/// one's.
pub fn target_directory() -> PathBuf {
    let program = std::env::current_exe().unwrap_or_default();
    // Cargo marks its directory so that backups leave it out.
    let marked = |directory: &&Path| directory.join("CACHEDIR.TAG").exists();
    let target = program.ancestors().skip(1).find(marked);
    target.unwrap_or(Path::new("target")).join("comparison")
}
