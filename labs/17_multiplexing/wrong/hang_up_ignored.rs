// check: poll.hang_up
// mistake: the answer is compared with POLLIN and POLLOUT, and has other bits as well after a reset
// lab:fill poll
        let mut list = vec![PollFd::new(door.as_fd(), PollFlags::POLLIN)];
        for client in &clients {
            let wants = client.wants();
            let mut events = PollFlags::empty();
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
            input: *answer == PollFlags::POLLIN,
            output: *answer == PollFlags::POLLOUT,
        });
        // In the order of the list, whoever leaves; those who come now were not asked and join at the end.
        clients.retain_mut(|client| ready.next().is_none_or(|r| client.turn(r) != Turn::Over));
        if !answers[0].is_empty() {
            door.admit(&mut clients, RawFd::MAX);
        }
// lab:end
