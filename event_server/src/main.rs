//! `event_server` on the command line; the model is in the library beside it.

use std::process::ExitCode;

fn main() -> ExitCode {
    server_core::launch(&event_server::MODEL, event_server::run)
}
