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
const PATIENCE: Duration = Duration::from_secs(3);

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
        let choices = match wanted(&texts) {
            Wanted::Words(mut choices) => {
                choices.retain(|choice| choice.starts_with(text));
                choices.into_iter().map(|name| Choice { name, is_folder: false }).collect()
            }
            Wanted::Remote { files } => remote_names(&mut self.remote.borrow_mut(), text, files),
            Wanted::Local => local_names(text),
        };
        let folder = text.rfind('/').map_or("", |slash| &text[..=slash]);
        Ok((word.start, pairs(folder, choices, word.quoted)))
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
enum Wanted {
    /// One of these.
    Words(Vec<String>),
    /// A name on the server; folders only, unless `files`.
    Remote { files: bool },
    /// A name on this machine.
    Local,
}

/// One name in a folder, or one word.
struct Choice {
    name: String,
    is_folder: bool,
}

/// Decides by the command and by the option before the cursor.
fn wanted(words: &[&str]) -> Wanted {
    let grammar = Line::command();
    let [command, .., last] = words else {
        return Wanted::Words(commands(&grammar));
    };
    let Some(subcommand) = grammar.find_subcommand(command) else {
        return match *command {
            "help" => Wanted::Words(commands(&grammar)),
            _ => Wanted::Words(Vec::new()),
        };
    };
    let before = words[words.len() - 2];
    match (subcommand.get_name(), before) {
        ("get", "-o" | "--output") => Wanted::Local,
        ("put", "--to") => Wanted::Remote { files: false },
        ("put", "--as") => Wanted::Remote { files: true },
        _ if last.starts_with('-') => Wanted::Words(options(subcommand)),
        ("list", _) => Wanted::Remote { files: false },
        ("get" | "hash", _) => Wanted::Remote { files: true },
        ("put", _) => Wanted::Local,
        _ => Wanted::Words(Vec::new()),
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
fn remote_names(remote: &mut Remote, text: &str, files: bool) -> Vec<Choice> {
    let (folder, start) = text.rsplit_once('/').unwrap_or(("", text));
    let Ok(entries) = remote.list_quickly(folder, PATIENCE) else {
        return Vec::new();
    };
    entries
        .into_iter()
        .filter(|entry| is_safe(entry.name.as_bytes()))
        .filter_map(|entry| Some((entry.name.into_string().ok()?, entry.kind == Kind::Directory)))
        .filter(|(_, is_folder)| files || *is_folder)
        .filter(|(name, _)| offered(name, start))
        .map(|(name, is_folder)| Choice { name, is_folder })
        .collect()
}

fn local_names(text: &str) -> Vec<Choice> {
    let (folder, start) = match text.rsplit_once('/') {
        Some(("", start)) => ("/", start),
        Some((folder, start)) => (folder, start),
        None => (".", text),
    };
    let Ok(entries) = fs::read_dir(folder) else {
        return Vec::new();
    };
    let mut choices: Vec<Choice> = entries
        .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
        .filter(|name| is_safe(name.as_bytes()) && offered(name, start))
        .map(|name| {
            let is_folder = Path::new(folder).join(&name).is_dir();
            Choice { name, is_folder }
        })
        .collect();
    choices.sort_by(|a, b| a.name.cmp(&b.name));
    choices
}

/// Names that begin with a dot are offered to those who typed the dot.
fn offered(name: &str, start: &str) -> bool {
    name.starts_with(start) && (!name.starts_with('.') || !start.is_empty())
}

/// The choices as they are shown and as they are put into the line. If one needs quotes all get
/// them, or they would have no common beginning to complete.
fn pairs(folder: &str, choices: Vec<Choice>, quoted: bool) -> Vec<Pair> {
    let quoted = quoted
        || needs_quotes_in(folder)
        || choices.iter().any(|choice| needs_quotes(&choice.name));
    choices
        .into_iter()
        .map(|Choice { name, is_folder }| {
            let slash = if is_folder { "/" } else { "" };
            let path = format!("{folder}{name}{slash}");
            // A folder is typed on; a file, an option or a command is done.
            let mut replacement = quote(&path, quoted, is_folder);
            if !is_folder {
                replacement.push(' ');
            }
            Pair { display: format!("{name}{slash}"), replacement }
        })
        .collect()
}

fn needs_quotes_in(folder: &str) -> bool {
    !folder.is_empty() && needs_quotes(folder)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_place_decides_what_is_offered() {
        let Wanted::Words(all) = wanted(&["l"]) else { panic!() };
        for command in ["list", "get", "put", "hash", "quit", "help"] {
            assert!(all.iter().any(|word| word == command), "{command} in {all:?}");
        }
        assert_eq!(wanted(&["get", ""]), Wanted::Remote { files: true });
        assert_eq!(wanted(&["get", "a", "-o", ""]), Wanted::Local);
        assert_eq!(wanted(&["list", "s"]), Wanted::Remote { files: false });
        assert_eq!(wanted(&["ls", "s"]), Wanted::Remote { files: false });
        assert_eq!(wanted(&["put", ""]), Wanted::Local);
        assert_eq!(wanted(&["put", "a", "--to", ""]), Wanted::Remote { files: false });
        assert_eq!(wanted(&["nonsense", ""]), Wanted::Words(Vec::new()));
        let Wanted::Words(options) = wanted(&["get", "--"]) else { panic!() };
        assert!(options.contains(&"--resume".to_string()), "{options:?}");
    }

    #[test]
    fn choices_share_their_quotes() {
        let choice = |name: &str, is_folder| Choice { name: name.to_string(), is_folder };
        let replacements = |folder: &str, choices, quoted| -> Vec<String> {
            pairs(folder, choices, quoted).into_iter().map(|pair| pair.replacement).collect()
        };
        assert_eq!(replacements("d/", vec![choice("a", false)], false), ["d/a "]);
        assert_eq!(replacements("", vec![choice("sub", true)], false), ["sub/"]);
        assert_eq!(replacements("", vec![choice("a b", true)], false), ["'a b/"]);
        assert_eq!(
            replacements("", vec![choice("ab", false), choice("a c", false)], false),
            ["'ab' ", "'a c' "]
        );
        assert_eq!(replacements("my dir/", vec![choice("a", false)], false), ["'my dir/a' "]);
    }
}
