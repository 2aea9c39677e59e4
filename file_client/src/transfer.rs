//! One download, one upload, each with its verification.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::{self, Cursor, IsTerminal, Read, Seek, SeekFrom, Write};
use std::path::Path;

use file_service::client;
use file_service::human::format_size;
use indicatif::ProgressBar;
use sha2::{Digest, Sha256};

use crate::destination::{Place, Stream};
use crate::failure::{Failure, eprint_line};
use crate::interrupt;
use crate::names::show;
use crate::partial::Partial;
use crate::progress;
use crate::remote::{Remote, Source};
use crate::text::printable;

/// A file that calls itself no longer than this is read before its length is announced: more than the
/// largest page of a machine, which is the size that files of sysfs claim.
const READ_AHEAD: u64 = 128 * 1024;

/// Fetches `name` into `place`, where it appears when everything has arrived and is verified.
pub(crate) fn download(remote: &mut Remote, name: &OsStr, place: &Place) -> Result<(), Failure> {
    let what = show(name);
    let source = remote.source()?;
    let mut temporary = place.temporary()?;
    let bar = progress::bar(name, false);
    let mut sink = Hashing::new(&mut temporary.file);
    let received = receive(source, name, 0, &mut sink, &bar).map_err(|error| match error {
        client::Error::Local(error) => Failure::of_file("write", place.path(), &error),
        client::Error::Refused { .. }
        | client::Error::Connect(_)
        | client::Error::Unanswered { .. } => Failure::of_server(&what, error),
        error => Failure::Broken(format!(
            "{what}: {error}; nothing was saved (--resume keeps what arrived for the next try)"
        )),
    })?;
    let ours = sink.finish();
    verify(source, name, &ours, &bar)
        .map_err(|doubt| doubt.failure(&what, "nothing was saved, try again"))?;
    place.land(temporary)?;
    progress::finish(&bar, &format!("{what}: {} received and verified", format_size(received)));
    Ok(())
}

/// Fetches `name` like [`download`], but keeps what arrived in a partial file next to `place`, and
/// goes on from what an earlier try kept.
pub(crate) fn resume(remote: &mut Remote, name: &OsStr, place: &Place) -> Result<(), Failure> {
    let what = show(name);
    let addr = remote.addr().to_string();
    let source = remote.source()?;
    let mut partial = Partial::open(&addr, name, place)?;
    let path = partial.path().to_path_buf();
    let unusable = |doing: &str, error: &io::Error| Failure::of_file(doing, &path, error);
    let bar = progress::bar(name, false);

    let mut sink = Hashing::new(&mut partial.file);
    let kept = sink.hash_to_end().map_err(|error| unusable("read", &error))?;
    let mut result = receive(source, name, kept, &mut sink, &bar);
    if kept > 0 && result.as_ref().is_err_and(|error| error.code() == Some("bad-range")) {
        // The file has become shorter than its part: another file, so from the start.
        sink.restart().map_err(|error| unusable("write", &error))?;
        result = receive(source, name, 0, &mut sink, &bar);
    }
    let ours = sink.finish();
    if let Err(error) = result {
        let arrived = partial.length();
        if arrived == 0 {
            partial.remove();
        }
        return Err(match error {
            client::Error::Local(error) => unusable("write", &error),
            client::Error::Refused { .. } => Failure::of_server(&what, error),
            _ if arrived > 0
                && let Some(signal) = interrupt::signal() =>
            {
                bar.finish_and_clear();
                eprint_line(&format!(
                    "{}: {} kept, --resume goes on from there",
                    show(&path),
                    format_size(arrived)
                ));
                Failure::Interrupted(signal)
            }
            error if arrived == 0 => Failure::Broken(format!("{what}: {error}; try again")),
            error => Failure::Broken(format!(
                "{what}: {error}; {} kept in {}, --resume goes on from there",
                format_size(arrived),
                show(&path)
            )),
        });
    }

    verify(source, name, &ours, &bar).map_err(|doubt| match doubt {
        VerificationError::Mismatch => {
            partial.remove();
            doubt.failure(&what, "the part was thrown away, start again")
        }
        VerificationError::NoHash(_) => {
            doubt.failure(&what, &format!("kept in {}, --resume tries again", show(&path)))
        }
    })?;
    partial.land(place)?;
    let total = format_size(partial.length());
    progress::finish(&bar, &format!("{what}: {total} received and verified"));
    Ok(())
}

