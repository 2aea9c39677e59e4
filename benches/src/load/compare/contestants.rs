//! Contestants: the servers that take part in a comparison.

use super::third_party::{self, ThirdParty};
use crate::load::engine::Target;
use crate::load::failure::Failure;
use crate::load::process::{self, myself};
use crate::load::workload::{Lifetime, Mix, Workload};
use crate::{Placement, Server, VARIANTS, Variant};
use std::fs;
use std::io;
use std::path::Path;

/// A server that takes part.
#[derive(Clone, Debug)]
pub struct Contestant {
    /// Its name in reports.
    pub name: String,
    pub(super) kind: Kind,
}

#[derive(Clone, Debug)]
pub(super) enum Kind {
    /// A variant of one of the models.
    Variant(&'static Variant),
    /// A program that speaks the file protocol, with its options.
    Program(Vec<String>),
    /// A third-party server that is installed here.
    ThirdParty(ThirdParty),
    /// A bare loop of system calls: [`crate::load::bare`].
    Bare,
    /// A server that is running already.
    Running(Target),
}

/// How contestants are named on the command line.
pub(super) struct Words<'a> {
    pub(super) variants: &'a [String],
    pub(super) programs: &'a [String],
    pub(super) against: &'a [String],
    /// Whether the files of a server that runs already can be made: its directory is known.
    pub(super) directory_is_known: bool,
}

impl From<&'static Variant> for Contestant {
    fn from(variant: &'static Variant) -> Contestant {
        Contestant { name: variant.label.into(), kind: Kind::Variant(variant) }
    }
}

impl Contestant {
    /// Whether HTTP is the only protocol that it is sure to speak.
    pub(super) fn needs_http(&self) -> bool {
        matches!(self.kind, Kind::ThirdParty(_) | Kind::Running(_))
    }

    /// Why it cannot serve a workload, if it cannot.
    pub(super) fn unsupported(&self, workload: &Workload) -> Option<String> {
        let stay = !matches!(workload.lifetime, Lifetime::PerRequest);
        let Mix { put, list, hash, .. } = workload.mix;
        match &self.kind {
            Kind::Variant(variant) if stay && workload.connections > variant.capacity() => {
                Some(match variant.capacity() {
                    1 => "serves one client at a time, so it cannot serve several that stay".into(),
                    most => format!("serves {most} clients at a time, so no more can stay"),
                })
            }
            Kind::ThirdParty(_) | Kind::Running(_) if put + list + hash > 0 => {
                Some("answers GET alone".into())
            }
            Kind::Bare if list + hash > 0 => Some("answers GET and PUT alone".into()),
            _ => None,
        }
    }

    /// What a reader has to know of it, in a line.
    pub(super) fn note(&self) -> Option<String> {
        match &self.kind {
            Kind::Variant(variant) => {
                let options = variant.options.join(" ");
                Some(options).filter(|options| !options.is_empty())
            }
            Kind::Program(line) => Some(line.join(" ")),
            Kind::ThirdParty(server) => Some(server.note.clone()),
            Kind::Bare => Some("a bare loop of system calls: sendfile, recv and write".into()),
            Kind::Running(Target { authority, .. }) => {
                Some(format!("running on {authority}, not watched from outside"))
            }
        }
    }

    /// All of what it runs, if it is a third-party server: its name, its note and its configuration.
    pub(super) fn configuration(&self) -> Option<String> {
        let Kind::ThirdParty(server) = &self.kind else { return None };
        let indented = server.configuration.lines().map(|line| format!("    {line}\n"));
        Some(format!("{}: {}\n{}", server.name, server.note, indented.collect::<String>()))
    }

    /// Starts it on the server's core, for so many clients; `None` if it runs already.
    pub(super) fn start(
        &self,
        root: &Path,
        connections: usize,
        placement: Placement,
    ) -> io::Result<Option<Server>> {
        let server = match &self.kind {
            Kind::Running(_) => return Ok(None),
            Kind::Variant(variant) => process::serve(variant, root, connections, placement)?,
            Kind::ThirdParty(server) => server.start(myself("become")?, placement)?,
            Kind::Bare => {
                let mut bare = myself("bare")?;
                bare.arg(root);
                Server::spawn(bare, placement)?
            }
            Kind::Program(line) => {
                let mut program = myself("become")?;
                program.args(line).args(["--addr", "127.0.0.1:0", "--root"]).arg(root);
                Server::spawn(program, placement)?
            }
        };
        Ok(Some(server))
    }

    /// Where it listens, if it runs already.
    pub(super) fn address(&self) -> Option<&Target> {
        match &self.kind {
            Kind::Running(target) => Some(target),
            _ => None,
        }
    }

    /// The variant that it is, if it is one.
    pub(super) fn variant(&self) -> Option<&'static Variant> {
        match self.kind {
            Kind::Variant(variant) => Some(variant),
            _ => None,
        }
    }
}

