// check: network.masks
// mistake: the mask has its ones at the end
// lab:replace network
    let mask = u32::MAX.checked_shl(32 - length).unwrap_or(0);
// lab:with
    let mask = if length == 32 { u32::MAX } else { (1u32 << length) - 1 };
// lab:end
