// check: poll.beyond_1023
// mistake: poll refuses what only select cannot watch
// lab:replace poll
            door.admit(&mut clients, RawFd::MAX);
// lab:with
            door.admit(&mut clients, libc::FD_SETSIZE as RawFd);
// lab:end
