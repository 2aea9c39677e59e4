// check: accept.late
// mistake: a late answer to an earlier request is taken for this one's
// lab:fill accept
    let _ = id;
    if datagram.from != self.server || datagram.truncated {
        return None;
    }
    wire::parse_answer(&datagram.bytes).map(|(_, words)| words.to_owned())
// lab:end
