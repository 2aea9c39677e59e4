//! Moves bytes between a client and its session, and waits where there are none to move.

use crate::session::Session;
use std::io::{self, Read, Write};
use std::path::Path;

// lab:canary whimbrel-04-blocking
/// Serves the client at the other end of `stream` until the session is over. (`&TcpStream` is such a stream.)
pub fn serve_blocking(mut stream: impl Read + Write, root: &Path) -> io::Result<()> {
    let mut session = Session::new(root)?;
    let mut bytes = [0; 16 * 1024];
    // lab:hole serve-blocking
    loop {
        loop {
            let output = session.output()?;
            if output.is_empty() {
                break;
            }
            let count = stream.write(output)?;
            session.sent(count);
        }
        if session.is_over() {
            return Ok(());
        }
        match stream.read(&mut bytes)? {
            0 => session.ended(),
            count => session.received(&bytes[..count]),
        }
    }
    // lab:stub // Send while there is something to send, then read. When does it end? `write` and `read` tell how much they did.
    // lab:stub todo!("move bytes between the socket and the session")
    // lab:end
}
