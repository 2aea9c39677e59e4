// way: bytes by shifts, networks by counting
// lab:fill hton
    [(number >> 8) as u8, number as u8]
// lab:end
// lab:fill hton32
    [24, 16, 8, 0].map(|bits| (number >> bits) as u8)
// lab:end
// lab:fill ntoh
    bytes.into_iter().fold(0, |number, byte| number << 8 | u32::from(byte))
// lab:end
// lab:fill network
    let size = 1u64 << (32 - length);
    let first = u64::from(u32::from_be_bytes(address)) / size * size;
    let bytes = |number: u64| (number as u32).to_be_bytes();
    Network { mask: bytes((1 << 32) - size), first: bytes(first), last: bytes(first + size - 1), addresses: size }
// lab:end
