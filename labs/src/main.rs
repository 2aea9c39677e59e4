//! `cargo lab`: the exercises on the command line.

mod commands;

use clap::{Parser, Subcommand, ValueEnum};
use labs::manifest::Language;
use std::path::PathBuf;
use std::process::ExitCode;

/// The exercises of the course: opens them, grades them, helps.
///
/// Exit codes: 0 all checks passed, 1 something is wrong with your program, 2 the command was used wrongly, 3 the grader
/// could not do its own work (nothing is said about your program then).
#[derive(Debug, Parser)]
#[command(name = "cargo lab", version)]
struct Arguments {
    /// The language of titles, hints and explanations [default: that of the environment, English or Chinese]
    #[arg(long, global = true, value_enum)]
    lang: Option<Language>,
    /// Your folder [default: my-labs, beside this workspace's Cargo.toml]
    #[arg(long, global = true, value_name = "DIR", env = "LAB_FOLDER")]
    folder: Option<PathBuf>,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Look whether this machine has what the labs need, and open the first one
    Start,
    /// All labs, with your points
    List,
    /// Open the first lab that is not done
    Next,
    /// Lay out a lab in your folder
    Open {
        /// Its number
        lab: String,
    },
    /// Build and grade
    Test {
        /// The lab's number [default: the one that you opened or tested last]
        lab: Option<String>,
        /// Only checks whose names contain this
        #[arg(long, value_name = "CHECK")]
        only: Option<String>,
        /// What random choices are made from, as a report shows it
        #[arg(long, value_name = "HEX", value_parser = parse_seed)]
        seed: Option<u64>,
        /// How often; the first failure ends it
        #[arg(long, value_name = "N", default_value_t = 1)]
        repeat: u32,
    },
    /// Help with a hole
    Hint {
        /// The lab's number
        lab: String,
        /// The hole, as `// hole: NAME` in the source; without it, all of them are listed
        hole: Option<String>,
        /// From a question (1) to nearly the answer (3) [default: one further than the last time]
        #[arg(long, value_parser = clap::value_parser!(u8).range(1..=3))]
        level: Option<u8>,
    },
    /// What a check has seen the last time, what it means, how to see it yourself
    Explain {
        /// The lab's number
        lab: String,
        /// The check
        check: String,
    },
    /// Begin a lab anew; what you have written is kept
    Reset {
        /// Its number
        lab: String,
    },
    /// Grade every lab that was opened
    Grade {
        /// Labs that were not opened count, too
        #[arg(long)]
        all: bool,
        /// How the results are written
        #[arg(long, value_enum, default_value_t = Format::Text)]
        format: Format,
    },
    /// Your points
    Progress,
    /// For authors: hold the labs against their wrong and their different programs
    Verify {
        /// Numbers of labs [default: all]
        labs: Vec<String>,
        /// How often the reference must pass
        #[arg(long, value_name = "N", default_value_t = 1)]
        repeat: u32,
        /// Write the table of what catches what to this file
        #[arg(long, value_name = "FILE")]
        matrix: Option<PathBuf>,
    },
    /// For authors: write the starters anew
    Starters {
        /// Only look whether they are what they should be
        #[arg(long)]
        check: bool,
    },
    #[command(name = "__check", hide = true)]
    Check { lab: String, check: String, seed: u64, binaries: PathBuf, folder: PathBuf },
}

/// How results are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Format {
    /// For people
    Text,
    /// Everything that is known, as one object
    Json,
    /// For continuous integration
    Junit,
}

fn parse_seed(text: &str) -> Result<u64, String> {
    u64::from_str_radix(text, 16)
        .map_err(|_| "expected a hexadecimal number, as in a report".into())
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    match commands::run(arguments) {
        Ok(code) => code,
        Err(problem) => {
            eprintln!("lab: {problem}");
            problem.code()
        }
    }
}
