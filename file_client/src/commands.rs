//! What each command does. With several files, one that fails does not stop the rest.

use std::collections::HashMap;
use std::ffi::{OsStr, OsString};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use file_service::client::{Entry, Kind};
use file_service::protocol::push_url;
use serde_json::json;

use crate::args::Command;
use crate::destination::Destination;
use crate::failure::Failure;
use crate::interrupt;
use crate::names::{self, join, local_name, show};
use crate::remote::Remote;
use crate::text;
use crate::transfer;

/// Carries out one command, with its messages, and returns its exit code.
pub(crate) fn run(remote: &mut Remote, command: Command) -> u8 {
    let _busy = interrupt::begin_command();
    let mut outcome = Outcome::default();
    match command {
        Command::List { dir, json } => {
            outcome.add(list(remote, dir.unwrap_or_default().as_os_str(), json));
        }
        Command::Get { names, output, resume } => {
            get(remote, &names, output.as_deref(), resume, &mut outcome);
        }
        Command::Put { files, name, dir } => {
            put(remote, &files, name.as_deref(), dir.as_deref(), &mut outcome);
        }
        Command::Hash { names } => {
            for name in names::on_server(remote, &names) {
                if outcome.add(name.and_then(|name| hash(remote, &name))) {
                    break;
                }
            }
        }
    }
    outcome.exit_code
}

/// The exit code so far: that of the first failure.
#[derive(Default)]
struct Outcome {
    exit_code: u8,
}

impl Outcome {
    /// Takes one result in and reports it; tells whether to stop here.
    fn add(&mut self, result: Result<(), Failure>) -> bool {
        let failure = match (result, interrupt::take_signal()) {
            // Whatever it looked like, this was the cause.
            (_, Some(signal)) => Failure::Interrupted(signal),
            (Err(failure), None) => failure,
            (Ok(()), None) => return false,
        };
        failure.report();
        if self.exit_code == 0 || matches!(failure, Failure::Interrupted(_)) {
            self.exit_code = failure.exit_code();
        }
        failure.is_final()
    }
}

fn list(remote: &mut Remote, dir: &OsStr, json: bool) -> Result<(), Failure> {
    let what = if dir.is_empty() { "/".to_string() } else { show(dir) };
    let entries =
        remote.source()?.list_dir(dir).map_err(|error| Failure::of_server(&what, error))?;
    let mut out = BufWriter::new(io::stdout().lock());
    let written =
        if json { write_json(&mut out, &entries) } else { write_table(&mut out, &entries) };
    written.and_then(|()| out.flush()).map_err(|error| Failure::of_output(&error))
}

fn write_table(out: &mut impl Write, entries: &[Entry]) -> io::Result<()> {
    let sizes: Vec<String> = entries
        .iter()
        .map(|entry| match entry.kind {
            Kind::File => file_service::human::format_size(entry.size),
            Kind::Directory => "-".to_string(),
        })
        .collect();
    let width = sizes.iter().map(String::len).max().unwrap_or(0);
    for (entry, size) in entries.iter().zip(&sizes) {
        let (kind, slash) = match entry.kind {
            Kind::File => ("f", ""),
            Kind::Directory => ("d", "/"),
        };
        let date = text::date(entry.mtime);
        writeln!(out, "{kind}  {size:>width$}  {date}  {}{slash}", show(&entry.name))?;
    }
    Ok(())
}

/// One object per line, so that both `jq` and `grep` are at ease. JSON holds only Unicode: in `name` a byte that is
/// not UTF-8 becomes U+FFFD, while `encoded` is exact, as a path or in a URL.
fn write_json(out: &mut impl Write, entries: &[Entry]) -> io::Result<()> {
    out.write_all(b"[")?;
    for (index, entry) in entries.iter().enumerate() {
        let kind = match entry.kind {
            Kind::File => "file",
            Kind::Directory => "directory",
        };
        let mut encoded = String::new();
        push_url(&mut encoded, entry.name.as_encoded_bytes());
        let object = json!({
            "name": entry.name.to_string_lossy(),
            "encoded": encoded,
            "kind": kind,
            "size": entry.size,
            "mtime": entry.mtime,
        });
        write!(out, "{}\n  {object}", if index > 0 { "," } else { "" })?;
    }
    out.write_all(if entries.is_empty() { b"]\n" } else { b"\n]\n" })
}

