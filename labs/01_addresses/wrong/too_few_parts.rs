// check: ipv4.strict
// mistake: parts that are missing are taken for zeros, and parts too many ignored
// lab:fill aton
    let mut bytes = [0; 4];
    for (byte, part) in bytes.iter_mut().zip(text.split(".")) {
        *byte = part.parse().ok()?;
    }
    Some(bytes)
// lab:end
