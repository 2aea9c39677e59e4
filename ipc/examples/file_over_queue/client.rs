//! The client's side: five requests over any byte stream.

use std::error::Error;
use std::io::{BufRead, BufReader, Read, Write};

use file_service::Transport;

use crate::say;

/// What is uploaded.
pub const UPLOAD: &[u8] = b"written by the client\n";

/// Lists, reads, uploads and hashes; gives the replies but for the listing's times.
pub fn run(
    stream: &mut (impl Read + Write + Transport),
    content: &[u8],
) -> Result<Vec<Vec<u8>>, Box<dyn Error>> {
    let mut reader = BufReader::new(stream);
    let listing = send_request(&mut reader, "LIST", b"")?;
    say!("sends LIST, and reads {:?}", String::from_utf8_lossy(&listing))?;
    let whole = send_request(&mut reader, "GET numbers", b"")?;
    say!("sends GET numbers, and reads {} bytes; right: {}", whole.len(), whole == content)?;
    let part = send_request(&mut reader, "GET numbers 250 3", b"")?;
    say!("sends GET numbers 250 3, and reads {part:?}; right: {}", part == content[250..253])?;
    let upload = send_request(&mut reader, &format!("PUT upload {}", UPLOAD.len()), UPLOAD)?;
    say!("sends PUT upload, and {} bytes", UPLOAD.len())?;
    let hash = send_request(&mut reader, "HASH upload", b"")?;
    say!(
        "sends HASH upload, and reads {}...",
        String::from_utf8_lossy(&hash[..hash.len().min(16)])
    )?;
    let again = send_request(&mut reader, "GET upload", b"")?;
    say!("sends GET upload, and reads what it sent: {}", again == UPLOAD)?;
    send_request(&mut reader, "QUIT", b"")?;
    // The end is said in both directions: theirs, then ours.
    let rest = reader.read_to_end(&mut Vec::new())?;
    say!("sends QUIT, and reads {rest} bytes, then the end")?;
    reader.get_mut().finish()?;
    Ok(vec![whole, part, upload, hash, again])
}

/// Sends a request and perhaps a body; gives the body of the reply.
fn send_request<S: Read + Write>(
    reader: &mut BufReader<&mut S>,
    request: &str,
    body: &[u8],
) -> Result<Vec<u8>, Box<dyn Error>> {
    let mut bytes = format!("{request}\n").into_bytes();
    bytes.extend_from_slice(body);
    reader.get_mut().write_all(&bytes)?;
    let mut line = String::new();
    reader.read_line(&mut line)?;
    let length = line.trim_end().strip_prefix("OK ").ok_or_else(|| format!("{request}: {line}"))?;
    let mut reply = vec![0; length.parse()?];
    reader.read_exact(&mut reply)?;
    Ok(reply)
}
