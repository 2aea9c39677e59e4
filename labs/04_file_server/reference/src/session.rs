//! One client's session in the file protocol, without a socket: bytes come in, bytes go out.
//!
//! Nothing in here waits, so every server can use it, however it waits: one client at a time, a process or a
//! thread for each client, or one thread that asks the kernel who is ready.
//!
//! | request | reply |
//! |---|---|
//! | `LIST [dir]` | `OK n`, then n bytes: a line `f SIZE MTIME NAME` or `d 0 MTIME NAME` for every entry, sorted by name |
//! | `GET path` | `OK n`, then the n bytes of the file |
//! | `PUT path n`, then n bytes | `OK 0`, when the whole file is in its place |
//! | `QUIT` | `OK 0`, then the end of the connection |
//!
//! Every line ends with one LF byte, and a CR before it is dropped. What cannot be done is answered by
//! `ERR code message`. In paths and names, `%XX` stands for a byte that a line cannot hold.

// lab:canary kingfisher-04
use std::ffi::OsStr;
use std::fmt::Write as _;
use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::mem;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::process;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::UNIX_EPOCH;

/// The longest request line, in bytes, its LF included.
pub const LINE_MAX: usize = 4096;

/// How much of a file is in memory at once, in bytes.
const CHUNK: usize = 64 * 1024;

/// The largest file that is taken, in bytes.
const FILE_MAX: u64 = 1 << 30;

/// The names of files that are not complete begin with it. Nobody can ask for such a name.
const PARTIAL: &str = ".partial-";

/// One client's session.
pub struct Session {
    root: PathBuf,
    input: Vec<u8>,
    output: Vec<u8>,
    state: State,
    /// The client sends no more.
    ended: bool,
}

enum State {
    /// Between two requests.
    Command,
    /// A file goes out: so many bytes of it are left.
    Sending(File, u64),
    /// A file comes in: so many bytes of it are left. An upload that was refused is an error until its last byte has come.
    Receiving(Result<Upload>, u64),
    /// The last reply was made.
    Over,
}

/// Why a request is refused: a code of the protocol, and a message for people.
struct Refusal(&'static str, &'static str);

type Result<T> = std::result::Result<T, Refusal>;

impl From<io::Error> for Refusal {
    fn from(error: io::Error) -> Refusal {
        match error.kind() {
            io::ErrorKind::NotFound => Refusal("not-found", "there is no such file"),
            io::ErrorKind::NotADirectory => Refusal("not-found", "the path runs through a file"),
            io::ErrorKind::PermissionDenied => Refusal("denied", "the system refuses access"),
            io::ErrorKind::IsADirectory => Refusal("not-a-file", "this is a folder"),
            io::ErrorKind::StorageFull => Refusal("no-space", "the disk is full"),
            io::ErrorKind::InvalidFilename => Refusal("bad-path", "the path is too long"),
            _ => Refusal("internal", "the server could not do it"),
        }
    }
}

impl Session {
    /// A session that serves the files below `root`.
    pub fn new(root: &Path) -> io::Result<Session> {
        let root = root.canonicalize()?;
        let (input, output) = (Vec::new(), Vec::new());
        Ok(Session { root, input, output, state: State::Command, ended: false })
    }

    /// Takes what the client has sent: any number of bytes, cut anywhere.
    pub fn received(&mut self, bytes: &[u8]) {
        self.input.extend_from_slice(bytes);
        self.advance();
    }

    /// The client sends no more. What it has asked for before is still answered.
    pub fn ended(&mut self) {
        self.ended = true;
        self.advance();
    }

    /// Whether more input is of use now. While a reply waits to be sent, it is not.
    pub fn wants_input(&self) -> bool {
        self.output.is_empty()
            && !self.ended
            && matches!(self.state, State::Command | State::Receiving(..))
    }

    /// What is to be sent next; empty if there is nothing to send at the moment.
    ///
    /// # Errors
    ///
    /// The file that is being sent cannot be read or has become shorter. The length was promised, so only the
    /// end of the connection can tell the client.
    pub fn output(&mut self) -> io::Result<&[u8]> {
        // The head of a reply goes with the first bytes of the file: a small write of its own would cost a packet, and
        // what comes after it might have to wait for its acknowledgement.
        if self.output.len() < CHUNK {
            self.refill()?;
        }
        Ok(&self.output)
    }

    /// So much of the output was sent.
    pub fn sent(&mut self, count: usize) {
        self.output.drain(..count);
        if self.output.is_empty() && !matches!(self.state, State::Sending(..)) {
            self.advance();
        }
    }

