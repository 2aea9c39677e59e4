//! Any model by its name: `cargo run -p benches -- thread_server --root .`
//!
//! Without a name it lists the models. With one it is that server, options and exit codes included.

use benches::{MODELS, find, tether};
use std::ffi::OsString;
use std::io::{self, Write};
use std::process::ExitCode;

fn main() -> ExitCode {
    tether::tie();
    let mut args = std::env::args_os().skip(1);
    let Some(name) = args.next().filter(|arg| arg != "--help" && arg != "-h") else {
        // A reader that has gone away is no failure.
        let _ = usage(&mut io::stdout().lock());
        return ExitCode::SUCCESS;
    };
    match name.to_str().and_then(find) {
        Some(entry) => (entry.main)(args.collect()),
        None => unknown(&name),
    }
}

fn usage(out: &mut impl Write) -> io::Result<()> {
    writeln!(out, "usage: serve MODEL [OPTION...]\n")?;
    for entry in MODELS {
        writeln!(out, "  {:<17} {}", entry.model.name, entry.model.unit)?;
    }
    writeln!(out, "\n`serve MODEL --help` lists the options; try `serve thread_server --root .`")
}

fn unknown(name: &OsString) -> ExitCode {
    let names: Vec<&str> = MODELS.iter().map(|entry| entry.model.name).collect();
    eprintln!("serve: no model {name:?}; there are {}", names.join(", "));
    ExitCode::from(2)
}
