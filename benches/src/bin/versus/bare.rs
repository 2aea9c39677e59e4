//! The least that can serve a file, as a measure for those that do more: no limits, no deadlines, no
//! care for paths. A thread for each connection; HTTP GET, and GET and PUT of the file protocol, for
//! clients that are our own.

use rustix::fs::{Mode, OFlags, open, sendfile};
use rustix::net::{SendFlags, send};
use std::ffi::OsString;
use std::fs::File;
use std::io::{self, ErrorKind, Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::thread;

/// As large as the servers' own buffers for uploads.
const BUFFER: usize = 1 << 20;

/// Serves the folder that is named; says `listening on ADDRESS` first, as they all do.
pub fn main(mut args: impl Iterator<Item = OsString>) -> ExitCode {
    let root = args.next().map(PathBuf::from).unwrap_or_default();
    let error = run(&root);
    eprintln!("bare: {}", error.err().unwrap_or_else(|| ErrorKind::UnexpectedEof.into()));
    ExitCode::FAILURE
}

fn run(root: &Path) -> io::Result<()> {
    let root: Arc<Path> = Arc::from(root);
    let listener = server_core::listen("127.0.0.1:0")?;
    println!("listening on {}", listener.local_addr()?);
    loop {
        let (stream, _) = listener.accept()?;
        let root = Arc::clone(&root);
        // Whoever leaves in mid-transfer is nobody's trouble.
        thread::spawn(move || serve(&stream, &root));
    }
}

fn serve(stream: &TcpStream, root: &Path) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let mut head = Vec::with_capacity(4096);
    loop {
        head.clear();
        let end = read_head(stream, &mut head)?;
        let line = String::from_utf8_lossy(&head[..end]).into_owned();
        let mut words = line.split_whitespace();
        match (words.next(), words.next(), words.next()) {
            (Some("GET"), Some(path), version) => {
                let file = File::open(root.join(path.trim_start_matches('/')))?;
                let length = file.metadata()?.len();
                let header = match version {
                    None => format!("OK {length}\n"),
                    Some(_) => format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n"),
                };
                send(stream, header.as_bytes(), SendFlags::MORE)?;
                send_file(stream, &file, length)?;
            }
            (Some("PUT"), Some(_), Some(length)) => {
                let length = length.parse().map_err(|_| ErrorKind::InvalidData)?;
                receive(stream, &head[end..], length, root)?;
            }
            _ => return Err(ErrorKind::InvalidData.into()),
        }
    }
}

/// Reads a request line of the file protocol or a head of HTTP; gives where it ends. What follows it is
/// the start of a body.
fn read_head(mut stream: &TcpStream, head: &mut Vec<u8>) -> io::Result<usize> {
    let mut piece = [0; 4096];
    loop {
        match stream.read(&mut piece)? {
            0 => return Err(ErrorKind::UnexpectedEof.into()),
            n => head.extend_from_slice(&piece[..n]),
        }
        let Some(line) = head.iter().position(|&byte| byte == b'\n') else {
            continue;
        };
        if !head[..line].ends_with(b"HTTP/1.1\r") {
            return Ok(line + 1);
        }
        if head.ends_with(b"\r\n\r\n") {
            return Ok(head.len());
        }
    }
}

fn send_file(stream: &TcpStream, file: &File, length: u64) -> io::Result<()> {
    let mut offset = 0;
    while offset < length {
        let left = usize::try_from(length - offset).unwrap_or(usize::MAX);
        if sendfile(stream, file, Some(&mut offset), left)? == 0 {
            return Err(ErrorKind::UnexpectedEof.into());
        }
    }
    Ok(())
}

/// Writes the body to a file without a name, and so to the same file system as the others do.
fn receive(mut stream: &TcpStream, start: &[u8], length: u64, root: &Path) -> io::Result<()> {
    let flags = OFlags::TMPFILE | OFlags::WRONLY | OFlags::CLOEXEC;
    let mut file = File::from(open(root, flags, Mode::RUSR | Mode::WUSR)?);
    file.write_all(start)?;
    let mut left = length - start.len() as u64;
    let mut buffer = vec![0; BUFFER];
    while left > 0 {
        let room = usize::try_from(left).map_or(BUFFER, |left| left.min(BUFFER));
        match stream.read(&mut buffer[..room])? {
            0 => return Err(ErrorKind::UnexpectedEof.into()),
            n => {
                file.write_all(&buffer[..n])?;
                left -= n as u64;
            }
        }
    }
    stream.write_all(b"OK 0\n")
}
