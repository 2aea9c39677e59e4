//! The file protocol: request lines, paths, replies, error codes.
//!
//! Everything here is a pure function of bytes. The workspace's page `PROTOCOL.md` defines the protocol.

use std::fmt;

/// The longest request line, its LF included.
pub const MAX_LINE: usize = 4096;

/// The longest component of a path, after decoding.
const MAX_COMPONENT: usize = 255;

/// Temporary names of uploads begin with this, followed by [`UPLOAD_DIGITS`] lower-case hex digits.
/// No request can name such a file and no listing shows one.
pub(crate) const UPLOAD_PREFIX: &str = ".~upload-";
pub(crate) const UPLOAD_DIGITS: usize = 16;

/// Whether `name` is reserved for an upload in progress.
pub(crate) fn is_upload_name(name: &[u8]) -> bool {
    name.strip_prefix(UPLOAD_PREFIX.as_bytes()).is_some_and(|digits| {
        digits.len() == UPLOAD_DIGITS
            && digits.iter().all(|d| matches!(d, b'0'..=b'9' | b'a'..=b'f'))
    })
}

/// Why a request was not executed, as the reply states it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Code {
    /// The verb is not one of the protocol, or the line is not text.
    BadCommand,
    /// Wrong number of arguments, or a malformed number.
    BadArgument,
    /// A path that the rules refuse, or that leaves the root.
    BadPath,
    /// The offset lies beyond the end of the file.
    BadRange,
    /// No such file or directory.
    NotFound,
    /// The operating system refuses access.
    Denied,
    /// The path names something that is not a regular file.
    NotAFile,
    /// The path names something that is not a directory.
    NotADirectory,
    /// The server takes no uploads.
    ReadOnly,
    /// The upload is above the server's limit, or the reply above a datagram's.
    TooLarge,
    /// The disk or the quota is full.
    NoSpace,
    /// No LF within [`MAX_LINE`] bytes.
    LineTooLong,
    /// What takes a connection, asked for in a datagram.
    StreamOnly,
    /// No connection, process, thread or descriptor is free for this client.
    Busy,
    /// A deadline passed.
    Timeout,
    /// Anything else; the detail is in the server's log.
    Internal,
}

impl Code {
    /// The code as it stands in the reply.
    pub fn as_str(self) -> &'static str {
        self.entry().0
    }

    /// One line for people: what happened.
    pub fn message(self) -> &'static str {
        self.entry().1
    }

    /// The status of the same refusal in HTTP.
    pub(crate) fn http_status(self) -> u16 {
        self.entry().2
    }

    fn entry(self) -> (&'static str, &'static str, u16) {
        match self {
            Code::BadCommand => ("bad-command", "unknown command", 400),
            Code::BadArgument => ("bad-argument", "wrong number or form of arguments", 400),
            Code::BadPath => ("bad-path", "this path is not allowed", 400),
            Code::BadRange => ("bad-range", "the offset is beyond the end of the file", 416),
            Code::NotFound => ("not-found", "no such file or folder", 404),
            Code::Denied => ("denied", "the operating system refuses access", 403),
            Code::NotAFile => {
                ("not-a-file", "this is not a regular file, or its size is unknown", 409)
            }
            Code::NotADirectory => ("not-a-directory", "this is not a folder", 409),
            Code::ReadOnly => ("read-only", "this server takes no uploads", 403),
            Code::TooLarge => ("too-large", "this is above the server's limit", 413),
            Code::NoSpace => ("no-space", "no space left on the server", 507),
            Code::LineTooLong => ("line-too-long", "no end of line within 4096 bytes", 414),
            Code::StreamOnly => ("stream-only", "this takes a connection, ask over TCP", 501),
            Code::Busy => ("busy", "no room for another client now, try again later", 503),
            Code::Timeout => ("timeout", "waited too long for this client", 408),
            Code::Internal => ("internal", "the server failed, its log says how", 500),
        }
    }
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The line that refuses a request.
pub fn error_line(code: Code) -> String {
    format!("ERR {} {}\n", code.as_str(), code.message())
}

/// A path below the root that satisfies every rule of the protocol, decoded.
///
/// It is relative and holds no empty, `.` or `..` component, no control byte and no reserved name,
/// so joining it to a directory can only go down. The empty path is the root itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RelPath {
    bytes: Vec<u8>,
    trailing_slash: bool,
}

impl RelPath {
    /// The root.
    pub fn root() -> RelPath {
        RelPath { bytes: Vec::new(), trailing_slash: false }
    }

