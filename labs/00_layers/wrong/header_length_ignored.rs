// check: layers.options
// mistake: the header of IPv4 is taken to have 20 bytes always
// lab:fill ip-lengths
    let total = usize::from(number(packet, 2)?);
    if packet.first().ok_or(Error::Short)? >> 4 != 4 || packet[0] & 15 < 5 || total < 20 {
        return Err(Error::BadHeader);
    }
    if packet.len() < total {
        return Err(Error::Short);
    }
    Ok((20, total))
// lab:end
