//! What a tool prints and the files that it writes: complete or not at all, and never a panic.
//!
//! A reader of standard output may leave early (`| head -1`): what is printed after that is dropped, and the
//! program ends as it would have. A full disk is an error: one line on standard error, and exit code 1.
//! A file appears under its name when it is complete, by a rename.

use crate::text;
use std::fmt;
use std::fs::{self, File, OpenOptions, Permissions};
use std::io::{self, ErrorKind, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

/// The exit code for figures that are INVALID.
pub const INVALID: u8 = 3;

/// Standard output is a report, so text for people goes to standard error.
static TEXT_TO_STDERR: AtomicBool = AtomicBool::new(false);

/// Standard output cannot be written any more.
static CLOSED: AtomicBool = AtomicBool::new(false);

/// Why it cannot, if that is an error.
static ERROR: Mutex<Option<String>> = Mutex::new(None);

/// Prints a line of text for people on standard output, as `println!` does.
#[macro_export]
macro_rules! outln {
    () => { $crate::out::print(format_args!("\n")) };
    ($($arg:tt)*) => { $crate::out::print(format_args!("{}\n", format_args!($($arg)*))) };
}

/// Prints a line on standard error, as `eprintln!` does.
#[macro_export]
macro_rules! errln {
    ($($arg:tt)*) => { $crate::out::print_error(format_args!("{}\n", format_args!($($arg)*))) };
}

/// Prints on standard output, or on standard error once [`reserve_stdout`] was called. An error is kept for [`finish`].
pub fn print(text: fmt::Arguments<'_>) {
    if TEXT_TO_STDERR.load(Ordering::Relaxed) {
        return print_error(text);
    }
    // One write for a table, not one for each cell.
    keep_error(write_stdout(&text.to_string()));
}

/// Prints on standard error. An error has no place to be reported.
pub fn print_error(text: fmt::Arguments<'_>) {
    let _ = io::stderr().write_all(text.to_string().as_bytes());
}

/// Has text for people printed on standard error from now on, since a report goes to standard output.
pub fn reserve_stdout() {
    TEXT_TO_STDERR.store(true, Ordering::Relaxed);
}

fn write_stdout(text: &str) -> io::Result<()> {
    if CLOSED.load(Ordering::Relaxed) {
        return Ok(());
    }
    let mut stdout = io::stdout().lock();
    stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush())
}

/// Keeps the first error of standard output; a reader that has left is not an error.
pub fn keep_error(result: io::Result<()>) {
    let Err(error) = result else { return };
    CLOSED.store(true, Ordering::Relaxed);
    if error.kind() != ErrorKind::BrokenPipe
        && let Ok(mut kept) = ERROR.lock()
    {
        kept.get_or_insert(text::error(&error));
    }
}

/// Returns the exit code of a program that would end with `code`: 1 in place of 0 or of [`INVALID`] where standard output
/// could not be written. Prints the reason.
pub fn finish(program: &str, code: ExitCode) -> ExitCode {
    let error = ERROR.lock().ok().and_then(|mut kept| kept.take());
    let Some(error) = error else { return code };
    errln!("{program}: cannot write to standard output: {error}");
    match code == ExitCode::SUCCESS || code == ExitCode::from(INVALID) {
        true => ExitCode::FAILURE,
        false => code,
    }
}

/// Where a report goes.
enum Destination {
    Stdout,
    /// A device, a FIFO or a socket: written as it is.
    Device,
    /// A regular file with this path, which replaces one that exists.
    File(PathBuf),
}

fn destination(path: &Path) -> io::Result<Destination> {
    if is_stdout(path) {
        return Ok(Destination::Stdout);
    }
    match fs::metadata(path) {
        Ok(found) if found.is_dir() => Err(ErrorKind::IsADirectory.into()),
        Ok(found) if found.is_file() => Ok(Destination::File(fs::canonicalize(path)?)),
        Ok(_) => Ok(Destination::Device),
        Err(error) if error.kind() == ErrorKind::NotFound => {
            // A link to a file that does not exist yet stays a link.
            let target = fs::read_link(path).map(|target| directory(path).join(target));
            Ok(Destination::File(target.unwrap_or_else(|_| path.to_owned())))
        }
        Err(error) => Err(error),
    }
}

/// Whether a path means standard output: `-`, as in other tools, or its name in `/dev`.
pub fn is_stdout(path: &Path) -> bool {
    ["-", "/dev/stdout"].iter().any(|name| path.as_os_str() == *name)
}

/// Whether two paths, whose directories exist, mean one output.
fn is_same(one: &Path, other: &Path) -> bool {
    let whole = |path: &Path| {
        let real = match destination(path).ok()? {
            Destination::Stdout => return Some("-".into()),
            Destination::Device => path.to_owned(),
            Destination::File(path) => path,
        };
        Some(fs::canonicalize(directory(&real)).ok()?.join(real.file_name()?))
    };
    one == other || whole(one).is_some_and(|one| whole(other) == Some(one))
}

fn directory(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    }
}

/// A file next to `path` that has no name of its own yet; it has the permissions of the file that it will replace.
fn temporary(path: &Path) -> io::Result<tempfile::NamedTempFile> {
    let directory = directory(path);
    fs::create_dir_all(directory)?;
    let file = tempfile::Builder::new()
        .prefix(".report-")
        .permissions(Permissions::from_mode(0o666)) // less those of the umask
        .tempfile_in(directory)?;
    if let Ok(old) = fs::metadata(path) {
        file.as_file().set_permissions(old.permissions())?;
    }
    Ok(file)
}

