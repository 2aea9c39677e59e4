// check: fates.exit_codes
// mistake: the two halves of the status are taken in the wrong order
// lab:fill decode
    if status >> 8 == 0 { Outcome::Exit(status & 0x7f) } else { Outcome::Killed(status >> 8) }
// lab:end