/// Fetches `name` into standard output.
pub(crate) fn print(remote: &mut Remote, name: &OsStr) -> Result<(), Failure> {
    let mut output = io::stdout().lock();
    let is_terminal = output.is_terminal();
    copy_into(remote, name, &mut output, is_terminal, &Failure::of_output)
}

/// Fetches `name` into a device or a FIFO.
pub(crate) fn write_into(
    remote: &mut Remote,
    name: &OsStr,
    stream: &Stream,
) -> Result<(), Failure> {
    // First, for the reader of a FIFO may take longer than the server waits.
    let mut output = stream.open()?;
    let is_terminal = output.is_terminal();
    let failed = |error: &io::Error| Failure::of_file("write", stream.path(), error);
    copy_into(remote, name, &mut output, is_terminal, &failed)
}

/// Fetches `name` into `output`. What turns out wrong is reported, but cannot be taken back.
fn copy_into(
    remote: &mut Remote,
    name: &OsStr,
    output: &mut dyn Write,
    is_terminal: bool,
    failed: &dyn Fn(&io::Error) -> Failure,
) -> Result<(), Failure> {
    let what = show(name);
    let source = remote.source()?;
    let bar = progress::bar(name, is_terminal);
    let mut sink = Hashing::new(&mut *output);
    receive(source, name, 0, &mut sink, &bar).map_err(|error| match error {
        client::Error::Local(error) => failed(&error),
        error => Failure::of_server(&what, error),
    })?;
    let ours = sink.finish();
    output.flush().map_err(|error| failed(&error))?;
    verify(source, name, &ours, &bar)
        .map_err(|doubt| doubt.failure(&what, "do not use what was written"))?;
    bar.finish_and_clear();
    Ok(())
}

/// Stores the local `file` as `name`.
pub(crate) fn upload(remote: &mut Remote, file: &Path, name: &OsStr) -> Result<(), Failure> {
    let what = show(name);
    let unreadable = |error: &io::Error| Failure::of_file("read", file, error);
    // Asked before opening, for opening a FIFO would wait for its other end.
    if !fs::metadata(file).map_err(|error| unreadable(&error))?.is_file() {
        let message = format!("cannot read {}: not a regular file", show(file));
        return Err(Failure::Refused(message));
    }
    let (mut source, length) =
        File::open(file).and_then(content).map_err(|error| unreadable(&error))?;

    let client = remote.client()?;
    let bar = progress::bar(file.file_name().unwrap_or(name), false);
    bar.set_length(length);
    let mut source = Hashing::new(&mut source);
    client.put_from(name, length, &mut source, &mut |sent, _| bar.set_position(sent)).map_err(
        |error| match error {
            client::Error::Local(error) => unreadable(&error),
            error => Failure::of_server(&what, error),
        },
    )?;
    let ours = source.finish();
    verify(client, name, &ours, &bar)
        .map_err(|doubt| doubt.failure(&what, "check what the server has, or put it again"))?;
    progress::finish(&bar, &format!("{what}: {} stored and verified", format_size(length)));
    Ok(())
}

