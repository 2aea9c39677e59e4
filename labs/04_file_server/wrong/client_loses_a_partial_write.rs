// check: client.put
// mistake: one write is taken to have sent everything
// lab:fill upload
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes)?;
    writeln!(stream, "PUT {path} {}", bytes.len())?;
    let _ = stream.write(&bytes)?;
    Ok(())
// lab:end
