// check: fates.exit_codes
// mistake: the status is taken for the exit code
// lab:fill decode
    Fate::Exit(status)
// lab:end
