// check: select.beyond_1023
// mistake: every client gets a bit in the set, whatever its number
// lab:replace select
            listener.accept_all(&mut clients, LIMIT);
// lab:with
            listener.accept_all(&mut clients, RawFd::MAX);
// lab:end
