// check: fates.exit_codes
// mistake: the status is taken for the exit code
// lab:fill decode
    Outcome::Exit(status)
// lab:end
