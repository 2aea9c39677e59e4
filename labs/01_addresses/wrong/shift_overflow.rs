// check: network.ends_of_the_range
// mistake: /0 is a shift by 32 bits
// lab:replace network
    let mask = u32::MAX.checked_shl(32 - length).unwrap_or(0);
// lab:with
    let mask = u32::MAX.wrapping_shl(32 - length);
// lab:end
