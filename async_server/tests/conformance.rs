//! The server against the whole protocol, with both runtimes.

use harness::Subject;

fn server(args: &[&str]) -> Subject {
    Subject::new(env!("CARGO_BIN_EXE_async_server")).args(args.iter().copied()).helpers()
}

mod current_thread {
    harness::conformance!(super::server(&["--flavor", "current-thread"]));
}

mod multi_thread {
    harness::conformance!(super::server(&["--flavor", "multi-thread", "--workers", "2"]));
}
