// check: select.several
// mistake: the first argument of select is the highest number, and not one more
// lab:fill select
        use std::os::fd::AsRawFd;
        let (mut input, mut output) = (FdSet::new(), FdSet::new());
        input.insert(listener.as_fd());
        let mut highest = listener.as_fd().as_raw_fd() + 1;
        for client in &clients {
            let wants = client.wants();
            if wants.input {
                input.insert(client.as_fd());
            }
            if wants.output {
                output.insert(client.as_fd());
            }
            highest = highest.max(client.as_fd().as_raw_fd());
        }
        select(highest, &mut input, &mut output, None, None)?;
        // A number that select was not told of is in the set as it was put there.
        let told = |number: RawFd| number < highest;
        let mut ready = Vec::new();
        for client in &clients {
            let (socket, told) = (client.as_fd(), told(client.as_fd().as_raw_fd()));
            ready.push(Ready {
                input: told && input.contains(socket),
                output: told && output.contains(socket),
            });
        }
        let accepts = input.contains(listener.as_fd());
        let mut ready = ready.into_iter();
        clients.retain_mut(|client| ready.next().is_none_or(|r| client.advance(r) != Progress::Finished));
        if accepts {
            listener.accept_all(&mut clients, LIMIT);
        }
// lab:end
