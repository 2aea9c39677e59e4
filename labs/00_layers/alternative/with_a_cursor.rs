// way: the addresses are read as numbers of 32 bits
// lab:fill association
    let word = |at: usize| -> Result<u32, Error> {
        Ok(u32::from(number(packet, at)?) << 16 | u32::from(number(packet, at + 2)?))
    };
    let source = SocketAddrV4::new(Ipv4Addr::from(word(12)?), number(segment, 0)?);
    let destination = SocketAddrV4::new(Ipv4Addr::from(word(16)?), number(segment, 2)?);
    Ok(Association { protocol, source, destination })
// lab:end
