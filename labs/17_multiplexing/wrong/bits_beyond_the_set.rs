// check: select.beyond_1023
// mistake: every client gets a bit in the set, whatever its number
// lab:fill select
        // Made anew each time: select leaves in the sets only what is ready.
        let (mut input, mut output) = (FdSet::new(), FdSet::new());
        input.insert(door.as_fd());
        for client in &clients {
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
            ready.push(Ready { input: input.contains(socket), output: output.contains(socket) });
        }
        let somebody_came = input.contains(door.as_fd());
        let mut ready = ready.into_iter();
        clients.retain_mut(|client| ready.next().is_none_or(|r| client.turn(r) != Turn::Over));
        if somebody_came {
            door.admit(&mut clients, RawFd::MAX);
        }
// lab:end
