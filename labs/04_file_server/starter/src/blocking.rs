//! Moves bytes between a client and its session, and waits where there are none to move.

use crate::session::Session;
use std::io::{self, Read, Write};
use std::path::Path;

/// Serves the client at the other end of `stream` until the session is over. (`&TcpStream` is such a stream.)
pub fn serve_blocking(mut stream: impl Read + Write, root: &Path) -> io::Result<()> {
    let mut session = Session::new(root)?;
    let mut bytes = [0; 16 * 1024];
    // hole: converse
    // Send while there is something to send, then read. When does it end? `write` and `read` tell how much they did.
    todo!("move bytes between the socket and the session")
}
