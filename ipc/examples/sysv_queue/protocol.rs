//! What server and clients agree on. Both include this file; it is the whole protocol.

/// Clients put in requests: their pid (4 bytes, of this machine's order), then a word.
pub const PID: usize = 4;

/// The longest request or reply, in bytes.
pub const MESSAGE_SIZE: usize = 64;

/// The queue holds this many of them.
pub const CAPACITY: usize = 16;

/// Requests are ordinary messages. The reply to the client PID has the type REPLIES + PID, which is above all
/// types that stand for priorities, so that no server ever takes a reply for a request.
pub const REPLIES: i32 = 1_000_000;
