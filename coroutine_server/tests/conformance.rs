//! The server against the whole protocol.

use harness::Subject;

harness::conformance!(Subject::new(env!("CARGO_BIN_EXE_coroutine_server")));
