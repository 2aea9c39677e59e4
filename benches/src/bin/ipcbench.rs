//! The figures of `cargo bench --bench ipc` for a chosen few: `cargo run --release -p benches --bin ipcbench -- ring 100`.

use benches::ipc::command::{self, Caller};
use std::process::ExitCode;

fn main() -> ExitCode {
    command::main(Caller::Program)
}
