// check: poll.several
// mistake: once a client is ready, everybody waits until its request is whole and answered
// lab:replace poll
        clients.retain_mut(|client| ready.next().is_none_or(|r| client.turn(r) != Turn::Over));
// lab:with
        clients.retain_mut(|client| ready.next().is_none_or(|r| {
            let mut turn = client.turn(r);
            while r.input && turn == Turn::Something {
                let mut one = [PollFd::new(client.as_fd(), PollFlags::POLLIN)];
                let _ = poll(&mut one, PollTimeout::from(1000u16));
                turn = client.turn(Ready { input: true, output: true });
            }
            turn != Turn::Over
        }));
// lab:end
