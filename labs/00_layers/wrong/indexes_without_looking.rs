// check: errors.truncated
// mistake: bytes are indexed without a look at how many there are
// lab:fill number
    Ok(u16::from_be_bytes([bytes[at], bytes[at + 1]]))
// lab:end
