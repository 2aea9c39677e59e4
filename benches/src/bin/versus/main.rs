//! The figures of the README: our models against nginx, against bare loops, and against each other.
//!
//! ```text
//! cargo run --release -p benches --bin versus -- speed     requests per second, as a ratio to nginx's
//! cargo run --release -p benches --bin versus -- memory    bytes per idle client
//! cargo run --release -p benches --bin versus -- bulk      1 GiB each way, as a share of a bare loop's
//! ```
//!
//! Every comparison is interleaved: in each round all variants run, in rotating order, and a ratio is
//! taken within its round; what is printed is the median of the rounds. So a machine that grows slower
//! does so for all.

mod bare;
mod bulk;
mod memory;
mod speed;
mod wrk;

use benches::load::compare::{self, Failure, myself, progress, raise_descriptor_limit};
use benches::{Placement, Server, VARIANTS, Variant, tether};
use clap::{Parser, Subcommand};
use comfy_table::presets::ASCII_MARKDOWN;
use comfy_table::{CellAlignment, Table};
use std::io;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// Compare the servers with nginx, with bare loops and with each other
#[derive(Parser)]
#[command(name = "versus")]
struct CommandLine {
    #[command(subcommand)]
    comparison: Comparison,
}

#[derive(Subcommand)]
enum Comparison {
    /// Requests per second and processor time per request, beside nginx (needs wrk and nginx)
    Speed(speed::Options),
    /// Memory per idle client, the kernel's share beside it
    Memory(memory::Options),
    /// One large GET and PUT, beside a bare sendfile loop and a bare recv-write loop
    Bulk(bulk::Options),
}

/// The variants of a comparison.
#[derive(clap::Args)]
struct Models {
    /// Which servers, by name: thread, pool:steal, ... [default: each model in its default form]
    #[arg(long = "models", value_name = "A,B", value_delimiter = ',', value_parser = variant)]
    named: Vec<&'static Variant>,
}

impl Models {
    fn chosen(&self) -> Vec<&'static Variant> {
        if self.named.is_empty() {
            return VARIANTS.iter().filter(|variant| variant.is_default()).collect();
        }
        self.named.clone()
    }
}

fn variant(name: &str) -> Result<&'static Variant, String> {
    compare::variant(name).map_err(|failure| failure.to_string())
}

fn main() -> ExitCode {
    tether::tie();
    if let Some(code) = compare::role() {
        return code;
    }
    let mut args = std::env::args_os().skip(1);
    if args.next().is_some_and(|first| first == "bare") {
        return bare::main(args);
    }
    let line = CommandLine::parse();
    raise_descriptor_limit();
    let result = match &line.comparison {
        Comparison::Speed(options) => speed::run(options),
        Comparison::Memory(options) => memory::run(options),
        Comparison::Bulk(options) => bulk::run(options),
    };
    progress("");
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => failure.report("versus"),
    }
}

/// Starts one of our servers.
fn start(
    variant: &Variant,
    root: &Path,
    options: &[&str],
    placement: Placement,
) -> io::Result<Server> {
    Server::start(myself("serve")?, variant, root, options, placement)
}

/// A folder to serve, which goes when this program does.
fn folder(parent: PathBuf) -> Result<tempfile::TempDir, Failure> {
    let unusable =
        |error| Failure::Unusable(format!("no folder can be made in {parent:?}: {error}"));
    let folder =
        tempfile::Builder::new().prefix("versus-").tempdir_in(&parent).map_err(unusable)?;
    tether::remove_when_interrupted(folder.path().to_owned())?;
    Ok(folder)
}

/// A table for the terminal and for the README alike; figures to the right.
fn table(header: &[&str], words: usize) -> Table {
    let mut table = Table::new();
    table.load_style(ASCII_MARKDOWN).set_header(header.to_vec());
    for column in table.column_iter_mut().skip(words) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    table
}

/// The order of round `round`: everybody is first once.
fn rotated<T: Clone>(all: &[T], round: usize) -> Vec<T> {
    let mut order = all.to_vec();
    order.rotate_left(round % all.len().max(1));
    order
}

/// `0.97-1.04`
fn span(values: &[f64], digits: usize) -> String {
    let least = values.iter().copied().fold(f64::INFINITY, f64::min);
    let most = values.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    format!("{least:.digits$}-{most:.digits$}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_sound() {
        <CommandLine as clap::CommandFactory>::command().debug_assert();
    }

    #[test]
    fn everybody_is_first_once() {
        assert_eq!(rotated(&[1, 2, 3], 0), [1, 2, 3]);
        assert_eq!(rotated(&[1, 2, 3], 4), [2, 3, 1]);
        assert!(rotated::<u8>(&[], 4).is_empty());
    }

    #[test]
    fn spans() {
        assert_eq!(span(&[1.0, 0.911, 1.2], 2), "0.91-1.20");
    }
}
