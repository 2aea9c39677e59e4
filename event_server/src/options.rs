//! The options of this model, and which of them do not go together.

use clap::error::ErrorKind;
use clap::{ArgMatches, Args, Command, Error, FromArgMatches};

/// The options of this model.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// How the loop asks which clients are ready.
    pub poller: PollerKind,
    /// When `epoll` reports a client; the others report levels.
    pub trigger: Trigger,
    /// How many threads run the loop, each with clients of its own.
    pub workers: usize,
}

/// How the loop asks which clients are ready.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum PollerKind {
    /// select(2): sets of bits, clients below descriptor 1,024
    Select,
    /// poll(2): an array of descriptors
    Poll,
    /// epoll(7): a set that the kernel keeps
    #[default]
    Epoll,
}

/// When a client is reported.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Trigger {
    /// For as long as it is ready
    #[default]
    Level,
    /// Once, when it becomes ready
    Edge,
}

/// The options as they are written.
#[derive(clap::Args)]
struct Written {
    /// How the loop asks which clients are ready
    #[arg(long, value_enum, default_value_t)]
    poller: PollerKind,
    /// When epoll reports a client
    #[arg(long, value_enum, default_value_t)]
    trigger: Trigger,
    /// How many threads run the loop, each with clients of its own
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = server_core::parse_count)]
    workers: usize,
}

impl FromArgMatches for Options {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Options, Error> {
        let Written { poller, trigger, workers } = Written::from_arg_matches(matches)?;
        let name = match poller {
            PollerKind::Select => "select",
            PollerKind::Poll => "poll",
            PollerKind::Epoll => return Ok(Options { poller, trigger, workers }),
        };
        if trigger == Trigger::Edge {
            let text = format!("--trigger edge needs --poller epoll: {name} reports levels only");
            return Err(Error::raw(ErrorKind::ArgumentConflict, text));
        }
        Ok(Options { poller, trigger, workers })
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), Error> {
        *self = Options::from_arg_matches(matches)?;
        Ok(())
    }
}

impl Args for Options {
    fn augment_args(command: Command) -> Command {
        Written::augment_args(command)
    }

    fn augment_args_for_update(command: Command) -> Command {
        Written::augment_args_for_update(command)
    }
}
