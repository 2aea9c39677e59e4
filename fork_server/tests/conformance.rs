//! The server against the whole protocol, with every way of reaping and, preforked, of accepting.

use harness::Subject;

fn reaping_by(strategy: &str) -> Subject {
    Subject::new(env!("CARGO_BIN_EXE_fork_server")).args(["--reap", strategy]).process_per_client()
}

/// More children than any case has clients, but for those that ask how many there may be.
fn preforked(accept: &str) -> Subject {
    Subject::new(env!("CARGO_BIN_EXE_fork_server"))
        .args(["--prefork", "64", "--accept", accept])
        .clients(64)
        .process_per_client()
        .excess_clients_wait()
        .reports("child ")
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

mod shared {
    harness::conformance!(super::preforked("shared").children_listen());
}

mod lock {
    harness::conformance!(super::preforked("lock").children_listen());
}

mod pass {
    harness::conformance!(super::preforked("pass"));
}
