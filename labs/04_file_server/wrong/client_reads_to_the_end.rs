// check: client.every_byte
// mistake: the client reads until the connection ends, which stays open
// lab:fill exactly
    let mut bytes = Vec::new();
    from.read_to_end(&mut bytes)?;
    if (bytes.len() as u64) < length {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    into.write_all(&bytes)
// lab:end
