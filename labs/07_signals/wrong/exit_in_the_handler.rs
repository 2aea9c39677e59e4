// check: stop.in_hand
// mistake: the handler ends the program, and the request in hand is lost
// lab:replace handler
        libc::SIGTERM => STOP.store(true, Ordering::Relaxed),
// lab:with
        libc::SIGTERM => std::process::exit(0),
// lab:end
