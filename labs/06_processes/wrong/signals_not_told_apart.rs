// check: fates.signals
// mistake: whoever is killed by a signal is said to have ended by itself
// lab:fill decode
    Outcome::Exit(libc::WEXITSTATUS(status))
// lab:end
