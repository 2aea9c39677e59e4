// way: select and poll of libc; clients stand in a table by number; the list of poll is kept from round to round
// lab:fill select
        use std::collections::BTreeMap;
        use std::os::fd::AsRawFd;
        let mut table: BTreeMap<RawFd, Client> = BTreeMap::new();
        loop {
            // SAFETY: all zero is the empty set.
            let mut sets: [libc::fd_set; 2] = unsafe { std::mem::zeroed() };
            let number = listener.as_fd().as_raw_fd();
            // SAFETY: this number and those in the table are below FD_SETSIZE.
            unsafe { libc::FD_SET(number, &mut sets[0]) };
            for (number, client) in &table {
                let which = usize::from(client.wants().output);
                // SAFETY: as above.
                unsafe { libc::FD_SET(*number, &mut sets[which]) };
            }
            let highest = table.keys().next_back().copied().unwrap_or(0).max(number);
            let [input, output] = &mut sets;
            let nothing = std::ptr::null_mut();
            // SAFETY: the sets live through the call.
            if unsafe { libc::select(highest + 1, input, output, nothing, nothing.cast()) } < 0 {
                let error = io::Error::last_os_error();
                if error.kind() == io::ErrorKind::Interrupted {
                    continue;
                }
                return Err(error);
            }
            // SAFETY: the sets are filled, and the numbers below their size.
            let is_in = |number: RawFd, set: usize| unsafe { libc::FD_ISSET(number, &sets[set]) };
            table.retain(|number, client| {
                let ready = Ready { input: is_in(*number, 0), output: is_in(*number, 1) };
                client.advance(ready) != Progress::Finished
            });
            if is_in(number, 0) {
                listener.accept_all(&mut clients, LIMIT);
                let new = clients.drain(..);
                table.extend(new.map(|client| (client.as_fd().as_raw_fd(), client)));
            }
        }
// lab:end
// lab:fill poll
        use std::os::fd::AsRawFd;
        let number = listener.as_fd().as_raw_fd();
        let entry = |fd: RawFd| libc::pollfd { fd, events: libc::POLLIN, revents: 0 };
        let mut list = vec![entry(number)];
        loop {
            // SAFETY: the list is as long as is said, and lives through the call.
            if unsafe { libc::poll(list.as_mut_ptr(), list.len() as libc::nfds_t, -1) } < 0 {
                continue;
            }
            // From the back: whoever takes the place of one that goes has had its turn.
            for index in (1..list.len()).rev().filter(|index| list[*index].revents != 0).collect::<Vec<_>>() {
                let place = &mut list[index];
                let client = &mut clients[index - 1];
                let broken = place.revents & (libc::POLLERR | libc::POLLHUP) != 0;
                let input = broken || place.revents & libc::POLLIN != 0;
                let output = broken || place.revents & libc::POLLOUT != 0;
                let progress = client.advance(Ready { input, output });
                place.events = if client.wants().input { libc::POLLIN } else { libc::POLLOUT };
                if progress == Progress::Finished {
                    clients.swap_remove(index - 1);
                    list.swap_remove(index);
                }
            }
            if list[0].revents != 0 {
                let before = clients.len();
                listener.accept_all(&mut clients, RawFd::MAX);
                list.extend(clients[before..].iter().map(|client| entry(client.as_fd().as_raw_fd())));
            }
        }
// lab:end