    /// Whether the session is over, and all output is sent.
    pub fn is_over(&self) -> bool {
        matches!(self.state, State::Over) && self.output.is_empty()
    }

    /// Does what can be done with the input that is there.
    fn advance(&mut self) {
        // One reply at a time: whoever asks and does not read has to wait.
        while self.output.is_empty() {
            match &mut self.state {
                State::Command => match self.next_line() {
                    Some(line) => self.answer(&line),
                    None => break,
                },
                State::Receiving(_, left) if *left > 0 && self.input.is_empty() => break,
                State::Receiving(..) => self.receive(),
                State::Sending(..) | State::Over => return,
            }
        }
        // What is left now is half a request or half a file, and the other half will never come.
        if self.ended && self.output.is_empty() {
            self.state = State::Over;
        }
    }

    /// Takes the next whole line out of the input, without its end.
    fn next_line(&mut self) -> Option<Vec<u8>> {
        // lab:hole line
        let end = self.input.iter().take(LINE_MAX).position(|byte| *byte == b'\n');
        let Some(end) = end else {
            if self.input.len() >= LINE_MAX {
                self.refuse(&Refusal("line-too-long", "a request has at most 4096 bytes"));
                self.state = State::Over;
            }
            return None;
        };
        let mut line: Vec<u8> = self.input.drain(..=end).collect();
        line.pop();
        if line.last() == Some(&b'\r') {
            line.pop();
        }
        Some(line)
        // lab:stub // `received` is called with whatever has arrived: half a line, or three. And if no LF ever comes?
        // lab:stub todo!("take one line out of self.input, if a whole one is there")
        // lab:end
    }

    fn refuse(&mut self, Refusal(code, message): &Refusal) {
        self.output.extend_from_slice(format!("ERR {code} {message}\n").as_bytes());
    }

    /// Answers one request.
    fn answer(&mut self, line: &[u8]) {
        let Ok(line) = str::from_utf8(line) else {
            return self.refuse(&Refusal("bad-command", "the request is not UTF-8"));
        };
        let words: Vec<&str> = line.split(' ').collect();
        let (verb, arguments) = (words[0].to_ascii_uppercase(), &words[1..]);
        let is_plain = arguments.iter().all(|word| !word.is_empty());
        let done = match (&verb[..], arguments) {
            ("LIST", []) => self.list("/"),
            ("LIST", [path]) if is_plain => self.list(without_slash(path)),
            ("GET", [path]) if is_plain => self.get(path),
            ("PUT", [path, length]) if is_plain => self.put(path, length),
            ("QUIT", []) => {
                // lab:hole quit
                self.output.extend_from_slice(b"OK 0\n");
                self.state = State::Over;
                Ok(())
                // lab:stub todo!("answer, and end this session")
                // lab:end
            }
            ("LIST" | "GET" | "QUIT", _) => {
                Err(Refusal("bad-argument", "the number of arguments is wrong, or one is empty"))
            }
            ("PUT", _) => {
                // Nobody knows where the next request begins.
                self.state = State::Over;
                Err(Refusal("bad-argument", "expected PUT, a path and a length"))
            }
            _ => Err(Refusal("bad-command", "expected LIST, GET, PUT or QUIT")),
        };
        if let Err(refusal) = done {
            self.refuse(&refusal);
        }
    }

    /// The real path of an existing file or directory that a client names; it is below the root.
    fn existing(&self, path: &str) -> Result<PathBuf> {
        // lab:hole existing
        let found = self.root.join(relative(path)?).canonicalize()?;
        if !found.starts_with(&self.root) {
            return Err(Refusal("bad-path", "the path leads out of the served folder"));
        }
        Ok(found)
        // lab:stub // `relative` gives the path's components; what can a link do?
        // lab:stub todo!("find the file, and make sure that it is below self.root")
        // lab:end
    }

    fn list(&mut self, path: &str) -> Result<()> {
        // lab:hole list
        let directory = self.existing(path)?;
        if !directory.is_dir() {
            return Err(Refusal("not-a-directory", "this is not a folder"));
        }
        let mut rows = Vec::new();
        for entry in fs::read_dir(directory)? {
            let entry = entry?;
            rows.extend(self.row(&entry.path()).map(|row| (entry.file_name(), row)));
        }
        rows.sort();
        let body: String = rows.into_iter().map(|(_, row)| row).collect();
        self.output.extend_from_slice(format!("OK {}\n", body.len()).as_bytes());
        self.output.extend_from_slice(body.as_bytes());
        Ok(())
        // lab:stub // `self.row` makes the line of an entry. In which order, and what comes before them?
        // lab:stub todo!("a line for every entry, sorted, behind a head with their length")
        // lab:end
    }

