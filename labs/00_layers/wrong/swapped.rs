// check: association.five_tuple
// mistake: source and destination are swapped
// lab:fill association
    let address = |at: usize| {
        let bytes: [u8; 4] = packet.get(at..at + 4).ok_or(Error::Short)?.try_into().map_err(|_| Error::Short)?;
        Ok(Ipv4Addr::from(bytes))
    };
    Ok(Association {
        protocol,
        source: SocketAddrV4::new(address(16)?, number(segment, 2)?),
        destination: SocketAddrV4::new(address(12)?, number(segment, 0)?),
    })
// lab:end
