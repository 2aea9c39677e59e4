// check: discover.all
// mistake: the search ends with the first answer
// lab:fill gather
    socket.send_to(&wire::ask(id, "HELLO"), to)?;
    let deadline = Instant::now() + wait;
    while let Some(datagram) = udp::receive_until(socket, deadline)? {
        if let Some((answered, words)) = wire::parse_answer(&datagram.bytes)
            && let Some(name) = words.strip_prefix("HERE ")
            && answered == id
        {
            found(datagram.from, name);
            break;
        }
    }
    Ok(())
// lab:end