    /// Decodes a path as it stands in a request.
    ///
    /// # Errors
    ///
    /// [`Code::BadPath`] for everything that the rules refuse.
    pub fn decode(encoded: &[u8]) -> Result<RelPath, Code> {
        // A leading slash is allowed; alone it is the root.
        let relative = encoded.strip_prefix(b"/").unwrap_or(encoded);
        if relative.is_empty() {
            return if encoded.is_empty() { Err(Code::BadPath) } else { Ok(RelPath::root()) };
        }
        let trailing_slash = relative.ends_with(b"/");
        let relative = relative.strip_suffix(b"/").unwrap_or(relative);
        let mut bytes = Vec::with_capacity(relative.len());
        for component in relative.split(|&b| b == b'/') {
            if !bytes.is_empty() {
                bytes.push(b'/');
            }
            let start = bytes.len();
            decode_component(component, &mut bytes)?;
            let component = &bytes[start..];
            if component.is_empty()
                || component == b"."
                || component == b".."
                || component.len() > MAX_COMPONENT
                || is_upload_name(component)
            {
                return Err(Code::BadPath);
            }
        }
        Ok(RelPath { bytes, trailing_slash })
    }

    /// The decoded bytes, components joined by `/`; empty for the root.
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Whether this is the root itself.
    pub fn is_root(&self) -> bool {
        self.bytes.is_empty()
    }

    /// The path as a directory may be written: a single trailing slash is allowed.
    pub fn directory(self) -> RelPath {
        RelPath { trailing_slash: false, ..self }
    }

    /// The path as a file must be written: a trailing slash is an empty component.
    ///
    /// # Errors
    ///
    /// [`Code::BadPath`] where there is one.
    pub fn file(self) -> Result<RelPath, Code> {
        if self.trailing_slash { Err(Code::BadPath) } else { Ok(self) }
    }

    /// The parent directory and the last component; `None` for the root.
    pub fn split(&self) -> Option<(&[u8], &[u8])> {
        if self.is_root() {
            return None;
        }
        Some(match memchr::memrchr(b'/', &self.bytes) {
            Some(at) => (&self.bytes[..at], &self.bytes[at + 1..]),
            None => (b"", &self.bytes),
        })
    }
}

/// Decodes a component of a path and appends it; refuses what no name may hold.
fn decode_component(component: &[u8], out: &mut Vec<u8>) -> Result<(), Code> {
    // Bytes that are not UTF-8 are legal only when they come encoded.
    if std::str::from_utf8(component).is_err() {
        return Err(Code::BadPath);
    }
    let start = out.len();
    decode_name(component, out).ok_or(Code::BadPath)?;
    let is_forbidden = |&byte: &u8| is_control(byte) || byte == b'/';
    if out[start..].iter().any(is_forbidden) { Err(Code::BadPath) } else { Ok(()) }
}

/// Decodes `%XX` in a name and appends it. Returns `None` for a malformed code, and for a space, which must be encoded.
pub(crate) fn decode_name(encoded: &[u8], out: &mut Vec<u8>) -> Option<()> {
    let mut bytes = encoded.iter();
    while let Some(&byte) = bytes.next() {
        out.push(match byte {
            b'%' => hex_value(*bytes.next()?)? << 4 | hex_value(*bytes.next()?)?,
            b' ' => return None,
            plain => plain,
        });
    }
    Some(())
}

fn hex_value(digit: u8) -> Option<u8> {
    char::from(digit).to_digit(16).map(|value| value as u8)
}

/// The bytes that no name in the protocol may hold.
pub(crate) fn is_control(byte: u8) -> bool {
    byte < 0x20 || byte == 0x7f
}

/// Writes `name` as the protocol does: only the bytes that must be are encoded, in upper-case hex.
pub(crate) fn encode_name(name: &[u8], out: &mut Vec<u8>) {
    for chunk in name.utf8_chunks() {
        for &byte in chunk.valid().as_bytes() {
            if is_control(byte) || byte == b' ' || byte == b'%' {
                out.extend(percent_encode(byte));
            } else {
                out.push(byte);
            }
        }
        for &byte in chunk.invalid() {
            out.extend(percent_encode(byte));
        }
    }
}

/// Appends a path as it stands in a URL: all but the unreserved characters of RFC 3986 and the slashes between
/// components is encoded. That is a path of the file protocol too, and nothing in it means something in HTML.
pub fn push_url(url: &mut String, path: &[u8]) {
    for &byte in path {
        if byte.is_ascii_alphanumeric() || b"-._~/".contains(&byte) {
            url.push(char::from(byte));
        } else {
            url.extend(percent_encode(byte).map(char::from));
        }
    }
}

pub(crate) fn percent_encode(byte: u8) -> [u8; 3] {
    const HEX: &[u8; 16] = b"0123456789ABCDEF";
    [b'%', HEX[usize::from(byte >> 4)], HEX[usize::from(byte & 15)]]
}

