//! A bare loop of system calls that serves files, as a baseline for servers that do more: no limits, no deadlines, no
//! check of paths. A thread for each connection; HTTP GET, and GET and PUT of the file protocol, for
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

/// Serves the directory that the first argument names; prints `listening on ADDRESS` first, as every server does.
pub(super) fn main(mut args: impl Iterator<Item = OsString>) -> ExitCode {
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
        // A client that leaves in mid-transfer ends its own thread.
        thread::spawn(move || serve(&stream, &root));
    }
}

fn serve(stream: &TcpStream, root: &Path) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let mut header = Vec::with_capacity(4096);
    loop {
        header.clear();
        let end = read_header(stream, &mut header)?;
        let line = String::from_utf8_lossy(&header[..end]).into_owned();
        let mut words = line.split_whitespace();
        match (words.next(), words.next(), words.next()) {
            (Some("GET"), Some(path), version) => {
                let file = File::open(root.join(path.trim_start_matches('/')))?;
                let length = file.metadata()?.len();
                let close = line.contains("\r\nConnection: close\r\n");
                let last = if close { "Connection: close\r\n" } else { "" };
                let reply = match version {
                    None => format!("OK {length}\n"),
                    Some(_) => {
                        format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n{last}\r\n")
                    }
                };
                send(stream, reply.as_bytes(), SendFlags::MORE)?;
                send_file(stream, &file, length)?;
                if close {
                    return Ok(());
                }
            }
            (Some("PUT"), Some(_), Some(length)) => {
                let length = length.parse().map_err(|_| ErrorKind::InvalidData)?;
                receive(stream, &header[end..], length, root)?;
            }
            _ => return Err(ErrorKind::InvalidData.into()),
        }
    }
}

/// Reads a request line of the file protocol or a header of HTTP; returns where it ends. What follows it is
/// the start of a body.
fn read_header(mut stream: &TcpStream, header: &mut Vec<u8>) -> io::Result<usize> {
    let mut piece = [0; 4096];
    loop {
        match stream.read(&mut piece)? {
            0 => return Err(ErrorKind::UnexpectedEof.into()),
            n => header.extend_from_slice(&piece[..n]),
        }
        let Some(line) = header.iter().position(|&byte| byte == b'\n') else {
            continue;
        };
        if !header[..line].ends_with(b"HTTP/1.1\r") {
            return Ok(line + 1);
        }
        if header.ends_with(b"\r\n\r\n") {
            return Ok(header.len());
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

/// Writes the body to an anonymous file, and so to the same file system as the other servers do.
fn receive(mut stream: &TcpStream, start: &[u8], length: u64, root: &Path) -> io::Result<()> {
    let flags = OFlags::TMPFILE | OFlags::WRONLY | OFlags::CLOEXEC;
    let mut file = File::from(open(root, flags, Mode::RUSR | Mode::WUSR)?);
    file.write_all(start)?;
    let mut left = length - start.len() as u64;
    let mut buffer = vec![0; BUFFER];
    while left > 0 {
        let most = usize::try_from(left).map_or(BUFFER, |left| left.min(BUFFER));
        match stream.read(&mut buffer[..most])? {
            0 => return Err(ErrorKind::UnexpectedEof.into()),
            n => {
                file.write_all(&buffer[..n])?;
                left -= n as u64;
            }
        }
    }
    stream.write_all(b"OK 0\n")
}
