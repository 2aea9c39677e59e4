// way: the socket is connected, so the kernel keeps strangers out; the wait doubles with each try
// lab:fill call
    self.socket.connect(self.server)?;
    let id = self.next_id();
    let request = wire::ask(id, words);
    let refused = |error: &io::Error| error.kind() == io::ErrorKind::ConnectionRefused;
    let mut timeout = self.timeout;
    for _ in 0..self.tries {
        match self.socket.send(&request) {
            Err(error) if refused(&error) => {
                // This was the news of the last try; now the socket is free for the next.
                self.socket.send(&request).or_else(|error| {
                    if refused(&error) { Ok(0) } else { Err(error) }
                })?;
            }
            sent => {
                sent?;
            }
        }
        let deadline = Instant::now() + timeout;
        loop {
            match udp::receive_until(&self.socket, deadline) {
                Ok(Some(datagram)) => {
                    if let Some(answer) = self.accept(&datagram, id) {
                        return Ok(Some(answer));
                    }
                }
                Ok(None) => break,
                Err(error) if refused(&error) => {}
                Err(error) => return Err(error),
            }
        }
        timeout = (timeout * 2).min(self.timeout * 4);
    }
    Ok(None)
// lab:end
// lab:fill accept
    if datagram.truncated {
        return None;
    }
    match wire::parse_answer(&datagram.bytes) {
        Some((answered, words)) if answered == id => Some(words.to_owned()),
        _ => None,
    }
// lab:end
