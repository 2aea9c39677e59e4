// check: client.put
// mistake: the file is read and sent as text, in lines
// lab:fill upload
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes)?;
    let text = String::from_utf8_lossy(&bytes);
    writeln!(stream, "PUT {path} {}", bytes.len())?;
    for line in text.lines() {
        writeln!(stream, "{line}")?;
    }
    Ok(())
// lab:end
