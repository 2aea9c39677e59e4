//! Commands line by line: at a prompt for a person, or from a pipe for a script.

use std::cell::RefCell;
use std::env;
use std::fs::DirBuilder;
use std::io::{self, BufRead, Write};
use std::os::unix::fs::DirBuilderExt;
use std::path::PathBuf;
use std::rc::Rc;

use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{CommandFactory, Parser};
use nix::sys::signal::Signal;
use rustyline::error::ReadlineError;
use rustyline::history::DefaultHistory;
use rustyline::{CompletionType, Config, Editor};

use crate::args::{Line, LineCommand};
use crate::commands;
use crate::complete::Completion;
use crate::failure::{REFUSED, USAGE, eprint_line, reason};
use crate::remote::Remote;
use crate::text::printable;
use crate::words::split;

/// Reads commands at a prompt until `quit` or Ctrl-D. What fails is told and changes nothing else.
pub(crate) fn interactive(mut remote: Remote) -> u8 {
    if let Err(failure) = remote.client() {
        failure.report();
        return failure.exit_code();
    }
    println(&format!("connected to {}; Tab completes, `help` explains", remote.addr()));
    let prompt = format!("{}> ", remote.addr());
    let remote = Rc::new(RefCell::new(remote));
    let mut editor = match editor(&remote) {
        Ok(editor) => editor,
        Err(error) => {
            eprint_line(&format!("error: cannot use this terminal: {error}"));
            return REFUSED;
        }
    };
    let history = history_file();
    if let Some(history) = &history {
        // None yet, or not readable: then the past is empty.
        let _ = editor.load_history(history);
    }
    loop {
        let line = match editor.readline(&prompt) {
            Ok(line) => line,
            // Ctrl-C drops the line, not the session.
            Err(ReadlineError::Interrupted) => continue,
            Err(ReadlineError::Eof) => break,
            Err(error) => {
                eprint_line(&format!("error: cannot read from the terminal: {error}"));
                return REFUSED;
            }
        };
        if line.trim().is_empty() {
            continue;
        }
        let _ = editor.add_history_entry(&line);
        if let Some(history) = &history {
            let _ = editor.append_history(history);
        }
        match perform(&mut remote.borrow_mut(), line.as_bytes(), true) {
            Next::Leave => break,
            // Ctrl-C has ended the transfer; any other signal means the program.
            Next::Failed(code) if code > 128 && code != 128 + Signal::SIGINT as u8 => return code,
            Next::Go | Next::Failed(_) => {}
        }
    }
    remote.borrow_mut().quit();
    0
}

/// Reads commands from a pipe or a file, and stops at the first that fails.
pub(crate) fn scripted(remote: &mut Remote, mut input: impl BufRead) -> u8 {
    let mut line = Vec::new();
    loop {
        line.clear();
        match input.read_until(b'\n', &mut line) {
            Ok(0) => break,
            Ok(_) => {}
            Err(error) => {
                eprint_line(&format!("error: cannot read standard input: {}", reason(&error)));
                return REFUSED;
            }
        }
        match perform(remote, &line, false) {
            Next::Go => {}
            Next::Leave => break,
            Next::Failed(code) => return code,
        }
    }
    remote.quit();
    0
}

/// What a line leads to.
enum Next {
    Go,
    Leave,
    Failed(u8),
}

/// Carries out one line. Empty lines and comments (`#`) are fine.
fn perform(remote: &mut Remote, line: &[u8], interactive: bool) -> Next {
    if line.trim_ascii_start().starts_with(b"#") {
        return Next::Go;
    }
    let Some(words) = split(line) else {
        eprint_line("error: a quote is left open");
        return Next::Failed(USAGE);
    };
    if words.is_empty() {
        return Next::Go;
    }
    let command = match Line::try_parse_from(words) {
        Ok(line) => line.command,
        Err(error) if error.kind() == ErrorKind::InvalidSubcommand => {
            eprint_line(&unknown_command(&error));
            return Next::Failed(USAGE);
        }
        Err(error) => {
            let _ = error.print();
            // Help is an answer, not a failure.
            return if error.use_stderr() { Next::Failed(USAGE) } else { Next::Go };
        }
    };
    let command = match command {
        LineCommand::Quit => return Next::Leave,
        LineCommand::Command(command) => command,
    };
    if interactive && let Err(failure) = remote.reconnect_if_closed() {
        failure.report();
        return Next::Failed(failure.exit_code());
    }
    match commands::run(remote, command) {
        0 => Next::Go,
        code => Next::Failed(code),
    }
}

/// The message about a line whose command does not exist: which one was meant, perhaps, and which exist.
fn unknown_command(error: &clap::Error) -> String {
    let unknown = match error.get(ContextKind::InvalidSubcommand) {
        Some(ContextValue::String(unknown)) => unknown.as_str(),
        _ => "",
    };
    let mut grammar = Line::command();
    grammar.build();
    let lower = unknown.to_lowercase();
    // Parsed as a line of its own, for clap suggests nothing in `help lst`.
    let alone = Line::try_parse_from([unknown]).err();
    let meant = match alone.as_ref().and_then(|error| error.get(ContextKind::SuggestedSubcommand)) {
        _ if grammar.find_subcommand(&lower).is_some() => Some(lower.as_str()),
        // The most similar one is the last.
        Some(ContextValue::Strings(similar)) => similar.last().map(String::as_str),
        Some(ContextValue::String(similar)) => Some(similar.as_str()),
        _ => None,
    };
    let commands: Vec<String> = grammar
        .get_subcommands()
        .map(|command| match command.get_visible_aliases().next() {
            Some(alias) => format!("{} ({alias})", command.get_name()),
            None => command.get_name().to_string(),
        })
        .collect();
    format!(
        "error: unknown command '{}'{}\nCommands: {}; `help` explains them",
        printable(unknown.as_bytes()),
        meant.map(|meant| format!("; did you mean '{meant}'?")).unwrap_or_default(),
        commands.join(", ")
    )
}

fn editor(remote: &Rc<RefCell<Remote>>) -> rustyline::Result<Editor<Completion, DefaultHistory>> {
    let config = Config::builder().completion_type(CompletionType::List).auto_add_history(false);
    let mut editor = Editor::with_config(config.build())?;
    editor.set_helper(Some(Completion { remote: Rc::clone(remote) }));
    Ok(editor)
}

/// Where lines are remembered: the state folder of the XDG rules. `None` where there is no home.
fn history_file() -> Option<PathBuf> {
    let absolute = |name: &str| env::var_os(name).map(PathBuf::from).filter(|p| p.is_absolute());
    let state = absolute("XDG_STATE_HOME")
        .or_else(|| absolute("HOME").map(|home| home.join(".local/state")))?;
    let directory = state.join("file_client");
    // Only for its owner: names of files can be nobody else's business.
    DirBuilder::new().recursive(true).mode(0o700).create(&directory).ok()?;
    Some(directory.join("history"))
}

fn println(line: &str) {
    let _ = writeln!(io::stdout(), "{line}");
}