fn get(
    remote: &mut Remote,
    names: &[OsString],
    output: Option<&Path>,
    resume: bool,
    outcome: &mut Outcome,
) {
    let to_stdout = output.is_some_and(|output| output.as_os_str() == "-");
    if to_stdout && resume {
        let message = "--resume needs a file: standard output keeps nothing".to_string();
        outcome.add(Err(Failure::Usage(message)));
        return;
    }
    let names = names::on_server(remote, names);
    let targets = if to_stdout { Ok(Vec::new()) } else { targets(&names, output) };
    let targets = match targets {
        Ok(targets) => targets,
        Err(failure) => {
            outcome.add(Err(failure));
            return;
        }
    };
    let mut targets = targets.into_iter();
    for name in names {
        let result = name.and_then(|name| match targets.next() {
            None => transfer::print(remote, &name),
            Some(target) => fetch(remote, &name, &target?, resume),
        });
        if outcome.add(result) {
            break;
        }
    }
}

fn fetch(remote: &mut Remote, name: &OsStr, target: &Path, resume: bool) -> Result<(), Failure> {
    match Destination::of(target)? {
        Destination::File(place) if resume => transfer::resume(remote, name, &place),
        Destination::File(place) => transfer::download(remote, name, &place),
        Destination::Stream(stream) if resume => Err(Failure::Usage(format!(
            "--resume needs a file: {} is not a regular one and keeps nothing",
            show(stream.path())
        ))),
        Destination::Stream(stream) => transfer::write_into(remote, name, &stream),
    }
}

/// Where each of the good names is saved. Decided before anything is fetched, so that no download
/// lands on top of another.
fn targets(
    names: &[Result<OsString, Failure>],
    output: Option<&Path>,
) -> Result<Vec<Result<PathBuf, Failure>>, Failure> {
    let names: Vec<&OsString> = names.iter().filter_map(|name| name.as_ref().ok()).collect();
    let directory = match output {
        None => Path::new(""),
        Some(output) if output.is_dir() => output,
        Some(output) if output.as_os_str().as_encoded_bytes().ends_with(b"/") => {
            return Err(Failure::Usage(format!("{} is not a folder here", show(output))));
        }
        Some(output) if names.len() <= 1 => {
            return Ok(names.iter().map(|_| Ok(output.to_path_buf())).collect());
        }
        Some(output) => {
            return Err(Failure::Usage(format!(
                "{} files cannot all be saved as {}: -o must be an existing folder",
                names.len(),
                show(output)
            )));
        }
    };
    distinct(&names, |name| local_name(name).ok().map(OsStr::to_os_string))?;
    // Links can lead two names to one file.
    distinct(&names, |name| match Destination::of(&directory.join(local_name(name).ok()?)) {
        Ok(Destination::File(place)) => Some(place.identity().into_os_string()),
        _ => None,
    })?;
    Ok(names.iter().map(|name| local_name(name).map(|local| directory.join(local))).collect())
}

fn put(
    remote: &mut Remote,
    files: &[PathBuf],
    name: Option<&OsStr>,
    dir: Option<&OsStr>,
    outcome: &mut Outcome,
) {
    let files = names::on_this_machine(files);
    let good: Vec<&PathBuf> = files.iter().filter_map(|file| file.as_ref().ok()).collect();
    let plan = match name {
        Some(name) if good.len() > 1 => Err(Failure::Usage(format!(
            "{} files cannot all be stored as {}: use --to with a folder",
            good.len(),
            show(name)
        ))),
        Some(_) => Ok(()),
        None => distinct(&good, |file| file.file_name().map(OsStr::to_os_string)),
    };
    if let Err(failure) = plan {
        outcome.add(Err(failure));
        return;
    }
    for file in files {
        let result = file.and_then(|file| {
            let name = match (name, file.file_name()) {
                (Some(name), _) => name.to_os_string(),
                (None, Some(local)) => join(dir.unwrap_or_default(), local),
                (None, None) => {
                    return Err(Failure::Usage(format!("'{}' does not name a file", show(&file))));
                }
            };
            transfer::upload(remote, &file, &name)
        });
        if outcome.add(result) {
            break;
        }
    }
}

/// Refuses two sources that would end up under one name.
fn distinct<S: AsRef<OsStr>>(
    sources: &[&S],
    name: impl Fn(&S) -> Option<OsString>,
) -> Result<(), Failure> {
    let mut seen: HashMap<OsString, &S> = HashMap::new();
    for source in sources {
        if let Some(name) = name(source)
            && let Some(other) = seen.insert(name.clone(), source)
        {
            return Err(Failure::Usage(format!(
                "{} and {} would both become {}: one at a time",
                show(other),
                show(source),
                show(name)
            )));
        }
    }
    Ok(())
}

fn hash(remote: &mut Remote, name: &OsStr) -> Result<(), Failure> {
    let source = remote.source()?;
    let digest = source.hash(name).map_err(|error| Failure::of_server(&show(name), error))?;
    // The form of sha256sum, whose -c can check it.
    let mut out = io::stdout().lock();
    writeln!(out, "{digest}  {}", show(name))
        .and_then(|()| out.flush())
        .map_err(|error| Failure::of_output(&error))
}
