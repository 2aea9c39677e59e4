//! See the crate's front page, or `file_client --help`.

use std::process::ExitCode;

use clap::Parser;
use file_client::{Args, run};

fn main() -> ExitCode {
    run(Args::parse())
}
