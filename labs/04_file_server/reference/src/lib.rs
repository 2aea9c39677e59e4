//! The server's side of the file protocol. The servers of labs 08, 15 and 17 use this library, too. There is nothing to do in
//! this file.

mod blocking;
mod session;

pub use blocking::serve_blocking;
pub use session::Session;
