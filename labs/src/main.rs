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
    /// Your folder [default: my-labs, next to this workspace's Cargo.toml]
    #[arg(long, global = true, value_name = "DIR", env = "LAB_FOLDER")]
    folder: Option<PathBuf>,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Check that this machine has what the labs need, and open the first one
    Start,
    /// All labs, with your points
    List,
    /// Open the first lab that is not done
    Next,
    /// Open a lab in your folder
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
    /// Test again whenever you save
    Watch {
        /// The lab's number [default: the one that you opened or tested last]
        lab: Option<String>,
        /// Read the files again and again instead of waiting for events
        #[arg(long)]
        poll: bool,
    },
    /// Help with a gap
    Hint {
        /// The lab's number
        lab: String,
        /// The gap, as `// gap: NAME` in the source; without it, all of them are listed
        gap: Option<String>,
        /// From a question (1) to nearly the answer (3) [default: one further than the last time]
        #[arg(long, value_parser = clap::value_parser!(u8).range(1..=3))]
        level: Option<u8>,
    },
    /// Show the last result of a check, what it means, and how to see it yourself
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
    /// Compare your server of one lab with that of another under the same load; print a table and write a page with plots
    Bench {
        /// The lab's number
        lab: String,
        /// The number of the other
        #[arg(long, value_name = "M")]
        against: String,
        /// How many rounds; below five, only large differences can be shown
        #[arg(long, value_name = "N", default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=100))]
        rounds: u32,
        /// How long each run is measured, in seconds
        #[arg(long, value_name = "S", default_value_t = 1.0)]
        seconds: f64,
        /// For authors: the references instead of your programs
        #[arg(long)]
        reference: bool,
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
    /// For authors: run the labs against their mutants and alternatives
    Verify {
        /// Numbers of labs [default: all]
        labs: Vec<String>,
        /// Only the labs that differ from this commit of Git; all, if Git cannot tell
        #[arg(long, value_name = "BASE", conflicts_with = "labs")]
        changed: Option<String>,
        /// How often the reference must pass
        #[arg(long, value_name = "N", default_value_t = 1)]
        repeat: u32,
        /// Run every mutant against every check, and write the table of what catches what to this file
        #[arg(long, value_name = "FILE")]
        matrix: Option<PathBuf>,
    },
    /// For authors: begin a new lab
    New {
        /// Its number, as in 09
        number: String,
        /// Its name, as in chat_room
        name: String,
    },
    /// For instructors: a copy of the course, to give away
    #[command(group = clap::ArgGroup::new("whose").required(true))]
    Export {
        /// For students: no solution in it, builds without a network
        #[arg(long, value_name = "DIR", group = "whose")]
        student: Option<PathBuf>,
        /// For instructors: everything
        #[arg(long, value_name = "DIR", group = "whose")]
        instructor: Option<PathBuf>,
        /// Only these labs, as in 04,08
        #[arg(long, value_name = "N,N", value_delimiter = ',', conflicts_with = "instructor")]
        labs: Vec<String>,
        /// Only what `cargo lab` is made of, without the client, the load generator and the servers
        #[arg(long, conflicts_with = "instructor")]
        bare: bool,
        /// Leave out the crates that are needed; then a build needs the network
        #[arg(long, conflicts_with = "instructor")]
        no_vendor: bool,
    },
    #[command(name = "__check", hide = true)]
    Check { lab: String, check: String, seed: u64, binaries: PathBuf, directory: PathBuf },
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
    /// A Gradescope autograder's results.json
    Gradescope,
    /// For the reporter of GitHub Classroom's autograding
    Classroom,
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
