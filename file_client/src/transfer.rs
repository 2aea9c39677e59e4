//! One download, one upload, each with its verification.

use std::ffi::{OsStr, OsString};
use std::fs::{self, File, OpenOptions, Permissions, TryLockError};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use file_service::client;
use file_service::human::format_size;
use indicatif::ProgressBar;
use nix::libc::O_NOFOLLOW;
use sha2::{Digest, Sha256};
use tempfile::NamedTempFile;

use crate::failure::{Failure, eprint_line};
use crate::interrupt;
use crate::names::show;
use crate::progress;
use crate::remote::{Remote, Source};
use crate::text::printable;

/// Fetches `name` into the file `target`, which appears when everything is there and verified.
pub(crate) fn download(remote: &mut Remote, name: &OsStr, target: &Path) -> Result<(), Failure> {
    let what = show(name);
    let source = remote.source()?;
    let mut temporary = temporary_next_to(target)?;
    let bar = progress::bar(name, false);
    let mut sink = Hashing::new(temporary.as_file_mut());
    let received = receive(source, name, 0, &mut sink, &bar).map_err(|error| match error {
        client::Error::Local(error) => Failure::of_file("write", target, &error),
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
    temporary.persist(target).map_err(|error| Failure::of_file("save", target, &error.error))?;
    progress::finish(&bar, &format!("{what}: {} received and verified", format_size(received)));
    Ok(())
}

/// Fetches `name` like [`download`], but keeps what arrived in a `.part` file beside `target`, and
/// goes on from what an earlier try kept.
pub(crate) fn resume(remote: &mut Remote, name: &OsStr, target: &Path) -> Result<(), Failure> {
    let what = show(name);
    let part = part_of(target);
    let source = remote.source()?;
    let mut file = open_part(&part)?;
    let bar = progress::bar(name, false);

    let mut sink = Hashing::new(&mut file);
    let kept = sink.hash_to_end().map_err(|error| Failure::of_file("read", &part, &error))?;
    let mut result = receive(source, name, kept, &mut sink, &bar);
    if kept > 0 && result.as_ref().is_err_and(|error| error.code() == Some("bad-range")) {
        // The file has become shorter than its part: another file, so from the start.
        sink.restart().map_err(|error| Failure::of_file("write", &part, &error))?;
        result = receive(source, name, 0, &mut sink, &bar);
    }
    let ours = sink.finish();
    if let Err(error) = result {
        let arrived = file.metadata().map_or(0, |meta| meta.len());
        if arrived == 0 {
            let _ = fs::remove_file(&part);
        }
        return Err(match error {
            client::Error::Local(error) => Failure::of_file("write", &part, &error),
            client::Error::Refused { .. } => Failure::of_server(&what, error),
            _ if arrived > 0
                && let Some(signal) = interrupt::signal() =>
            {
                bar.finish_and_clear();
                eprint_line(&format!(
                    "{}: {} kept, --resume goes on from there",
                    show(&part),
                    format_size(arrived)
                ));
                Failure::Interrupted(signal as u8)
            }
            error if arrived == 0 => Failure::Broken(format!("{what}: {error}; try again")),
            error => Failure::Broken(format!(
                "{what}: {error}; {} kept in {}, --resume goes on from there",
                format_size(arrived),
                show(&part)
            )),
        });
    }

    verify(source, name, &ours, &bar).map_err(|doubt| match doubt {
        VerificationError::Mismatch => {
            let _ = fs::remove_file(&part);
            doubt.failure(&what, "the part was thrown away, start again")
        }
        VerificationError::NoHash(_) => {
            doubt.failure(&what, &format!("kept in {}, --resume tries again", show(&part)))
        }
    })?;
    fs::rename(&part, target).map_err(|error| Failure::of_file("save", target, &error))?;
    let total = file.metadata().map_or(0, |meta| meta.len());
    progress::finish(&bar, &format!("{what}: {} received and verified", format_size(total)));
    Ok(())
}

/// Fetches `name` into standard output. What turns out wrong is told, but cannot be taken back.
pub(crate) fn print(remote: &mut Remote, name: &OsStr) -> Result<(), Failure> {
    let what = show(name);
    let source = remote.source()?;
    let bar = progress::bar(name, true);
    let mut output = io::stdout().lock();
    let mut sink = Hashing::new(&mut output);
    receive(source, name, 0, &mut sink, &bar).map_err(|error| match error {
        client::Error::Local(error) => Failure::of_output(&error),
        error => Failure::of_server(&what, error),
    })?;
    let ours = sink.finish();
    output.flush().map_err(|error| Failure::of_output(&error))?;
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
    let mut source = File::open(file).map_err(|error| unreadable(&error))?;
    let length = source.metadata().map_err(|error| unreadable(&error))?.len();

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

/// The `.part` file of a target.
fn part_of(target: &Path) -> PathBuf {
    let mut part = OsString::from(target);
    part.push(".part");
    part.into()
}

/// A temporary in the target's folder, since only there a rename is sure to work. It goes away
/// with its handle, and takes the permissions that any new file here would have.
fn temporary_next_to(target: &Path) -> Result<NamedTempFile, Failure> {
    let directory = match target.parent() {
        Some(directory) if directory != Path::new("") => directory,
        _ => Path::new("."),
    };
    tempfile::Builder::new()
        .prefix(".file_client-")
        .permissions(Permissions::from_mode(0o666))
        .tempfile_in(directory)
        .map_err(|error| Failure::of_file("write into", directory, &error))
}

/// Opens or makes the `.part` file, for this process alone.
fn open_part(part: &Path) -> Result<File, Failure> {
    let failed = |error: &io::Error| Failure::of_file("write", part, error);
    let file = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .custom_flags(O_NOFOLLOW)
        .open(part)
        .map_err(|error| failed(&error))?;
    let opened = file.metadata().map_err(|error| failed(&error))?;
    if !opened.is_file() {
        return Err(Failure::Refused(format!("{} is not a regular file", show(part))));
    }
    let mine = match file.try_lock() {
        // Another client may have landed it between the opening and the lock.
        Ok(()) => fs::symlink_metadata(part)
            .is_ok_and(|now| (now.dev(), now.ino()) == (opened.dev(), opened.ino())),
        Err(TryLockError::WouldBlock) => false,
        // A file system without locks: then there is none to respect.
        Err(TryLockError::Error(_)) => true,
    };
    if !mine {
        return Err(Failure::Refused(format!("{} is in use by another file_client", show(part))));
    }
    Ok(file)
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
struct Hashing<'a, F> {
    inner: &'a mut F,
    hash: Sha256,
}

impl<'a, F> Hashing<'a, F> {
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

impl<F: Read> Read for Hashing<'_, F> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let n = self.inner.read(buffer)?;
        self.hash.update(&buffer[..n]);
        Ok(n)
    }
}

impl<F: Write> Write for Hashing<'_, F> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let n = self.inner.write(bytes)?;
        self.hash.update(&bytes[..n]);
        Ok(n)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}
