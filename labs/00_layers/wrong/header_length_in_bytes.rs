// check: layers.tcp
// mistake: the length of the header is read as bytes, not as words of 4 bytes
// lab:fill ip-lengths
    let header = usize::from(packet.first().ok_or(Error::Short)? & 0x0f);
    let total = usize::from(number(packet, 2)?);
    if packet.len() < total {
        return Err(Error::Short);
    }
    Ok((header, total))
// lab:end
