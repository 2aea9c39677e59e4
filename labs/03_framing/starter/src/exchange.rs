//! Many messages there, as many replies back.

use crate::codec::{self, Decoder, Framing};
use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::thread;

/// Sends all messages and gives the replies, one for each, in their order.
///
/// The server may answer at once, or when it has them all; and neither side's buffers hold everything.
pub fn exchange(
    stream: TcpStream,
    framing: Framing,
    messages: &[Vec<u8>],
) -> io::Result<Vec<Vec<u8>>> {
    // hole: exchange
    // To wait for each reply before the next message is slow, and here it waits for ever. To send everything
    // and then read has a limit, too: where?
    let _ = (stream, framing, messages);
    todo!("send all, receive all")
}
