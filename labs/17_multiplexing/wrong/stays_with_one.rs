// check: poll.several
// mistake: once a client is ready, everybody waits until its request is whole and answered
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
            input: answer.intersects(PollFlags::POLLIN | broken),
            output: answer.intersects(PollFlags::POLLOUT | broken),
        });
        // In the order of the list, whoever leaves; those who come now were not asked and join at the end.
        clients.retain_mut(|client| ready.next().is_none_or(|r| {
            let mut turn = client.turn(r);
            while r.input && turn == Turn::Something {
                let mut one = [PollFd::new(client.as_fd(), PollFlags::POLLIN)];
                let _ = poll(&mut one, PollTimeout::from(1000u16));
                turn = client.turn(Ready { input: true, output: true });
            }
            turn != Turn::Over
        }));
        if !answers[0].is_empty() {
            door.admit(&mut clients, RawFd::MAX);
        }
// lab:end
