//! The server against the whole protocol, as far as one client at a time can tell.

use harness::Subject;

harness::conformance!(Subject::new(env!("CARGO_BIN_EXE_iterative_server")).clients(1));
