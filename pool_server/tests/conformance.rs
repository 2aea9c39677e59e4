//! The server against the whole protocol, with every pool and both ways of handing out work.

use harness::Subject;

/// Ready requests go to the pool: any number of clients.
fn requests_to(pool: &str) -> Subject {
    Subject::new(env!("CARGO_BIN_EXE_pool_server")).args(["--pool", pool, "--dispatch", "request"])
}

/// Whole conversations go to the pool: as many clients as workers.
fn connections_to(pool: &str) -> Subject {
    let args = ["--pool", pool, "--dispatch", "connection", "--workers", "16"];
    Subject::new(env!("CARGO_BIN_EXE_pool_server")).args(args).clients(16)
}

mod channel {
    harness::conformance!(super::requests_to("channel"));
}

mod steal {
    harness::conformance!(super::requests_to("steal"));
}

mod rayon {
    harness::conformance!(super::requests_to("rayon"));
}

mod channel_of_connections {
    harness::conformance!(super::connections_to("channel"));
}

mod steal_of_connections {
    harness::conformance!(super::connections_to("steal"));
}

mod rayon_of_connections {
    harness::conformance!(super::connections_to("rayon"));
}
