//! The options of this model.

use clap::error::ErrorKind;
use clap::{ArgMatches, Args, Command, FromArgMatches, ValueEnum};

/// The options of this model.
#[derive(Clone, Debug)]
pub struct Options {
    /// Which runtime.
    pub flavor: Flavor,
    /// How many threads the one with several has; if nothing is said, one for each core.
    pub workers: Option<usize>,
}

/// Which runtime polls the futures.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Flavor {
    /// The main thread alone
    CurrentThread,
    /// Workers that steal tasks from each other
    #[default]
    MultiThread,
}

/// The options as they are written.
#[derive(Args)]
struct Flags {
    /// Which runtime polls the futures
    #[arg(long, value_enum, default_value_t)]
    flavor: Flavor,
    /// How many threads the multi-thread flavor has [default: one for each core]
    #[arg(long, value_name = "N", value_parser = server_core::parse_count)]
    workers: Option<usize>,
}

impl Args for Options {
    fn augment_args(command: Command) -> Command {
        Flags::augment_args(command)
    }

    fn augment_args_for_update(command: Command) -> Command {
        Flags::augment_args_for_update(command)
    }
}

/// By hand for one reason: clap knows options that exclude each other, and not their values.
impl FromArgMatches for Options {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Options, clap::Error> {
        let Flags { flavor, workers } = Flags::from_arg_matches(matches)?;
        if flavor == Flavor::CurrentThread && workers.is_some() {
            return Err(clap::Error::raw(
                ErrorKind::ArgumentConflict,
                "--workers belongs to --flavor multi-thread: current-thread has one thread, leave it out",
            ));
        }
        Ok(Options { flavor, workers })
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        *self = Options::from_arg_matches(matches)?;
        Ok(())
    }
}
