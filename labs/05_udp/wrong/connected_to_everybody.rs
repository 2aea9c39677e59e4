// check: discover.broadcast
// mistake: the socket is connected to the broadcast address, from which no answer ever comes
// lab:fill gather
    socket.connect(to)?;
    socket.send(&wire::ask(id, "HELLO"))?;
    let deadline = Instant::now() + wait;
    let mut known = std::collections::HashSet::new();
    while let Some(datagram) = udp::receive_until(socket, deadline)? {
        if let Some((answered, words)) = wire::parse_answer(&datagram.bytes)
            && let Some(name) = words.strip_prefix("HERE ")
            && answered == id
            && known.insert(datagram.from)
        {
            found(datagram.from, name);
        }
    }
    Ok(())
// lab:end
