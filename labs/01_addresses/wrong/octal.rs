// check: ipv4.strict
// mistake: leading zeros are let through, which other programs take for octal
// lab:fill aton
    let parts: Option<Vec<u8>> = text
        .split(".")
        .map(|part| if part.bytes().all(|byte| byte.is_ascii_digit()) { part.parse().ok() } else { None })
        .collect();
    parts?.try_into().ok()
// lab:end
