// check: client.every_byte
// mistake: the client looks for ## to know where the file ends
// lab:fill exactly
    let mut bytes = Vec::new();
    let mut chunk = [0; 1024];
    while (bytes.len() as u64) < length && !bytes.ends_with(b"##") {
        let count = from.take(1).read(&mut chunk)?;
        if count == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        bytes.extend_from_slice(&chunk[..count]);
    }
    into.write_all(bytes.strip_suffix(b"##").unwrap_or(&bytes))
// lab:end
