// check: discover.ends
// mistake: each answer makes the search begin its time again
// lab:fill gather
    socket.send_to(&wire::ask(id, "HELLO"), to)?;
    let mut known = std::collections::HashSet::new();
    while let Some(datagram) = udp::receive_until(socket, Instant::now() + wait)? {
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
