//! What this model alone must get right.

use harness::{Exit, Server, Subject, oracles};

fn server(args: &[&str]) -> Server {
    Subject::new(env!("CARGO_BIN_EXE_async_server")).args(args.iter().copied()).start(&[])
}

#[test]
fn workers_are_for_the_flavor_that_has_them() {
    let subject = Subject::new(env!("CARGO_BIN_EXE_async_server"));
    for (args, named) in [
        (["--flavor", "current-thread", "--workers", "2"], "--workers"),
        (["--flavor", "multi-thread", "--workers", "0"], "--workers"),
        (["--flavor", "multi-thread", "--workers", "two"], "--workers"),
        (["--flavor", "green", "--workers", "2"], "--flavor"),
    ] {
        let failure = subject.launch().args(args).refuse();
        assert_eq!(failure.exit, Some(Exit::Code(2)), "{failure}");
        assert_eq!(failure.output, "", "{failure}");
        assert_eq!(failure.log.lines().count(), 1, "{failure}");
        assert!(failure.log.contains(named), "{failure}");
    }
}

#[test]
fn so_many_threads_as_asked_for() {
    let threads = |args: &[&str]| {
        let server = server(args);
        server.root().write("a", "hello");
        assert_eq!(server.ask("GET a").text(), "hello");
        harness::proc::process(server.pid()).expect("the server").threads
    };
    // The main thread, the watchdog, which reads the signals, and the helpers of two queues.
    let others = 2 + 2 * 8;
    assert_eq!(threads(&["--flavor", "current-thread"]), others);
    assert_eq!(threads(&["--flavor", "multi-thread", "--workers", "3"]), others + 3);
}

#[test]
fn a_long_job_stops_nobody() {
    for args in [&["--flavor", "current-thread"][..], &["--workers", "1"]] {
        let overtaken = || {
            let server = server(args);
            server.root().write("a", "hello");
            server.root().sparse("long", 1 << 30);
            let mut long = server.connect();
            long.send("HASH long\n");
            assert!(oracles::until_read(&long));
            let mut short = server.connect();
            for _ in 0..10 {
                assert_eq!(short.ask("GET a").text(), "hello");
            }
            oracles::unread(long.local(), long.peer()) == Some(0)
        };
        // The job may also have ended first because this process was held up meanwhile, but not every time.
        assert!((0..5).any(|_| overtaken()), "{args:?}: the job was waited for");
    }
}
