// way: `write_all` and `read_exact`, and the file in memory at once
// lab:fill serve-blocking
    while !session.is_over() {
        let output = session.output()?.to_vec();
        if !output.is_empty() {
            stream.write_all(&output)?;
            session.sent(output.len());
            continue;
        }
        match stream.read(&mut bytes) {
            Ok(0) => session.ended(),
            Ok(count) => session.received(&bytes[..count]),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
// lab:end
// lab:fill refill
            let mut all = vec![0; *left as usize];
            file.read_exact(&mut all)?;
            *left = 0;
            self.output.append(&mut all);
            return Ok(());
// lab:end
// lab:fill exactly
    let mut bytes = vec![0; length as usize];
    from.read_exact(&mut bytes)?;
    into.write_all(&bytes)?;
    into.flush()
// lab:end
// lab:fill reply
    let mut line = Vec::new();
    let mut byte = [0];
    loop {
        stream.read_exact(&mut byte)?;
        match byte {
            [b'\n'] => break,
            [byte] => line.push(byte),
        }
        if line.len() as u64 >= LINE_MAX {
            return Err(io::ErrorKind::InvalidData.into());
        }
    }
    let line = String::from_utf8(line).map_err(io::Error::other)?;
    match line.split_once(' ') {
        Some(("OK", length)) => length.parse().map_err(io::Error::other),
        _ => Err(io::Error::other(line)),
    }
// lab:end
