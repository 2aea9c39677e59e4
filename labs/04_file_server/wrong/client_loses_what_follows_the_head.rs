// check: client.reply
// mistake: whatever one read gives is taken for the head of the reply
// lab:fill reply
    let text = String::from_utf8_lossy(stream.fill_buf()?).into_owned();
    stream.consume(text.len());
    let head = text.lines().next().unwrap_or_default();
    match head.split_once(' ') {
        Some(("OK", length)) => length.trim().parse().map_err(io::Error::other),
        _ => Err(io::Error::other(head)),
    }
// lab:end
