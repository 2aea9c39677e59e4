// check: select.beyond_1023
// mistake: a client whose number is too high is let in, and never watched
// lab:fill select
        use std::os::fd::AsRawFd;
        // Made anew each time: select leaves in the sets only what is ready.
        let (mut input, mut output) = (FdSet::new(), FdSet::new());
        input.insert(listener.as_fd());
        for client in &clients {
            if client.as_fd().as_raw_fd() >= LIMIT {
                continue;
            }
            let wants = client.wants();
            if wants.input {
                input.insert(client.as_fd());
            }
            if wants.output {
                output.insert(client.as_fd());
            }
        }
        match select(None, &mut input, &mut output, None, None) {
            Err(Errno::EINTR) => continue,
            answer => answer?,
        };
        // Read off now: once a client is closed, its number may be another's.
        let mut ready = Vec::with_capacity(clients.len());
        for client in &clients {
            let socket = client.as_fd();
            if socket.as_raw_fd() >= LIMIT {
                ready.push(Ready::default());
                continue;
            }
            ready.push(Ready { input: input.contains(socket), output: output.contains(socket) });
        }
        let accepts = input.contains(listener.as_fd());
        let mut ready = ready.into_iter();
        clients.retain_mut(|client| ready.next().is_none_or(|r| client.advance(r) != Progress::Finished));
        if accepts {
            listener.accept_all(&mut clients, RawFd::MAX);
        }
// lab:end
