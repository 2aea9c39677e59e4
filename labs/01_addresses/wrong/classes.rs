// check: network.masks
// mistake: masks end at whole bytes only, as the old classes of addresses did
// lab:fill network
    let mask = u32::MAX.checked_shl(32 - length.div_ceil(8) * 8).unwrap_or(0);
    let first = u32::from_be_bytes(address) & mask;
    Network {
        mask: mask.to_be_bytes(),
        first: first.to_be_bytes(),
        last: (first | !mask).to_be_bytes(),
        addresses: u64::from(!mask) + 1,
    }
// lab:end
