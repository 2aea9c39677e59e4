// way: fixed parts are taken as arrays, with patterns
// lab:fill number
    let rest = bytes.get(at..).ok_or(Error::Short)?;
    let [high, low, ..] = rest else { return Err(Error::Short) };
    Ok(u16::from(*high) << 8 | u16::from(*low))
// lab:end
// lab:fill transport-length
    match (protocol, segment) {
        (Protocol::Udp, [_, _, _, _, _, _, _, _, ..]) => Ok(8),
        (Protocol::Tcp, [_, _, _, _, _, _, _, _, _, _, _, _, offset, ..]) => match offset >> 4 {
            words @ 5.. => Ok(4 * words as usize),
            _ => Err(Error::BadHeader),
        },
        _ => Err(Error::Short),
    }
// lab:end
