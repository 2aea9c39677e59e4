// check: poll.hang_up
// mistake: the answer is compared with POLLIN and POLLOUT, and has other bits as well after a reset
// lab:replace poll
            input: answer.intersects(PollFlags::POLLIN | broken),
            output: answer.intersects(PollFlags::POLLOUT | broken),
// lab:with
            input: *answer == PollFlags::POLLIN,
            output: *answer == PollFlags::POLLOUT,
// lab:end
