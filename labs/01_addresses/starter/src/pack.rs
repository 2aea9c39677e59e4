//! Numbers in the order of the network, and a record as bytes: what Python's `struct` calls `!bi4sf`.

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
    // hole: hton
    todo!("the two bytes of a number, as they travel")
}

/// A number of 32 bits as it travels.
pub fn hton32(number: u32) -> [u8; 4] {
    // hole: hton32
    todo!("the four bytes of a number, as they travel")
}

/// And back.
pub fn ntoh32(bytes: [u8; 4]) -> u32 {
    // hole: ntoh
    todo!("the number that four bytes mean")
}

/// The bytes of a record, without gaps; nothing if the name is too long.
pub fn pack(record: &Record) -> Option<Vec<u8>> {
    // hole: pack
    // How many bytes are that in all? (Not what a struct of C has.)
    todo!("the bytes of a record")
}

/// The record in these bytes, without the zeros that fill up its name; nothing if their number is wrong.
pub fn unpack(bytes: &[u8]) -> Option<Record> {
    // hole: unpack
    todo!("the record in these bytes")
}
