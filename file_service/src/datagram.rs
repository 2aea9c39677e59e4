//! The file protocol in datagrams: one request, one reply, nothing kept in between.
//!
//! [`answer`] is all of it: a function from the datagram that came to the one that goes back, if one does.
//! It uses no socket, like the [session](crate::session), and shares with it the parser, the paths, the store and the codes. What a session has beyond that (input buffers,
//! phases, deadlines, closing) has no counterpart here, because a datagram comes whole or not at all, and
//! no client stays connected. In return, whether a request or a reply was lost,
//! doubled or overtaken is for the client to find out.
//!
//! The workspace's page `PROTOCOL.md` defines the protocol.

use crate::protocol::{Code, MAX_LINE, Request, error_line, parse_number};
use crate::service::Service;
use crate::session::lines;
use crate::store::{self, Failure, uninterrupted};
use std::net::SocketAddr;
use std::os::unix::fs::FileExt;

/// The longest request, in bytes, its identifier and its LF included.
///
/// Receive into a buffer of one byte more: what fills it was longer, and is refused as such. The kernel
/// throws away what has no room, so a request that was cut could otherwise pass for a shorter one.
pub const MAX_REQUEST: usize = MAX_LINE;

/// The longest body of a reply, in bytes: what NFS moved at a time when it ran over UDP (RFC 1094).
///
/// The bound of the protocol family is 65,507. But a datagram above the path's MTU travels in fragments,
/// and the loss of one is the loss of all: 8 KiB are 6 on Ethernet, 64 KiB were 45.
pub const MAX_BODY: usize = 8 * 1024;

/// The longest reply, in bytes: an identifier of 19 digits, ` OK `, the length, LF, and the body.
pub const MAX_REPLY: usize = 19 + 4 + 4 + 1 + MAX_BODY;

/// The largest file that is hashed, in bytes. While one client's file is hashed, all others wait.
pub const MAX_HASHED: u64 = 1 << 20;

/// The shortest line of a listing, in bytes: `f 0 0 a` and LF.
const SHORTEST_ENTRY: usize = 8;

/// The reply to a datagram; none for what is no request, above all for a reply.
///
/// Only what begins with an identifier and one of the protocol's verbs is answered. The second field of a
/// reply is `OK` or `ERR`, which are no verbs, so no reply is ever answered, however addresses are forged:
/// two servers cannot be set upon each other, nor one upon itself or on an `echo`, `daytime` or `chargen`.
///
/// `peer` is for the log.
pub fn answer(service: &Service, peer: SocketAddr, datagram: &[u8]) -> Option<Vec<u8>> {
    let Some((id, request)) = recognize(datagram) else {
        tracing::debug!(%peer, "not a request, dropped");
        return None;
    };
    tracing::debug!(%peer, id, request = %request.escape_ascii(), "request");
    let start = service.moment();
    let reply = match respond(service, datagram.len(), request) {
        Ok(body) => {
            let mut reply = format!("{id} OK {}\n", body.len()).into_bytes();
            reply.extend_from_slice(&body);
            reply
        }
        Err(failure) => {
            if let Some(detail) = &failure.detail {
                tracing::error!(%peer, id, "request failed: {detail}");
            }
            tracing::debug!(%peer, id, code = %failure.code, "refused");
            format!("{id} {}", error_line(failure.code)).into_bytes()
        }
    };
    if let Some(trace) = service.trace() {
        trace.job("datagram", start);
    }
    Some(reply)
}

/// The identifier and the request behind it, if the datagram has both.
fn recognize(datagram: &[u8]) -> Option<(u64, &[u8])> {
    let space = memchr::memchr(b' ', datagram)?;
    let id = parse_number(&datagram[..space])?;
    let request = &datagram[space + 1..];
    let verb = request.split(|b| b" \r\n".contains(b)).next()?;
    // A verb without its arguments may be malformed, but it is one of the protocol's.
    let is_verb = !matches!(Request::parse(verb), Err(bad) if bad.code == Code::BadCommand);
    is_verb.then_some((id, request))
}

/// The body of the reply.
fn respond(service: &Service, length: usize, request: &[u8]) -> Result<Vec<u8>, Failure> {
    if length > MAX_REQUEST {
        return Err(Code::LineTooLong.into());
    }
    // One line, and nothing else: a second request would want a second reply.
    let line = match memchr::memchr(b'\n', request) {
        Some(end) if end + 1 == request.len() => &request[..end],
        _ => return Err(Code::BadArgument.into()),
    };
    let store = service.store();
    let body = match Request::parse(line).map_err(|bad| bad.code)? {
        // A second copy of a `PUT` could undo what was stored since the first; there is nothing to `QUIT`.
        Request::Put { .. } | Request::Quit => return Err(Code::StreamOnly.into()),
        Request::List(path) => {
            let path = path?;
            let directory = store.open_directory(&path)?;
            // One reading of the directory, and all of it or nothing: half a listing looks like a whole one.
            lines(&store.list_at_most(MAX_BODY / SHORTEST_ENTRY, &path, directory)?)
        }
        Request::Hash(path) => {
            let (file, stat) = store.open_file(&path?)?;
            if stat.size > MAX_HASHED {
                return Err(Code::TooLarge.into());
            }
            store::hash(file)?
        }
        Request::Get { path, offset, length } => {
            let (file, stat) = store.open_file(&path?)?;
            let rest = stat.size.checked_sub(offset).ok_or(Code::BadRange)?;
            let wanted = length.map_or(rest, |length| length.min(rest));
            if wanted > MAX_BODY as u64 {
                return Err(Code::TooLarge.into());
            }
            let mut body = vec![0; wanted as usize];
            let mut filled = 0;
            while filled < body.len() {
                let at = offset + filled as u64;
                match uninterrupted(|| file.read_at(&mut body[filled..], at))? {
                    0 => break, // it shrank after it was measured; no length is promised yet
                    n => filled += n,
                }
            }
            if service.settings().copy {
                // What lies beyond the end by now may have been cleared before it was read.
                let left = uninterrupted(|| file.metadata())?.len().saturating_sub(offset);
                filled = filled.min(usize::try_from(left).unwrap_or(usize::MAX));
            }
            body.truncate(filled);
            body
        }
    };
    if body.len() > MAX_BODY {
        return Err(Code::TooLarge.into());
    }
    Ok(body)
}