    /// The line of an entry in a listing, with its end; None for what is not listed.
    fn row(&self, entry: &Path) -> Option<String> {
        let name = entry.file_name()?.as_bytes();
        let real = entry.canonicalize().ok().filter(|real| real.starts_with(&self.root))?;
        if name.starts_with(PARTIAL.as_bytes()) || name.iter().any(u8::is_ascii_control) {
            return None;
        }
        let (metadata, name) = (real.metadata().ok()?, encode(name));
        let time = metadata.modified().ok()?.duration_since(UNIX_EPOCH).map_or(0, |t| t.as_secs());
        match metadata.file_type() {
            kind if kind.is_file() => Some(format!("f {} {time} {name}\n", metadata.len())),
            kind if kind.is_dir() => Some(format!("d 0 {time} {name}\n")),
            _ => None,
        }
    }

    /// The head of the reply goes out at once; the file follows in pieces, see `refill`.
    fn get(&mut self, path: &str) -> Result<()> {
        let found = self.existing(path)?;
        if !found.metadata()?.is_file() {
            return Err(Refusal("not-a-file", "this is not a file"));
        }
        let file = File::open(found)?;
        let size = file.metadata()?.len();
        self.output.extend_from_slice(format!("OK {size}\n").as_bytes());
        self.state = State::Sending(file, size);
        Ok(())
    }

    /// Adds the next piece of the file that goes out to the output.
    fn refill(&mut self) -> io::Result<()> {
        let State::Sending(file, left) = &mut self.state else { return Ok(()) };
        if *left > 0 {
            // lab:hole refill
            let mut piece = vec![0; CHUNK.min(usize::try_from(*left).unwrap_or(CHUNK))];
            let count = file.read(&mut piece)?;
            if count == 0 {
                return Err(io::Error::other("the file has become shorter"));
            }
            *left -= count as u64;
            self.output.extend_from_slice(&piece[..count]);
            return Ok(());
            // lab:stub // The file may have changed since its length was promised.
            // lab:stub todo!("add a piece of the file to self.output, and count it")
            // lab:end
        }
        self.state = State::Command;
        self.advance();
        Ok(())
    }

    fn put(&mut self, path: &str, length: &str) -> Result<()> {
        let Some(length) = number(length).filter(|length| *length <= FILE_MAX) else {
            self.state = State::Over;
            return Err(match number(length) {
                Some(_) => Refusal("too-large", "the server takes no file of this size"),
                None => Refusal("bad-argument", "the length is not a number"),
            });
        };
        // lab:hole put
        let upload = relative(path).and_then(|path| Upload::begin(&self.root, &path));
        // If it is refused, its bytes come all the same, and are no requests.
        self.state = State::Receiving(upload, length);
        Ok(())
        // lab:stub // `relative` and `Upload::begin` may refuse. The client sends its `length` bytes all the same.
        // lab:stub todo!("begin an upload: State::Receiving")
        // lab:end
    }

    /// Takes a piece of the file that comes in, and answers when that was the last one.
    fn receive(&mut self) {
        let State::Receiving(upload, left) = &mut self.state else { return };
        // lab:hole receive
        let count = self.input.len().min(usize::try_from(*left).unwrap_or(usize::MAX));
        let piece: Vec<u8> = self.input.drain(..count).collect();
        *left -= count as u64;
        if let Ok(open) = upload
            && let Err(error) = open.file.write_all(&piece)
        {
            *upload = Err(error.into());
        }
        // lab:stub // What else may be in the input? And where do the bytes of a refused upload go?
        // lab:stub todo!("take out of self.input what belongs to the file, write it, count it");
        // lab:end
        if let State::Receiving(_, 0) = self.state {
            let State::Receiving(upload, _) = mem::replace(&mut self.state, State::Command) else {
                return;
            };
            match upload.and_then(Upload::finish) {
                Ok(()) => self.output.extend_from_slice(b"OK 0\n"),
                Err(refusal) => self.refuse(&refusal),
            }
        }
    }
}

/// A file that is not complete.
struct Upload {
    file: File,
    /// Its path until then.
    partial: PathBuf,
    /// Its path afterwards.
    destination: PathBuf,
}

