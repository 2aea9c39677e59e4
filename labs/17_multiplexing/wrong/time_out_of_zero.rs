// check: select.idle
// mistake: select is asked not to wait, round after round
// lab:fill select
        use nix::sys::time::{TimeVal, TimeValLike};
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
        let mut at_once = TimeVal::milliseconds(0);
        match select(None, &mut input, &mut output, None, &mut at_once) {
            Ok(0) | Err(Errno::EINTR) => continue,
            answer => answer?,
        };
        let mut ready = Vec::new();
        for client in &clients {
            let socket = client.as_fd();
            ready.push(Ready { input: input.contains(socket), output: output.contains(socket) });
        }
        let somebody_came = input.contains(door.as_fd());
        let mut ready = ready.into_iter();
        clients.retain_mut(|client| ready.next().is_none_or(|r| client.turn(r) != Turn::Over));
        if somebody_came {
            door.admit(&mut clients, LIMIT);
        }
// lab:end
