//! The server against the whole protocol, with every way of reaping.

use harness::Subject;

fn reaping_by(strategy: &str) -> Subject {
    Subject::new(env!("CARGO_BIN_EXE_fork_server")).args(["--reap", strategy]).process_per_client()
}

mod sigchld {
    harness::conformance!(super::reaping_by("sigchld"));
}

mod signalfd {
    harness::conformance!(super::reaping_by("signalfd"));
}

mod ignore {
    harness::conformance!(super::reaping_by("ignore"));
}

mod double_fork {
    harness::conformance!(super::reaping_by("double-fork"));
}
