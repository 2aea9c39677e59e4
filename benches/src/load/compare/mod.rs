//! Several servers under the same cases, in interleaved rounds: `cargo loadgen compare`.
//!
//! | module | what |
//! |---|---|
//! | `cli` | the command line |
//! | `cases` | what is asked of the servers |
//! | `contestants`, `third_party` | the servers: variants of the models, programs, third-party servers |
//! | `run` | the rounds |
//! | `wrk` | wrk as the driver |
//! | `output` | table, page, JSON, CSV |

mod cases;
mod cli;
mod contestants;
mod output;
mod run;
mod third_party;
mod wrk;

pub use cases::{Plan, is_called, standard};
pub use cli::{Options, main};
pub use contestants::{Contestant, default_baseline, variant};
pub use output::{Files, exit_code, timelines, write_reports};
pub use run::{Setup, compare};
pub use wrk::Wrk;
