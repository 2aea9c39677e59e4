//! File work that may take long: a session hands it out as a [`Job`] and takes the [`Outcome`] back.

use super::{Phase, Session};
use crate::http;
use crate::protocol::{RelPath, encode_name};
use crate::service::Service;
use crate::store::{self, Entry, Failure, Kind, Upload};
use std::fs::File;
use std::io::Write;
use std::os::fd::OwnedFd;
use std::panic::{AssertUnwindSafe, catch_unwind};

/// File work that may take long. It holds nothing of the connection, so it may run on any thread.
#[derive(Debug)]
pub struct Job {
    service: Service,
    work: FileWork,
}

#[derive(Debug)]
pub(super) enum FileWork {
    Hash(File),
    List { path: RelPath, directory: OwnedFd, format: ListFormat },
    Commit(Upload),
}

#[derive(Debug)]
pub(super) enum ListFormat {
    Lines,
    Page { view: http::View, host: Option<Box<[u8]>> },
    Json,
}

/// The result of a [`Job`]; [`Session::resume`] takes it.
#[derive(Debug)]
pub struct Outcome(Result<Output, Failure>);

#[derive(Debug)]
enum Output {
    Text(Vec<u8>),
    Document(Vec<u8>),
    Committed { created: bool },
}

impl Job {
    /// Runs the job as [`run`](Job::run) does, and catches a panic: then there is no outcome, and the session must be
    /// dropped. For a thread that runs jobs of many clients: the panic costs only the client whose job it was.
    pub fn attempt(self) -> Option<Outcome> {
        catch_unwind(AssertUnwindSafe(|| self.run())).ok()
    }

    /// Runs the job, and blocks until it is done.
    pub fn run(self) -> Outcome {
        let start = self.service.moment();
        let name = match self.work {
            FileWork::Hash(_) => "job hash",
            FileWork::List { .. } => "job list",
            FileWork::Commit(_) => "job land",
        };
        let outcome = Outcome(match self.work {
            FileWork::Hash(file) => store::hash(&file).map(Output::Text),
            FileWork::Commit(upload) => {
                upload.commit().map(|created| Output::Committed { created })
            }
            FileWork::List { path, directory, format } => {
                self.service.store().list(&path, directory).map(|entries| match format {
                    ListFormat::Lines => Output::Text(listing(&entries)),
                    ListFormat::Page { view, host } => {
                        let server = server_info(&self.service, host.as_deref());
                        Output::Document(http::page(&path, entries, view, server))
                    }
                    ListFormat::Json => Output::Document(http::json(&entries)),
                })
            }
        });
        if let Some(trace) = self.service.trace() {
            trace.job(name, start);
        }
        outcome
    }
}

impl Session {
    /// Has the next [`Step`](super::Step) hand out `work`.
    pub(super) fn offload(&mut self, work: FileWork) {
        self.phase = Phase::Offloaded(Some(Job { service: self.service.clone(), work }));
    }

    /// Takes back the outcome of a [`Job`] and begins the reply.
    pub fn resume(&mut self, outcome: Outcome) {
        match outcome.0 {
            Ok(Output::Text(text)) => self.reply_text(&text),
            Ok(Output::Document(document)) => self.reply_document(document),
            Ok(Output::Committed { created }) => self.reply_committed(created),
            Err(failure) => self.fail(failure),
        }
    }
}

/// What the page of a directory shows of its server.
fn server_info<'a>(service: &'a Service, host: Option<&'a [u8]>) -> http::ServerInfo<'a> {
    let settings = service.settings();
    http::ServerInfo {
        model: settings.model.as_ref().map(|model| (model.name, model.unit)),
        upload_limit: service.store().is_writable().then_some(settings.max_file_size),
        host,
    }
}

/// Returns a listing in the file protocol: one line for each entry.
pub(crate) fn listing(entries: &[Entry]) -> Vec<u8> {
    let mut text = Vec::with_capacity(entries.len() * 48);
    for Entry { kind, size, mtime, name } in entries {
        let kind = match kind {
            Kind::File => 'f',
            Kind::Directory => 'd',
        };
        // Writing to a Vec cannot fail.
        let _ = write!(text, "{kind} {size} {mtime} ");
        encode_name(name, &mut text);
        text.push(b'\n');
    }
    text
}
