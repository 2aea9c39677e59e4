// check: layers.padding
// mistake: the packet is taken to end where the frame ends
// lab:fill ip-lengths
    let first = *packet.first().ok_or(Error::Short)?;
    let header = usize::from(first & 0x0f) * 4;
    let total = usize::from(number(packet, 2)?);
    if first >> 4 != 4 || header < 20 || total < header {
        return Err(Error::BadHeader);
    }
    if packet.len() < total {
        return Err(Error::Short);
    }
    Ok((header, packet.len()))
// lab:end
