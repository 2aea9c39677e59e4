// check: network.masks
// mistake: the mask has its ones at the end
// lab:fill network
    let mask = if length == 32 { u32::MAX } else { (1u32 << length) - 1 };
    let first = u32::from_be_bytes(address) & mask;
    Network {
        mask: mask.to_be_bytes(),
        first: first.to_be_bytes(),
        last: (first | !mask).to_be_bytes(),
        addresses: 1 << (32 - length),
    }
// lab:end
