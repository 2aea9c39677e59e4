// check: poll.hang_up
// mistake: POLLRDHUP closes at once, though the client has asked before and may still read
// lab:replace poll
        let mut list = vec![PollFd::new(listener.as_fd(), PollFlags::POLLIN)];
// lab:with
        const RDHUP: PollFlags = PollFlags::from_bits_retain(libc::POLLRDHUP);
        let mut list = vec![PollFd::new(listener.as_fd(), PollFlags::POLLIN)];
// lab:end
// lab:replace poll
            let mut events = PollFlags::empty();
// lab:with
            let mut events = RDHUP;
// lab:end
// lab:replace poll
        clients.retain_mut(|client| {
            ready.next().is_none_or(|r| client.advance(r) != Progress::Finished)
// lab:with
        let mut gone = answers[1..].iter().map(|answer| answer.intersects(broken | RDHUP));
        clients.retain_mut(|client| {
            let gone = gone.next().unwrap_or(false);
            ready.next().is_none_or(|r| !gone && client.advance(r) != Progress::Finished)
// lab:end
