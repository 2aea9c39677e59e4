//! What the Tab key offers: commands, options, names on the server, names on this machine.

use std::cell::RefCell;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::rc::Rc;
use std::time::Duration;

use clap::CommandFactory;
use file_service::client::Kind;
use rustyline::completion::{Completer, Pair};
use rustyline::highlight::Highlighter;
use rustyline::hint::Hinter;
use rustyline::validate::Validator;
use rustyline::{Context, Helper};

use crate::args::Line;
use crate::names::is_safe;
use crate::remote::Remote;
use crate::words::{needs_quotes, quote, typed};

/// How long the Tab key may wait for the server.
const TIMEOUT: Duration = Duration::from_secs(3);

/// Completes the lines of the prompt.
pub(crate) struct Completion {
    /// Shared with the prompt: one person, one connection.
    pub(crate) remote: Rc<RefCell<Remote>>,
}

impl Completer for Completion {
    type Candidate = Pair;

    fn complete(
        &self,
        line: &str,
        pos: usize,
        _: &Context<'_>,
    ) -> rustyline::Result<(usize, Vec<Pair>)> {
        let words = typed(line.get(..pos).unwrap_or(line));
        let texts: Vec<&str> =
            words.iter().map(|word| std::str::from_utf8(&word.text).unwrap_or_default()).collect();
        let Some((word, text)) = words.last().zip(texts.last()) else {
            return Ok((pos, Vec::new()));
        };
        let candidates = match expected(&texts) {
            Expected::Words(mut candidates) => {
                candidates.retain(|candidate| candidate.starts_with(text));
                candidates.into_iter().map(|name| Candidate { name, is_directory: false }).collect()
            }
            Expected::Remote { files } => remote_names(&mut self.remote.borrow_mut(), text, files),
            Expected::Local => local_names(text),
        };
        let directory = text.rfind('/').map_or("", |slash| &text[..=slash]);
        Ok((word.start, pairs(directory, candidates, word.quoted)))
    }
}

impl Helper for Completion {}
impl Highlighter for Completion {}
impl Validator for Completion {}
impl Hinter for Completion {
    type Hint = String;
}

/// What kind of word belongs under the cursor.
#[derive(Debug, PartialEq, Eq)]
enum Expected {
    /// One of these.
    Words(Vec<String>),
    /// A name on the server; folders only, unless `files`.
    Remote { files: bool },
    /// A name on this machine.
    Local,
}

/// One name in a folder, or one word.
struct Candidate {
    name: String,
    is_directory: bool,
}

/// Decides by the command and by the option before the cursor.
fn expected(words: &[&str]) -> Expected {
    let grammar = Line::command();
    let [command, .., last] = words else {
        return Expected::Words(commands(&grammar));
    };
    let Some(subcommand) = grammar.find_subcommand(command) else {
        return match *command {
            "help" => Expected::Words(commands(&grammar)),
            _ => Expected::Words(Vec::new()),
        };
    };
    let before = words[words.len() - 2];
    match (subcommand.get_name(), before) {
        ("get", "-o" | "--output") => Expected::Local,
        ("put", "--to") => Expected::Remote { files: false },
        ("put", "--as") => Expected::Remote { files: true },
        _ if last.starts_with('-') => Expected::Words(options(subcommand)),
        ("list", _) => Expected::Remote { files: false },
        ("get" | "hash", _) => Expected::Remote { files: true },
        ("put", _) => Expected::Local,
        _ => Expected::Words(Vec::new()),
    }
}

fn commands(grammar: &clap::Command) -> Vec<String> {
    let names = grammar.get_subcommands().map(|command| command.get_name().to_string());
    let mut names: Vec<String> = names.collect();
    // Made by clap only when a line is parsed.
    if !names.iter().any(|name| name == "help") {
        names.push("help".to_string());
    }
    names
}

fn options(command: &clap::Command) -> Vec<String> {
    command
        .get_arguments()
        .filter_map(|arg| arg.get_long())
        .map(|long| format!("--{long}"))
        .collect()
}

