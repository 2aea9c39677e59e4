// check: poll.idle
// mistake: POLLOUT is asked for all the time, and there is room all the time
// lab:replace poll
            events.set(PollFlags::POLLOUT, wants.output);
// lab:with
            events.set(PollFlags::POLLOUT, true);
// lab:end
