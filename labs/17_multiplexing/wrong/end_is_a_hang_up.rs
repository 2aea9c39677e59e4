// check: poll.hang_up
// mistake: POLLRDHUP closes at once, though the client has asked before and may still read
// lab:fill poll
        const RDHUP: PollFlags = PollFlags::from_bits_retain(libc::POLLRDHUP);
        let mut list = vec![PollFd::new(door.as_fd(), PollFlags::POLLIN)];
        for client in &clients {
            let wants = client.wants();
            let mut events = RDHUP;
            events.set(PollFlags::POLLIN, wants.input);
            events.set(PollFlags::POLLOUT, wants.output);
            list.push(PollFd::new(client.as_fd(), events));
        }
        match poll(&mut list, PollTimeout::NONE) {
            Err(Errno::EINTR) => continue,
            answer => answer?,
        };
        // Whoever is broken is ready for everything: the next call on the socket will say what it is.
        let broken = PollFlags::POLLERR | PollFlags::POLLHUP | PollFlags::POLLNVAL;
        let answers: Vec<PollFlags> =
            list.iter().map(|entry| entry.revents().unwrap_or(broken)).collect();
        let mut ready = answers[1..].iter().map(|answer| Ready {
            input: answer.intersects(PollFlags::POLLIN | broken),
            output: answer.intersects(PollFlags::POLLOUT | broken),
        });
        // In the order of the list, whoever leaves; those who come now were not asked and join at the end.
        let mut gone = answers[1..].iter().map(|answer| answer.intersects(broken | RDHUP));
        clients.retain_mut(|client| {
            let gone = gone.next().unwrap_or(false);
            ready.next().is_none_or(|r| !gone && client.turn(r) != Turn::Over)
        });
        if !answers[0].is_empty() {
            door.admit(&mut clients, RawFd::MAX);
        }
// lab:end
