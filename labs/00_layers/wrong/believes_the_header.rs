// check: errors.others
// mistake: a header that is too short to be one is believed
// lab:fill ip-lengths
    let header = usize::from(packet.first().ok_or(Error::Short)? & 0x0f) * 4;
    let total = usize::from(number(packet, 2)?);
    if packet.len() < total {
        return Err(Error::Short);
    }
    Ok((header, total))
// lab:end
