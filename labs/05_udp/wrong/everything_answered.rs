// check: server.no_storm
// mistake: a complaint in answer to whatever is no request, answers and complaints too
// lab:fill handle
    let Some((id, words)) = wire::parse_ask(&datagram.bytes) else {
        return Some(wire::answer(0, "ERR this is no request"));
    };
    if datagram.truncated {
        return Some(wire::answer(id, "ERR too long"));
    }
    self.execute_once(datagram.from, id, words)
// lab:end
