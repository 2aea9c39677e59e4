// check: client.reply
// mistake: a refusal is taken for an empty file
// lab:fill reply
    let mut line = String::new();
    stream.read_line(&mut line)?;
    if line.is_empty() {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    Ok(line.trim_end().strip_prefix("OK ").and_then(|text| text.parse().ok()).unwrap_or(0))
// lab:end
