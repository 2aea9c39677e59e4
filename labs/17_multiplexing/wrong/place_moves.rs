// check: poll.batch
// mistake: a client is taken out of the list while answers are left, which then meet the wrong clients
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
        for index in 1..list.len() {
            let answer = list[index].revents;
            if answer == 0 {
                continue;
            }
            if index > clients.len() {
                break;
            }
            let gone = answer & broken != 0;
            let ready = Ready { input: answer & libc::POLLIN != 0, output: answer & libc::POLLOUT != 0 };
            if gone || clients[index - 1].advance(ready) == Progress::Finished {
                clients.remove(index - 1);
            }
        }
        if list[0].revents != 0 {
            listener.accept_all(&mut clients, RawFd::MAX);
        }
// lab:end
