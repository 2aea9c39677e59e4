// check: accept.stranger
// mistake: nobody looks who the answer comes from
// lab:fill accept
    let (answered, words) = wire::parse_answer(&datagram.bytes)?;
    (answered == id && !datagram.truncated).then(|| words.to_owned())
// lab:end