impl Upload {
    fn begin(root: &Path, path: &Path) -> Result<Upload> {
        let (Some(directory), Some(name)) = (path.parent(), path.file_name()) else {
            return Err(Refusal("not-a-file", "this is the served folder itself"));
        };
        // lab:hole begin
        let directory = root.join(directory).canonicalize()?;
        if !directory.starts_with(root) {
            return Err(Refusal("bad-path", "the path leads out of the served folder"));
        }
        let destination = directory.join(name);
        let kind = destination.symlink_metadata().map(|metadata| metadata.file_type());
        if kind.is_ok_and(|kind| !kind.is_file() && !kind.is_symlink()) {
            return Err(Refusal("not-a-file", "there is something else of this name"));
        }
        let partial = directory.join(unique());
        let file = File::create_new(&partial)?;
        Ok(Upload { file, partial, destination })
        // lab:stub // `unique` returns a name that no client can ask for. May the directory be a link, and the destination a directory?
        // lab:stub todo!("a new file under a name of its own, next to its destination")
        // lab:end
    }

    /// Renames the complete file to its destination.
    fn finish(self) -> Result<()> {
        // lab:hole finish
        fs::rename(&self.partial, &self.destination)?;
        Ok(())
        // lab:stub // Whoever reads meanwhile sees the old file or the new one, never a mixture.
        // lab:stub todo!("the new file takes the place of the old one")
        // lab:end
    }
}

impl Drop for Upload {
    fn drop(&mut self) {
        // lab:hole abandon
        // After `finish` it is not there any more.
        let _ = fs::remove_file(&self.partial);
        // lab:stub todo!("nobody will finish this upload: what is left of it?")
        // lab:end
    }
}

/// A name for an upload that is not complete: no other upload has it, and no client may use it.
fn unique() -> String {
    static COUNT: AtomicU64 = AtomicU64::new(0);
    format!("{PARTIAL}{}-{}", process::id(), COUNT.fetch_add(1, Ordering::Relaxed))
}

/// A number as the protocol writes it: 1 to 19 digits and nothing else.
fn number(text: &str) -> Option<u64> {
    let plain = text.bytes().all(|byte| byte.is_ascii_digit());
    let short = text.len() <= 19 && (text == "0" || !text.starts_with('0'));
    text.parse().ok().filter(|number| plain && short && *number <= i64::MAX as u64)
}

/// The name of a directory may end with a slash.
fn without_slash(path: &str) -> &str {
    match path.strip_suffix('/') {
        Some(rest) if !rest.is_empty() && !rest.ends_with('/') => rest,
        _ => path,
    }
}

/// A client's path relative to the root: its components, decoded and checked one by one.
fn relative(path: &str) -> Result<PathBuf> {
    let bad = Refusal("bad-path", "a component of the path is not allowed");
    let mut result = PathBuf::new();
    if path == "/" {
        return Ok(result);
    }
    for component in path.strip_prefix('/').unwrap_or(path).split('/') {
        let Some(name) = decode(component) else { return Err(bad) };
        if name.is_empty() || name.len() > 255 || name.starts_with(PARTIAL.as_bytes()) {
            return Err(bad);
        }
        // lab:hole component
        let harmful = |byte: &u8| *byte == b'/' || byte.is_ascii_control();
        if name == b"." || name == b".." || name.iter().any(harmful) {
            return Err(bad);
        }
        // lab:stub // `name` is what %XX stood for. Which names lead somewhere else, and which bytes have no business in one?
        // lab:stub todo!("return Err(bad) for a name that is not allowed");
        // lab:end
        result.push(OsStr::from_bytes(&name));
    }
    Ok(result)
}

/// The bytes that a component stands for.
fn decode(text: &str) -> Option<Vec<u8>> {
    let mut bytes = Vec::new();
    let mut rest = text.as_bytes();
    while let [first, after @ ..] = rest {
        rest = after;
        if *first == b'%' {
            let digits = str::from_utf8(rest.get(..2)?).ok()?;
            let plain = digits.bytes().all(|digit| digit.is_ascii_hexdigit());
            bytes.push(u8::from_str_radix(digits, 16).ok().filter(|_| plain)?);
            rest = &rest[2..];
        } else {
            bytes.push(*first);
        }
    }
    Some(bytes)
}

/// A name as it stands in a line: space, `%`, control bytes and what is not UTF-8 become `%XX`.
fn encode(name: &[u8]) -> String {
    let mut text = String::new();
    for chunk in name.utf8_chunks() {
        for char in chunk.valid().chars() {
            match char {
                ' ' | '%' => {
                    let _ = write!(text, "%{:02X}", char as u32);
                }
                char => text.push(char),
            }
        }
        for byte in chunk.invalid() {
            let _ = write!(text, "%{byte:02X}");
        }
    }
    text
}
