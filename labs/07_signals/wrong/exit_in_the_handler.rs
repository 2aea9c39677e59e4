// check: stop.in_hand
// mistake: the handler ends the program, and the request in hand is lost
// lab:fill handler
static STOP: AtomicBool = AtomicBool::new(false);
static REPORT: AtomicBool = AtomicBool::new(false);

extern "C" fn on_signal(signal: libc::c_int) {
    match signal {
        libc::SIGTERM => std::process::exit(0),
        _ => REPORT.store(true, Ordering::Relaxed),
    }
}
// lab:end