/// Names on the server that begin like `text`. No connection means no offers: the command itself
/// will tell.
fn remote_names(remote: &mut Remote, text: &str, files: bool) -> Vec<Candidate> {
    let (directory, start) = text.rsplit_once('/').unwrap_or(("", text));
    let Ok(entries) = remote.list_quickly(directory, TIMEOUT) else {
        return Vec::new();
    };
    entries
        .into_iter()
        .filter(|entry| is_safe(entry.name.as_bytes()))
        .filter_map(|entry| Some((entry.name.into_string().ok()?, entry.kind == Kind::Directory)))
        .filter(|(_, is_directory)| files || *is_directory)
        .filter(|(name, _)| candidates(name, start))
        .map(|(name, is_directory)| Candidate { name, is_directory })
        .collect()
}

fn local_names(text: &str) -> Vec<Candidate> {
    let (directory, start) = match text.rsplit_once('/') {
        Some(("", start)) => ("/", start),
        Some((directory, start)) => (directory, start),
        None => (".", text),
    };
    let Ok(entries) = fs::read_dir(directory) else {
        return Vec::new();
    };
    let mut candidates: Vec<Candidate> = entries
        .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
        .filter(|name| is_safe(name.as_bytes()) && candidates(name, start))
        .map(|name| {
            let is_directory = Path::new(directory).join(&name).is_dir();
            Candidate { name, is_directory }
        })
        .collect();
    candidates.sort_by(|a, b| a.name.cmp(&b.name));
    candidates
}

/// Names that begin with a dot are offered to those who typed the dot.
fn candidates(name: &str, start: &str) -> bool {
    name.starts_with(start) && (!name.starts_with('.') || !start.is_empty())
}

/// The choices as they are shown and as they are put into the line. If one needs quotes all get
/// them, or they would have no common beginning to complete.
fn pairs(directory: &str, candidates: Vec<Candidate>, quoted: bool) -> Vec<Pair> {
    let quoted = quoted
        || needs_quotes_in(directory)
        || candidates.iter().any(|candidate| needs_quotes(&candidate.name));
    candidates
        .into_iter()
        .map(|Candidate { name, is_directory }| {
            let slash = if is_directory { "/" } else { "" };
            let path = format!("{directory}{name}{slash}");
            // A folder is typed on; a file, an option or a command is done.
            let mut replacement = quote(&path, quoted, is_directory);
            if !is_directory {
                replacement.push(' ');
            }
            Pair { display: format!("{name}{slash}"), replacement }
        })
        .collect()
}

fn needs_quotes_in(directory: &str) -> bool {
    !directory.is_empty() && needs_quotes(directory)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn position_decides_the_candidates() {
        let Expected::Words(all) = expected(&["l"]) else { panic!() };
        for command in ["list", "get", "put", "hash", "quit", "help"] {
            assert!(all.iter().any(|word| word == command), "{command} in {all:?}");
        }
        assert_eq!(expected(&["get", ""]), Expected::Remote { files: true });
        assert_eq!(expected(&["get", "a", "-o", ""]), Expected::Local);
        assert_eq!(expected(&["list", "s"]), Expected::Remote { files: false });
        assert_eq!(expected(&["ls", "s"]), Expected::Remote { files: false });
        assert_eq!(expected(&["put", ""]), Expected::Local);
        assert_eq!(expected(&["put", "a", "--to", ""]), Expected::Remote { files: false });
        assert_eq!(expected(&["nonsense", ""]), Expected::Words(Vec::new()));
        let Expected::Words(options) = expected(&["get", "--"]) else { panic!() };
        assert!(options.contains(&"--resume".to_string()), "{options:?}");
    }

    #[test]
    fn candidates_share_their_quotes() {
        let candidate =
            |name: &str, is_directory| Candidate { name: name.to_string(), is_directory };
        let replacements = |directory: &str, candidates, quoted| -> Vec<String> {
            pairs(directory, candidates, quoted).into_iter().map(|pair| pair.replacement).collect()
        };
        assert_eq!(replacements("d/", vec![candidate("a", false)], false), ["d/a "]);
        assert_eq!(replacements("", vec![candidate("sub", true)], false), ["sub/"]);
        assert_eq!(replacements("", vec![candidate("a b", true)], false), ["'a b/"]);
        assert_eq!(
            replacements("", vec![candidate("ab", false), candidate("a c", false)], false),
            ["'ab' ", "'a c' "]
        );
        assert_eq!(replacements("my dir/", vec![candidate("a", false)], false), ["'my dir/a' "]);
    }
}
