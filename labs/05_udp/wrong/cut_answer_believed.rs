// check: accept.oversized
// mistake: the beginning of an answer that was cut is taken for all of it
// lab:fill accept
    if datagram.from != self.server {
        return None;
    }
    let (answered, words) = wire::parse_answer(&datagram.bytes)?;
    (answered == id).then(|| words.to_owned())
// lab:end
