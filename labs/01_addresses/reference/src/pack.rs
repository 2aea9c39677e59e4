//! Numbers in the order of the network, and a record as bytes: what Python's `struct` calls `!bi4sf`.

// lab:canary heron-01-pack
/// What a record holds.
#[derive(Clone, Debug, PartialEq)]
pub struct Record {
    /// `b`: one byte, with a sign.
    pub kind: i8,
    /// `i`: four bytes, with a sign.
    pub number: i32,
    /// `4s`: up to four bytes of text; filled up with zeros.
    pub name: Vec<u8>,
    /// `f`: four bytes, as IEEE 754 has them.
    pub value: f32,
}

/// A number of 16 bits as it travels.
pub fn hton16(number: u16) -> [u8; 2] {
    // lab:hole hton
    number.to_be_bytes()
    // lab:stub todo!("the two bytes of a number, as they travel")
    // lab:end
}

/// A number of 32 bits as it travels.
pub fn hton32(number: u32) -> [u8; 4] {
    // lab:hole hton32
    number.to_be_bytes()
    // lab:stub todo!("the four bytes of a number, as they travel")
    // lab:end
}

/// And back.
pub fn ntoh32(bytes: [u8; 4]) -> u32 {
    // lab:hole ntoh
    u32::from_be_bytes(bytes)
    // lab:stub todo!("the number that four bytes mean")
    // lab:end
}

/// The bytes of a record, without gaps; nothing if the name is too long.
pub fn pack(record: &Record) -> Option<Vec<u8>> {
    // lab:hole pack
    let mut name = record.name.clone();
    if name.len() > 4 {
        return None;
    }
    name.resize(4, 0);
    let mut bytes = record.kind.to_be_bytes().to_vec();
    bytes.extend(record.number.to_be_bytes());
    bytes.extend(name);
    bytes.extend(record.value.to_be_bytes());
    Some(bytes)
    // lab:stub // How many bytes are that in all? (Not what a struct of C has.)
    // lab:stub todo!("the bytes of a record")
    // lab:end
}

/// The record in these bytes, without the zeros that fill up its name; nothing if their number is wrong.
pub fn unpack(bytes: &[u8]) -> Option<Record> {
    // lab:hole unpack
    let bytes: &[u8; 13] = bytes.try_into().ok()?;
    let four = |at: usize| [bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]];
    let mut name = four(5).to_vec();
    while name.last() == Some(&0) {
        name.pop();
    }
    Some(Record {
        kind: bytes[0] as i8,
        number: i32::from_be_bytes(four(1)),
        name,
        value: f32::from_be_bytes(four(9)),
    })
    // lab:stub todo!("the record in these bytes")
    // lab:end
}
