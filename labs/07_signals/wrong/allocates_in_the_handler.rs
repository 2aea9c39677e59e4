// check: handler.memory
// mistake: the handler puts the signal into a queue, which asks for memory
// lab:fill handler
static STOP: AtomicBool = AtomicBool::new(false);
static REPORT: AtomicBool = AtomicBool::new(false);
static QUEUE: std::sync::Mutex<Vec<i32>> = std::sync::Mutex::new(Vec::new());

extern "C" fn on_signal(signal: libc::c_int) {
    if let Ok(mut queue) = QUEUE.try_lock() {
        queue.push(signal);
    }
    match signal {
        libc::SIGTERM => STOP.store(true, Ordering::Relaxed),
        _ => REPORT.store(true, Ordering::Relaxed),
    }
}
// lab:end
// lab:fill install
    let action = SigAction::new(SigHandler::Handler(on_signal), SaFlags::empty(), SigSet::empty());
    for signal in [Signal::SIGTERM, Signal::SIGUSR1] {
        unsafe { sigaction(signal, &action) }?;
    }
    Ok(())
// lab:end