fn named(path: &Path) -> impl Fn(io::Error) -> io::Error {
    move |error| {
        let why = match error.kind() {
            ErrorKind::IsADirectory => "it is a directory; name a file in it".into(),
            _ => text::error(&error),
        };
        io::Error::new(error.kind(), format!("cannot write {}: {why}", path.display()))
    }
}

/// Checks that a report can be written to `path`, before the work whose report it will be. Makes its directory if there
/// is none.
///
/// # Errors
///
/// It cannot; the error names the file.
pub fn check(path: &Path) -> io::Result<()> {
    let check = || match destination(path)? {
        Destination::Stdout => Ok(()),
        // Opening a FIFO would wait for its reader.
        Destination::Device => {
            rustix::fs::access(path, rustix::fs::Access::WRITE_OK).map_err(Into::into)
        }
        Destination::File(path) => temporary(&path)?.close(),
    };
    check().map_err(named(path))
}

/// Checks all outputs of a command, each named by its option.
///
/// # Errors
///
/// One cannot be written, or two are the same.
pub fn check_all(outputs: &[(&str, Option<&Path>)]) -> io::Result<()> {
    let given: Vec<(&str, &Path)> =
        outputs.iter().filter_map(|(option, path)| path.map(|path| (*option, path))).collect();
    for (nth, (option, path)) in given.iter().enumerate() {
        check(path)?;
        if let Some((other, _)) = given[..nth].iter().find(|other| is_same(other.1, path)) {
            let path = path.display();
            return Err(io::Error::other(format!("{other} and {option} both write to {path}")));
        }
    }
    if given.iter().any(|(_, path)| is_stdout(path)) {
        reserve_stdout();
    }
    Ok(())
}

/// Writes a report. A regular file appears under its name when it is complete, and replaces one that is there; a
/// device or a FIFO is written to as it is, and `-` is standard output. Makes the directory if there is none.
///
/// # Errors
///
/// The file system refuses; the error names the file.
pub fn write(path: &Path, text: &str) -> io::Result<()> {
    let write = || match destination(path)? {
        Destination::Stdout => match write_stdout(text) {
            // A reader that has left has what it wanted.
            Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(()),
            result => result,
        },
        Destination::Device => write_device(path, text),
        Destination::File(path) => {
            let mut file = temporary(&path)?;
            file.write_all(text.as_bytes())?;
            file.persist(path).map_err(|error| error.error)?;
            Ok(())
        }
    };
    write().map_err(named(path))
}

fn write_device(path: &Path, text: &str) -> io::Result<()> {
    let mut file: File = OpenOptions::new().write(true).open(path)?;
    file.write_all(text.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    #[test]
    fn report_replaces_file_and_keeps_mode() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("new/report");
        write(&path, "one").unwrap();
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        let made = directory.path().join("new/made");
        fs::write(&made, "").unwrap();
        assert_eq!(mode(&path), mode(&made), "that of the umask");
        fs::set_permissions(&path, Permissions::from_mode(0o640)).unwrap();
        let link = directory.path().join("link");
        symlink("new/report", &link).unwrap();
        write(&link, "two").unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "two");
        assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
        assert_eq!(mode(&path), 0o640);
        let dangling = directory.path().join("dangling");
        symlink("new/later", &dangling).unwrap();
        write(&dangling, "three").unwrap();
        assert_eq!(fs::read_to_string(directory.path().join("new/later")).unwrap(), "three");
        let left = fs::read_dir(directory.path().join("new")).unwrap().count();
        assert_eq!(left, 3, "no temporary file is left");
    }

    #[test]
    fn check_leaves_files_alone() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("report");
        fs::write(&path, "old").unwrap();
        check(&path).unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "old");
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1);
        for (wrong, why) in [
            (directory.path().to_owned(), "directory"),
            (path.join("below"), "not a directory"),
            ("/proc/report".into(), "/proc/report"),
            ("/dev/null/x".into(), "/dev/null/x"),
        ] {
            let error = check(&wrong).unwrap_err().to_string();
            assert!(error.contains(why) && !error.contains("os error"), "{error}");
        }
    }

    #[test]
    fn same_output_twice_is_refused() {
        let path = Path::new("/dev/null");
        let error = check_all(&[("--json", Some(path)), ("--csv", None), ("--html", Some(path))]);
        let error = error.unwrap_err().to_string();
        assert!(error.contains("--json and --html"), "{error}");
        let directory = tempfile::tempdir().unwrap();
        let at = |path: &str| directory.path().join(path);
        symlink("new", at("link")).unwrap();
        fs::create_dir(at("x")).unwrap();
        for (one, other) in [("new", "x/../new"), ("link", "new"), ("x/a", "./x/../x/a")] {
            let (one, other) = (at(one), at(other));
            let error = check_all(&[("--json", Some(&one)), ("--csv", Some(&other))]).unwrap_err();
            assert!(error.to_string().contains("--json and --csv both write to"), "{error}");
        }
        check_all(&[("--json", Some(&at("new"))), ("--csv", Some(&at("x/new")))]).unwrap();
    }

    #[test]
    fn device_is_written_directly() {
        write(Path::new("/dev/null"), "text").unwrap();
        check(Path::new("/dev/full")).unwrap();
        let error = write(Path::new("/dev/full"), "text").unwrap_err().to_string();
        assert_eq!(error, "cannot write /dev/full: no space left on device");
    }
}
