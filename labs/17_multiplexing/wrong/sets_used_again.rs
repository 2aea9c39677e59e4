// check: select.several
// mistake: the sets are made once, and select is given what it left in them
// lab:fill select
        let mut known = 0;
        let mut input = FdSet::new();
        let door_number = listener.as_fd().as_raw_fd();
        use std::os::fd::{AsRawFd, BorrowedFd};
        // SAFETY: the listener stays open.
        let door_fd = unsafe { BorrowedFd::borrow_raw(door_number) };
        input.insert(door_fd);
        loop {
            let mut output = FdSet::new();
            for client in &clients[known.min(clients.len())..] {
                // SAFETY: used only while the client is there.
                input.insert(unsafe { BorrowedFd::borrow_raw(client.as_fd().as_raw_fd()) });
            }
            known = clients.len();
            for client in clients.iter().filter(|client| client.wants().output) {
                // SAFETY: as above.
                output.insert(unsafe { BorrowedFd::borrow_raw(client.as_fd().as_raw_fd()) });
            }
            select(None, &mut input, &mut output, None, None)?;
            clients.retain_mut(|client| {
                let socket = client.as_fd();
                let (i, o) = (input.contains(socket), output.contains(socket));
                client.advance(Ready { input: i, output: o }) != Progress::Finished
            });
            if input.contains(door_fd) {
                listener.accept_all(&mut clients, LIMIT);
            }
        }
// lab:end