/// The contestants that the command line names; by default, each model in its default variant.
pub(super) fn named(
    words: &Words<'_>,
    directory: &Path,
    root: &Path,
) -> Result<Vec<Contestant>, Failure> {
    let mut all: Vec<Contestant> = Vec::new();
    for word in words.variants {
        if word == "all" {
            all.extend(VARIANTS.iter().map(Contestant::from));
        } else {
            all.push(variant(word)?.into());
        }
    }
    for word in words.programs {
        all.push(program(word)?);
    }
    if all.is_empty() {
        all.extend(VARIANTS.iter().filter(|v| v.is_default()).map(Contestant::from));
    }
    for (nth, word) in words.against.iter().enumerate() {
        if words.against[..nth].contains(word) {
            return Err(named_twice(word));
        }
        if word == "bare" {
            all.push(Contestant { name: "bare".into(), kind: Kind::Bare });
        } else if third_party::WORDS.contains(&word.as_str()) {
            let found = third_party::find(word, directory, root)?;
            found.skipped.iter().for_each(|line| crate::outln!("{line}"));
            all.extend(found.servers.into_iter().map(|server| Contestant {
                name: server.name.clone(),
                kind: Kind::ThirdParty(server),
            }));
        } else {
            let target = running(word)?;
            let name = target.name.clone();
            if !words.directory_is_known {
                let why = format!(
                    "{name} runs already: --root DIR makes the files in a directory that it serves"
                );
                return Err(Failure::Unusable(why));
            }
            all.push(Contestant { name, kind: Kind::Running(target) });
        }
    }
    for at in 1..all.len() {
        if all[..at].iter().any(|other| other.name == all[at].name) {
            return Err(named_twice(&all[at].name));
        }
    }
    Ok(all)
}

fn named_twice(name: &str) -> Failure {
    Failure::Unusable(format!("{name} is named twice: leave one of them out"))
}

/// The variant of this name.
///
/// # Errors
///
/// There is none.
pub fn variant(word: &str) -> Result<&'static Variant, Failure> {
    VARIANTS.iter().find(|variant| variant.is_called(word)).ok_or_else(|| {
        let labels: Vec<&str> = VARIANTS.iter().map(|variant| variant.label).collect();
        Failure::Unusable(format!("no server {word:?}; there are {}", labels.join(", ")))
    })
}

fn program(word: &str) -> Result<Contestant, Failure> {
    let usage = || Failure::Unusable(format!("{word:?} is not NAME=PROGRAM [OPTION...]"));
    let (name, line) = word.split_once('=').filter(|(n, _)| !n.is_empty()).ok_or_else(usage)?;
    // A path may hold a space, too.
    let line: Vec<String> = match Path::new(line).is_file() {
        true => vec![line.to_owned()],
        false => line.split_whitespace().map(str::to_owned).collect(),
    };
    let program = line.first().ok_or_else(usage)?;
    fs::metadata(program)
        .map_err(|e| Failure::Unusable(format!("{program}: {}", crate::text::error(&e))))?;
    Ok(Contestant { name: name.into(), kind: Kind::Program(line) })
}

fn running(word: &str) -> Result<Target, Failure> {
    let usage = || {
        let why = format!(
            "{word:?} is none of {}, bare and NAME=HOST:PORT",
            third_party::WORDS.join(", ")
        );
        Failure::Unusable(why)
    };
    let (name, addr) = word.split_once('=').ok_or_else(usage)?;
    if name.is_empty() {
        return Err(usage());
    }
    let target = Target::resolve(addr);
    let target = target.map_err(|why| Failure::Unusable(format!("{word:?}: {why}")))?;
    Ok(Target { name: name.to_owned(), ..target })
}

/// The server that ratios are to unless another is named: nginx where it takes part, else the first that serves many
/// clients at once, and so takes part in every case.
pub fn default_baseline(contestants: &[Contestant]) -> Option<String> {
    let nginx = contestants.iter().find(|contestant| contestant.name == "nginx");
    let many = |contestant: &&Contestant| contestant.variant().is_none_or(|variant| variant.many);
    let best = nginx.or_else(|| contestants.iter().find(many)).or(contestants.first());
    best.map(|contestant| contestant.name.clone())
}

/// The baseline that the command line names.
pub(super) fn baseline(contestants: &[Contestant], word: &str) -> Result<String, Failure> {
    let called = |contestant: &&Contestant| {
        contestant.name == word || contestant.variant().is_some_and(|v| v.is_called(word))
    };
    let found = contestants.iter().find(called);
    let unknown = || Failure::Unusable(format!("the baseline {word:?} does not take part"));
    Ok(found.ok_or_else(unknown)?.name.clone())
}

#[cfg(test)]
mod tests;
