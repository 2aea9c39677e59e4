//! The server against the whole protocol, with every way of asking who is ready, alone and with several workers.

use harness::Subject;

fn asking(args: &[&str]) -> Subject {
    Subject::new(env!("CARGO_BIN_EXE_event_server")).args(args.iter().copied()).helpers()
}

mod select {
    harness::conformance!(super::asking(&["--poller", "select"]));
}

mod poll {
    harness::conformance!(super::asking(&["--poller", "poll"]));
}

mod epoll_by_level {
    harness::conformance!(super::asking(&["--poller", "epoll", "--trigger", "level"]));
}

mod epoll_by_edge {
    harness::conformance!(super::asking(&["--poller", "epoll", "--trigger", "edge"]));
}

mod epoll_with_four_workers {
    harness::conformance!(super::asking(&["--poller", "epoll", "--workers", "4"]));
}

mod edge_with_two_workers {
    harness::conformance!(super::asking(&["--trigger", "edge", "--workers", "2"]));
}

mod poll_with_two_workers {
    harness::conformance!(super::asking(&["--poller", "poll", "--workers", "2"]));
}

mod select_with_two_workers {
    harness::conformance!(super::asking(&["--poller", "select", "--workers", "2"]));
}
