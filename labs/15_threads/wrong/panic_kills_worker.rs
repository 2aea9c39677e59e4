// check: pool.panic
// mistake: a panic in a conversation ends the worker, and nobody takes its place
// lab:replace pool-work
        if panic::catch_unwind(AssertUnwindSafe(|| client.serve())).is_err() {
            eprintln!("a client was lost to a panic");
        }
// lab:with
        client.serve();
// lab:end
