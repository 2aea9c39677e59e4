// check: client.every_byte
// mistake: one read is taken to give the whole file
// lab:fill exactly
    let mut bytes = vec![0; usize::try_from(length).unwrap_or(usize::MAX)];
    let count = from.read(&mut bytes)?;
    if count == 0 && length > 0 {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    into.write_all(&bytes[..count])
// lab:end
