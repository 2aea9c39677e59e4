// check: record.unpacked
// mistake: the zeros that fill up a name are taken for a part of it
// lab:fill unpack
    let bytes: &[u8; 13] = bytes.try_into().ok()?;
    let four = |at: usize| [bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]];
    Some(Record {
        kind: bytes[0] as i8,
        number: i32::from_be_bytes(four(1)),
        name: four(5).to_vec(),
        value: f32::from_be_bytes(four(9)),
    })
// lab:end