/// The bytes of a regular file, and their number.
///
/// The kernel makes up the content of some files, as in `/proc` and sysfs, and their size is 0 or a
/// page. So what may be such a file is read before its length is announced.
fn content(mut file: File) -> io::Result<(Box<dyn Read>, u64)> {
    let length = file.metadata()?.len();
    if length > READ_AHEAD {
        return Ok((Box::new(file), length));
    }
    // Of a file that grows meanwhile, no more than it had.
    let limit = if length == 0 { READ_AHEAD } else { length };
    let mut start = Vec::with_capacity(usize::try_from(limit).unwrap_or_default());
    (&mut file).take(limit).read_to_end(&mut start)?;
    let read = start.len() as u64;
    if length > 0 || read < limit {
        return Ok((Box::new(Cursor::new(start)), read));
    }
    let mut whole = tempfile::tempfile()?;
    whole.write_all(&start)?;
    while start.len() as u64 == limit {
        start.clear();
        (&mut file).take(limit).read_to_end(&mut start)?;
        whole.write_all(&start)?;
    }
    let length = whole.stream_position()?;
    whole.rewind()?;
    Ok((Box::new(whole), length))
}

/// Receives from `offset` on, and shows it.
fn receive(
    source: &mut dyn Source,
    name: &OsStr,
    offset: u64,
    sink: &mut dyn Write,
    bar: &ProgressBar,
) -> Result<u64, client::Error> {
    source.get_to(name, offset, sink, &mut |done, expected| {
        // By datagram it is learned on the way.
        bar.set_length(offset.saturating_add(expected));
        if done == 0 {
            bar.set_position(offset);
            // What was there before says nothing about the rate.
            bar.reset_eta();
        }
        bar.set_position(offset.saturating_add(done));
    })
}

/// Asks the server for the hash of its file and compares.
fn verify(
    source: &mut dyn Source,
    name: &OsStr,
    ours: &str,
    bar: &ProgressBar,
) -> Result<(), VerificationError> {
    progress::verifying(bar);
    match source.hash(name) {
        Ok(theirs) if theirs == ours => Ok(()),
        Ok(_) => Err(VerificationError::Mismatch),
        // A server that does not know the request at all, such as a small one of somebody's own.
        Err(client::Error::Refused { code, .. }) if code == "bad-command" => {
            bar.suspend(|| {
                eprint_line(&format!("{}: not verified, the server has no HASH", show(name)));
            });
            Ok(())
        }
        Err(error) => Err(VerificationError::NoHash(error)),
    }
}

/// Why a transfer counts as not verified.
enum VerificationError {
    Mismatch,
    NoHash(client::Error),
}

impl VerificationError {
    fn failure(&self, what: &str, advice: &str) -> Failure {
        Failure::Broken(match self {
            VerificationError::Mismatch => format!(
                "{what}: verification failed, the file was changed on the server or damaged on \
                 the way; {advice}"
            ),
            VerificationError::NoHash(error) => format!(
                "{what}: verification failed, the server's hash is not to be had: {}; {advice}",
                printable(error.to_string().as_bytes())
            ),
        })
    }
}

/// A file whose bytes are hashed on their way through.
struct Hashing<'a, F: ?Sized> {
    inner: &'a mut F,
    hash: Sha256,
}

impl<'a, F: ?Sized> Hashing<'a, F> {
    fn new(inner: &'a mut F) -> Hashing<'a, F> {
        Hashing { inner, hash: Sha256::new() }
    }

    /// The hash of what went through, as the protocol writes it.
    fn finish(self) -> String {
        self.hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
    }
}

impl Hashing<'_, File> {
    /// Reads the file to its end, for the hash. Returns its length.
    fn hash_to_end(&mut self) -> io::Result<u64> {
        let mut buffer = vec![0; 256 * 1024];
        while self.read(&mut buffer)? > 0 {}
        self.inner.stream_position()
    }

    /// Begins again with an empty file.
    fn restart(&mut self) -> io::Result<()> {
        self.hash = Sha256::new();
        self.inner.set_len(0)?;
        self.inner.seek(SeekFrom::Start(0)).map(drop)
    }
}

impl<F: Read + ?Sized> Read for Hashing<'_, F> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let n = self.inner.read(buffer)?;
        self.hash.update(&buffer[..n]);
        Ok(n)
    }
}

impl<F: Write + ?Sized> Write for Hashing<'_, F> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let n = self.inner.write(bytes)?;
        self.hash.update(&bytes[..n]);
        Ok(n)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}
