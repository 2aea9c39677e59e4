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
    /// Left behind is what has a name, belongs to this user, and is used by no living process: POSIX queues,
    /// semaphores and shared memory, System V objects, socket files in the temporary directories.
    ///
    /// Exit codes: 0, every mechanism works (whatever was left behind); 1, one does not, or something could
    /// not be removed; 2, wrong usage.
    Doctor(Doctor),
}

#[derive(Args, Default)]
struct Doctor {
    /// Offer to remove what was left behind; ask about each on the terminal
    #[arg(long)]
    remove: bool,
    /// Do not ask. System V objects that nobody ever used are then removed only if they are named, since
    /// their user may be about to begin
    #[arg(long, requires = "remove")]
    yes: bool,
    /// Offer only these, by the names that the list shows
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
        // A reader that has gone away (`| head`) is no failure.
        Err(error) if error.kind() == ErrorKind::BrokenPipe => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("ipc: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(options: &Doctor) -> io::Result<bool> {
    let stdin = io::stdin();
    let ask = options.remove && !options.yes;
    if ask && !stdin.is_terminal() {
        eprintln!(
            "ipc: standard input is no terminal, so nobody can be asked: --yes removes without"
        );
        // As clap does for wrong usage.
        std::process::exit(2);
    }
    let mut out = io::stdout().lock();
    limits::print(&mut out)?;
    let all_work = mechanisms::run(&mut out)?;
    let unused = objects::print(&mut out)?;
    if !options.remove {
        return Ok(all_work);
    }
    let removal = Removal { names: &options.names, ask };
    let removed = removal.run(unused, &mut out, &mut stdin.lock())?;
    Ok(all_work && removed)
}
