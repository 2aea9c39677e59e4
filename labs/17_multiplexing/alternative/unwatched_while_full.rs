// way: without a descriptor for the next client the listening socket is not watched until a client leaves; a share is four reads
// lab:fill accept
        let _ = (&self.spare, is_of_one_client, refuse, limit);
        self.spare = None;
        match self.socket.accept() {
            Ok((stream, _)) if stream.as_raw_fd() >= limit => true,
            Ok((stream, _)) => {
                clients.extend(Client::new(stream, &self.root));
                true
            }
            Err(error) => {
                let nobody = [io::ErrorKind::WouldBlock, io::ErrorKind::Interrupted];
                let aborted = error.kind() == io::ErrorKind::ConnectionAborted;
                aborted || nobody.contains(&error.kind()) && limit < RawFd::MAX
            }
        }
// lab:end
// lab:fill advance
        let mut some = false;
        for _ in 0..4 {
            let wants = self.wants();
            let moved = match (ready.input && wants.input, (ready.output || some) && wants.output) {
                (true, _) => self.receive(),
                (_, true) => self.send(),
                _ => Ok(false),
            };
            match moved {
                Err(_) => return Progress::Finished,
                _ if self.session.is_over() => return Progress::Finished,
                Ok(true) => some = true,
                Ok(false) => break,
            }
        }
        if some { Progress::Moved } else { Progress::None }
// lab:end
// lab:fill spin
        let moved = listener.accept_all(&mut clients, RawFd::MAX);
        let before = clients.len();
        let mut busy = moved || before == usize::MAX;
        for mut client in std::mem::take(&mut clients) {
            let progress = client.advance(Ready { input: true, output: true });
            busy |= progress == Progress::Moved;
            if progress != Progress::Finished {
                clients.push(client);
            }
        }
        if !busy {
            std::thread::sleep(PAUSE * 5);
        }
// lab:end
// lab:fill poll
        let mut shut = false;
        loop {
            let events = if shut { PollFlags::empty() } else { PollFlags::POLLIN };
            let mut list = vec![PollFd::new(listener.as_fd(), events)];
            list.extend(clients.iter().map(|client| {
                let input = client.wants().input;
                let events = if input { PollFlags::POLLIN } else { PollFlags::POLLOUT };
                PollFd::new(client.as_fd(), events)
            }));
            match poll(&mut list, PollTimeout::NONE) {
                Err(Errno::EINTR) => continue,
                answer => answer?,
            };
            let answers: Vec<bool> = list.iter().map(|entry| entry.any() == Some(true)).collect();
            let before = clients.len();
            let mut answer = answers[1..].iter();
            // Whatever the answer is, the calls find out.
            clients.retain_mut(|client| {
                let some = answer.next() == Some(&true);
                !some || client.advance(Ready { input: true, output: true }) != Progress::Finished
            });
            if clients.len() < before {
                shut = false;
            }
            if answers[0] && !shut {
                let came = listener.accept_all(&mut clients, RawFd::MAX);
                shut = !came && !clients.is_empty();
            }
        }
// lab:end
