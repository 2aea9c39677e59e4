// check: ipv4.strict
// mistake: a number above 255 is cut down to a byte
// lab:fill aton
    let mut bytes = [0; 4];
    let mut parts = text.split(".");
    for byte in &mut bytes {
        let part = parts.next()?;
        if part.len() > 1 && part.starts_with("0") || part.starts_with("+") {
            return None;
        }
        *byte = part.parse::<u32>().ok()? as u8;
    }
    parts.next().is_none().then_some(bytes)
// lab:end
