// check: ipv6.text_to_bytes
// mistake: `::` is only understood before and after a group, and anywhere
// lab:fill pton6
    let parts: Vec<&str> = text.split("::").collect();
    let groups = |text: &str| -> Option<Vec<u16>> {
        text.split(":").filter(|part| !part.is_empty()).map(|part| u16::from_str_radix(part, 16).ok()).collect()
    };
    let mut all = groups(parts[0])?;
    if parts.len() > 1 {
        let after = groups(parts[1])?;
        all.resize(8usize.saturating_sub(after.len()), 0);
        all.extend(after);
    }
    let all: [u16; 8] = all.try_into().ok()?;
    let mut bytes = [0; 16];
    for (pair, group) in bytes.chunks_exact_mut(2).zip(all) {
        pair.copy_from_slice(&group.to_be_bytes());
    }
    Some(bytes)
// lab:end
