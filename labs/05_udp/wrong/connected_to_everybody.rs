// check: discover.broadcast
// mistake: the socket is connected to the broadcast address, from which no answer ever comes
// lab:replace gather
    socket.send_to(&wire::ask(id, "HELLO"), to)?;
// lab:with
    socket.connect(to)?;
    socket.send(&wire::ask(id, "HELLO"))?;
// lab:end
// lab:replace gather
            && !datagram.truncated
// lab:with
// lab:end
