//! `async_server` on the command line; the model is in the library beside it.

use std::process::ExitCode;

fn main() -> ExitCode {
    server_core::launch(&async_server::MODEL, async_server::run)
}
