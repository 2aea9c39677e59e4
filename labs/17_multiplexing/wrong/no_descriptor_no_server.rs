// check: poll.no_descriptors
// mistake: EMFILE ends the server
// lab:fill accept
        let mut came = false;
        // Some at a time: those who are here already have their turns, too.
        for _ in 0..64 {
            match self.socket.accept() {
                Ok((stream, _)) if stream.as_raw_fd() >= limit => refuse(stream),
                Ok((stream, _)) => match Client::new(stream, &self.root) {
                    Ok(client) => clients.push(client),
                    Err(error) => eprintln!("a client was lost: {error}"),
                },
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) if is_of_one_client(&error) => {}
                Err(error) => panic!("accept: {error}"),
            }
            came = true;
        }
        came
// lab:end
