// check: ipv4.bytes_to_text
// mistake: the last byte is written first
// lab:fill ntoa
    let [a, b, c, d] = bytes;
    format!("{d}.{c}.{b}.{a}")
// lab:end
