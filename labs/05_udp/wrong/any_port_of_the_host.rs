// check: accept.stranger
// mistake: only the host is compared, so another program there may answer as the server
// lab:fill accept
    if datagram.from.ip() != self.server.ip() || datagram.truncated {
        return None;
    }
    let (answered, words) = wire::parse_answer(&datagram.bytes)?;
    (answered == id).then(|| words.to_owned())
// lab:end
