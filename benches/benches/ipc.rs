//! Every way in which two processes talk, next to the bare system calls: `cargo bench -p benches --bench ipc`.
//!
//! | | sizes | rounds of | time |
//! |---|---|---|---|
//! | asked for by name, or `--full` | 8 B to 64 KiB | 20 of 10 ms | a few minutes |
//! | as one of several (`cargo bench`), or `--short` | 100 B, 16 KiB | 15 of 3 ms | half a minute |
//! | `--quick` | 100 B | 5 of 3 ms | 10 s |
//!
//! Whether it was asked for by name is read from cargo's command line, which ends in `--bench ipc` then. Words filter by
//! mechanism and size, as in `cargo bench -p benches --bench ipc -- ring 100`. What comes out: tables here, and
//! `target/comparison/` with `ipc.json` and a chapter of the page.

use benches::ipc::command::{self, Caller};
use std::process::ExitCode;

fn main() -> ExitCode {
    command::main(Caller::Bench)
}
