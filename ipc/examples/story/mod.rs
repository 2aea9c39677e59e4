//! How the examples print: one line for each act, behind the name and the pid of the process that acts.

#![allow(unused_macros, unused_imports)] // An example may need one of the two.

use std::fmt::Arguments;
use std::io::{self, Write};

/// Prints what this process does, as `println!` would, behind its name and pid. Fails, and does not panic, when nobody
/// reads the output any more.
macro_rules! say {
    ($($act:tt)*) => { $crate::story::act(format_args!($($act)*)) };
}
pub(crate) use say;

/// Prints a line to the reader, behind no name.
macro_rules! note {
    ($($text:tt)*) => { $crate::story::line(format_args!($($text)*)) };
}
pub(crate) use note;

pub(crate) fn act(act: Arguments<'_>) -> io::Result<()> {
    let process = format!("{}[{}]", ipc::process::name(), std::process::id());
    line(format_args!("{process:<16} {act}"))
}

/// One write for a line: several processes share the terminal.
pub(crate) fn line(text: Arguments<'_>) -> io::Result<()> {
    io::stdout().lock().write_all(format!("{text}\n").as_bytes())
}
