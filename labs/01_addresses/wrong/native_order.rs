// check: order.numbers
// mistake: numbers travel in the order of the machine
// lab:fill hton
    number.to_ne_bytes()
// lab:end
// lab:fill hton32
    number.to_ne_bytes()
// lab:end
// lab:fill ntoh
    u32::from_ne_bytes(bytes)
// lab:end
