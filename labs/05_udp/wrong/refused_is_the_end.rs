// check: loss.nobody_yet
// mistake: the socket is connected, and the kernel's report that nobody took an earlier try ends the client
// lab:fill call
    self.socket.connect(self.server)?;
    let id = self.next_id();
    for _ in 0..self.tries {
        self.socket.send(&wire::ask(id, words))?;
        let deadline = Instant::now() + self.timeout;
        while let Some(datagram) = udp::receive_until(&self.socket, deadline)? {
            if let Some(answer) = self.accept(&datagram, id) {
                return Ok(Some(answer));
            }
        }
    }
    Ok(None)
// lab:end
