//! The server against the whole protocol, with one ring and with several.

use harness::Subject;

/// Skipped, loudly, where the kernel refuses a ring.
fn server() -> Subject {
    let obstacle = uring_server::probe().err().map(|error| error.to_string());
    Subject::new(env!("CARGO_BIN_EXE_uring_server")).barred_by(obstacle).helpers()
}

mod one {
    harness::conformance!(super::server());
}

mod several {
    harness::conformance!(super::server().args(["--workers", "3"]));
}