/// One request of the file protocol.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Request {
    /// The entries of a directory.
    List(Result<RelPath, Code>),
    /// Bytes of a file.
    Get {
        /// Which file.
        path: Result<RelPath, Code>,
        /// The first byte wanted.
        offset: u64,
        /// At most so many bytes.
        length: Option<u64>,
    },
    /// A new file; its bytes follow.
    Put {
        /// Which file.
        path: Result<RelPath, Code>,
        /// How many bytes follow.
        length: u64,
    },
    /// The SHA-256 of a file.
    Hash(Result<RelPath, Code>),
    /// The end of the conversation.
    Quit,
}

/// A request line that is not a request of the protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BadRequest {
    /// The code of the reply.
    pub code: Code,
    /// Whether the connection must close, because it is unknown how many bytes of a body follow.
    pub close: bool,
}

impl Request {
    /// Reads one request line, without its LF.
    ///
    /// The form is judged here; a path that breaks the rules is carried along as an error, since
    /// limits are checked before paths.
    ///
    /// # Errors
    ///
    /// [`Code::BadCommand`] and [`Code::BadArgument`]; the latter closes after `PUT`.
    pub fn parse(line: &[u8]) -> Result<Request, BadRequest> {
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        let refuse = |code| BadRequest { code, close: false };
        if std::str::from_utf8(line).is_err() {
            return Err(refuse(Code::BadCommand));
        }
        let mut fields = line.split(|&b| b == b' ');
        let verb = fields.next().unwrap_or_default();
        let args = Args::collect(fields);
        let path = |field: &[u8]| RelPath::decode(field);
        let file = |field: &[u8]| path(field).and_then(RelPath::file);
        let is = |name: &str| verb.eq_ignore_ascii_case(name.as_bytes());

        if is("GET") {
            let args = args.ok_or(refuse(Code::BadArgument))?;
            let number = |field: &[u8]| parse_number(field).ok_or(refuse(Code::BadArgument));
            match args.fields() {
                [name] => Ok(Request::Get { path: file(name), offset: 0, length: None }),
                [name, offset] => {
                    Ok(Request::Get { path: file(name), offset: number(offset)?, length: None })
                }
                [name, offset, length] => Ok(Request::Get {
                    path: file(name),
                    offset: number(offset)?,
                    length: Some(number(length)?),
                }),
                _ => Err(refuse(Code::BadArgument)),
            }
        } else if is("PUT") {
            // Without a length it is unknown where the next request begins.
            let refuse = BadRequest { code: Code::BadArgument, close: true };
            match args.ok_or(refuse)?.fields() {
                [name, length] => Ok(Request::Put {
                    path: file(name),
                    length: parse_number(length).ok_or(refuse)?,
                }),
                _ => Err(refuse),
            }
        } else if is("LIST") {
            match args.ok_or(refuse(Code::BadArgument))?.fields() {
                [] => Ok(Request::List(Ok(RelPath::root()))),
                [dir] => Ok(Request::List(path(dir).map(RelPath::directory))),
                _ => Err(refuse(Code::BadArgument)),
            }
        } else if is("HASH") {
            match args.ok_or(refuse(Code::BadArgument))?.fields() {
                [name] => Ok(Request::Hash(file(name))),
                _ => Err(refuse(Code::BadArgument)),
            }
        } else if is("QUIT") {
            match args.ok_or(refuse(Code::BadArgument))?.fields() {
                [] => Ok(Request::Quit),
                _ => Err(refuse(Code::BadArgument)),
            }
        } else {
            Err(refuse(Code::BadCommand))
        }
    }
}

/// The arguments of a request: no verb takes more than three, so a fourth is only remembered.
struct Args<'a> {
    fields: [&'a [u8]; 4],
    count: usize,
}

impl<'a> Args<'a> {
    /// `None` where a field is empty: two spaces in a row, or a trailing one.
    fn collect(fields: impl Iterator<Item = &'a [u8]>) -> Option<Args<'a>> {
        let mut args = Args { fields: [b""; 4], count: 0 };
        for field in fields {
            if field.is_empty() {
                return None;
            }
            if args.count < args.fields.len() {
                args.fields[args.count] = field;
                args.count += 1;
            }
        }
        Some(args)
    }

    fn fields(&self) -> &[&'a [u8]] {
        &self.fields[..self.count]
    }
}

/// A number of the protocol: 1 to 19 digits, no sign, no leading zero, at most 2^63-1.
pub fn parse_number(field: &[u8]) -> Option<u64> {
    let well_formed = matches!(field, [b'0'] | [b'1'..=b'9', ..])
        && field.len() <= 19
        && field.iter().all(u8::is_ascii_digit);
    if !well_formed {
        return None;
    }
    // 19 digits fit a u64; the protocol's numbers fit an i64.
    let value = field.iter().fold(0u64, |n, digit| n * 10 + u64::from(digit - b'0'));
    (value <= i64::MAX as u64).then_some(value)
}

#[cfg(test)]
mod tests;
