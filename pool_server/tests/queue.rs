//! What a full queue delays, and what not.

use harness::Subject;
use harness::wait::eventually;

#[test]
fn full_queue_delays_no_refusal() {
    for pool in ["channel", "steal", "rayon"] {
        let args = ["--pool", pool, "--dispatch", "connection", "--workers", "1", "--queue", "1"];
        let server = Subject::new(env!("CARGO_BIN_EXE_pool_server")).start(&args);
        // Where this process is held up, the last client has waited too long for its place.
        eventually("a client is refused while the next one waits for a place", || {
            let mut served = server.connect();
            assert!(served.ask("HASH none").is("not-found"));
            let queued = server.connect();
            // Waits for a place for a second, and is silent when it is refused.
            let mut silent = server.connect();
            let mut next = server.connect();
            next.send("HASH none\n");
            assert_eq!(silent.reply().code(), "busy");
            drop((served, queued));
            next.reply().is("not-found")
        });
    }
}
