//! The command `ipc`: what this machine allows, what works on it, and what was left behind.

#![warn(unreachable_pub)]

mod limits;
mod mechanisms;
mod objects;
mod removal;

use std::error::Error;
use std::io::{self, ErrorKind, IsTerminal};
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};
use objects::Survey;
use removal::Removal;

type Outcome<T> = Result<T, Box<dyn Error>>;

/// Looks after the means of inter-process communication of this machine.
#[derive(Parser)]
#[command(version, args_conflicts_with_subcommands = true)]
struct Cli {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    doctor: Doctor,
}

#[derive(Subcommand)]
enum Command {
    /// Lists limits, tries each mechanism, and lists what this user left behind (the default)
    ///
    /// A process that is killed removes nothing. Shared memory left under a name that the next run uses too is replaced by
    /// `create`; of a queue or a semaphore `create` reports that it exists. A name that carries a pid, or a private key, is
    /// never used again: this command finds those.
    ///
    /// Left behind is what has a name, belongs to this user, and is used by no living process: POSIX queues,
    /// semaphores and shared memory, and socket files in the temporary directories. Just before it removes one, the
    /// command looks again, and what a process uses by then stays.
    ///
    /// Of System V objects the kernel counts the attached and the waiting processes, and keeps the last users. It does
    /// not keep a process that will use one later. So they are removed only if they are named, as are
    /// other objects that cannot be judged.
    ///
    /// Exit codes: 0, every mechanism works (whatever was left behind) and what was to be removed is gone; 1, a
    /// mechanism does not work, or what was to be removed could not be looked at or removed; 2, wrong usage.
    Doctor(Doctor),
}

#[derive(Args, Default)]
struct Doctor {
    /// Offer to remove what was left behind; ask about each on the terminal
    #[arg(long)]
    remove: bool,
    /// Remove without a question for each
    #[arg(long, requires = "remove")]
    yes: bool,
    /// Remove only these, by the names that the list shows; the slash at the beginning may be left out. An object that is
    /// "only if named" is removed in no other way. An object that a process uses stays
    #[arg(value_name = "NAME", requires = "remove")]
    names: Vec<String>,
}

fn main() -> ExitCode {
    ipc::process::init(&[("nothing", |_| Ok(())), ("worker", mechanisms::worker)]);
    let cli = Cli::parse();
    let options = match cli.command {
        Some(Command::Doctor(options)) => options,
        None => cli.doctor,
    };
    match run(&options) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        // A reader that has gone away (`| head`) is not a failure, unless something was to be removed.
        Err(error) if error.kind() == ErrorKind::BrokenPipe && !options.remove => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("ipc: standard output: {error}; what is not shown was not done");
            ExitCode::FAILURE
        }
    }
}

fn run(options: &Doctor) -> io::Result<bool> {
    let stdin = io::stdin();
    let ask = options.remove && !options.yes;
    if ask && !stdin.is_terminal() {
        eprintln!(
            "ipc: standard input is not a terminal, so it cannot answer questions; \
             add --yes to remove without them"
        );
        // As clap does for wrong usage.
        std::process::exit(2);
    }
    let mut out = io::stdout().lock();
    limits::print(&mut out)?;
    let all_work = mechanisms::run(&mut out)?;
    let survey = Survey::take();
    survey.print(&mut out)?;
    if !options.remove {
        survey.print_next(&mut out)?;
        return Ok(all_work);
    }
    let removal = Removal { names: &options.names, ask };
    let removed = removal.run(survey, &mut out, &mut stdin.lock())?;
    Ok(all_work && removed)
}
