// check: select.beyond_1023
// mistake: every client gets a bit in the set, whatever its number
// lab:replace select
            door.admit(&mut clients, LIMIT);
// lab:with
            door.admit(&mut clients, RawFd::MAX);
// lab:end
