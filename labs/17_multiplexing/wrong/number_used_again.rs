// check: poll.batch
// mistake: hang-ups are looked up by number after new clients were let in, of whom one has that number now
// lab:fill poll
        use std::os::fd::AsRawFd;
        let mut list = vec![libc::pollfd { fd: listener.as_fd().as_raw_fd(), events: libc::POLLIN, revents: 0 }];
        for client in &clients {
            let wants = client.wants();
            let events = if wants.input { libc::POLLIN } else { libc::POLLOUT };
            list.push(libc::pollfd { fd: client.as_fd().as_raw_fd(), events, revents: 0 });
        }
        // SAFETY: the list is as long as is said, and lives through the call.
        if unsafe { libc::poll(list.as_mut_ptr(), list.len() as libc::nfds_t, -1) } < 0 {
            continue;
        }
        let broken = libc::POLLERR | libc::POLLHUP;
        // First whatever can be read or written, ...
        let by_number = |fd: RawFd| move |client: &Client| client.as_fd().as_raw_fd() == fd;
        for entry in &list[1..] {
            let Some(index) = clients.iter().position(by_number(entry.fd)) else { continue };
            let input = entry.revents & libc::POLLIN != 0;
            let output = entry.revents & libc::POLLOUT != 0;
            if clients[index].advance(Ready { input, output }) == Progress::Finished {
                clients.remove(index);
            }
        }
        // ... then whoever comes, ...
        if list[0].revents != 0 {
            listener.accept_all(&mut clients, RawFd::MAX);
        }
        // ... and at last whoever has gone.
        for entry in list[1..].iter().filter(|entry| entry.revents & broken != 0) {
            clients.retain(|client| client.as_fd().as_raw_fd() != entry.fd);
        }
// lab:end
