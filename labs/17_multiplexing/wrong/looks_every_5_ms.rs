// check: poll.idle
// mistake: poll comes back every few milliseconds, in case a client were ready
// lab:replace poll
        match poll(&mut list, PollTimeout::NONE) {
// lab:with
        match poll(&mut list, PollTimeout::from(5u8)) {
// lab:end
