// check: poll.beyond_1023
// mistake: poll refuses what only select cannot watch
// lab:replace poll
            listener.accept_all(&mut clients, RawFd::MAX);
// lab:with
            listener.accept_all(&mut clients, libc::FD_SETSIZE as RawFd);
// lab:end
