//! Prints what this machine allows of each mechanism.

use std::io::{self, Write};
use std::process::ExitCode;

fn main() -> ExitCode {
    let mut stdout = io::stdout().lock();
    for limit in ipc::limits::LIMITS {
        let figure = limit.read().unwrap_or_else(|error| format!("unknown ({error})"));
        // A reader that has gone away (`| head`) is no failure.
        if writeln!(stdout, "{:<20}{:<55}{figure}", limit.mechanism, limit.meaning).is_err() {
            break;
        }
    }
    ExitCode::SUCCESS
}
