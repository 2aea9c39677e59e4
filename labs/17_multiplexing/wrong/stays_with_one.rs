// check: poll.several
// mistake: once a client is ready, everybody waits until its request is whole and answered
// lab:replace poll
            ready.next().is_none_or(|r| client.advance(r) != Progress::Finished)
// lab:with
            ready.next().is_none_or(|r| {
                let mut progress = client.advance(r);
                while r.input && progress == Progress::Moved {
                    let mut one = [PollFd::new(client.as_fd(), PollFlags::POLLIN)];
                    let _ = poll(&mut one, PollTimeout::from(1000u16));
                    progress = client.advance(Ready { input: true, output: true });
                }
                progress != Progress::Finished
            })
// lab:end
