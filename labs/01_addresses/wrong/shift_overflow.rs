// check: network.ends_of_the_range
// mistake: /0 is a shift by 32 bits
// lab:fill network
    let mask = u32::MAX.wrapping_shl(32 - length);
    let first = u32::from_be_bytes(address) & mask;
    Network {
        mask: mask.to_be_bytes(),
        first: first.to_be_bytes(),
        last: (first | !mask).to_be_bytes(),
        addresses: 1 << (32 - length),
    }
// lab:end
