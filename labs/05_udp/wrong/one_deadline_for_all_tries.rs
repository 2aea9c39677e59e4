// check: loss.gives_up
// mistake: the deadline of the first try is that of all, so the later ones do not wait
// lab:fill call
    let id = self.next_id();
    let deadline = Instant::now() + self.timeout;
    for _ in 0..self.tries {
        self.socket.send_to(&wire::ask(id, words), self.server)?;
        while let Some(datagram) = udp::receive_until(&self.socket, deadline)? {
            if let Some(answer) = self.accept(&datagram, id) {
                return Ok(Some(answer));
            }
        }
    }
    Ok(None)
// lab:end
