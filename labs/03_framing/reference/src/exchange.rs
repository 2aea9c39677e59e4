//! Many messages there, as many replies back.

// lab:canary heron-03-exchange
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
    // lab:hole exchange
    let mut wire = Vec::new();
    for message in messages {
        codec::encode(framing, message, &mut wire).map_err(io::Error::other)?;
    }
    thread::scope(|scope| {
        // While one thread waits for room to write, the other makes some by reading.
        let writer = scope.spawn(|| -> io::Result<()> {
            (&stream).write_all(&wire)?;
            stream.shutdown(Shutdown::Write)
        });
        let mut decoder = Decoder::new(framing);
        let mut replies = Vec::new();
        let mut chunk = [0; 16 * 1024];
        while replies.len() < messages.len() {
            let n = (&stream).read(&mut chunk)?;
            if n == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            decoder.push(&chunk[..n]);
            while let Some(reply) = decoder.message().map_err(io::Error::other)? {
                replies.push(reply);
            }
        }
        writer.join().unwrap_or_else(|_| Err(io::Error::other("the writer panicked")))?;
        Ok(replies)
    })
    // lab:stub // To wait for each reply before the next message is slow, and here it waits for ever. To send everything
    // lab:stub // and then read has a limit, too: where?
    // lab:stub let _ = (stream, framing, messages);
    // lab:stub todo!("send all, receive all")
    // lab:end
}
