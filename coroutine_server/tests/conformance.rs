//! The server against the whole protocol, in one process and in two.

use harness::Subject;

fn server(args: &[&str]) -> Subject {
    Subject::new(env!("CARGO_BIN_EXE_coroutine_server")).args(args.iter().copied()).helpers()
}

mod one_process {
    harness::conformance!(super::server(&[]));
}

mod processes {
    harness::conformance!(super::server(&["--processes", "2"]));
}
