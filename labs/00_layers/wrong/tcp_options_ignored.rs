// check: layers.options
// mistake: the header of TCP is taken to have 20 bytes always
// lab:fill transport-length
    let length = if protocol == Protocol::Udp { 8 } else { 20 };
    if segment.len() < length { Err(Error::Short) } else { Ok(length) }
// lab:end
