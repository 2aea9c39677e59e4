// check: layers.tcp
// mistake: numbers are read in the order of the machine, low byte first
// lab:fill number
    match bytes.get(at..at + 2) {
        Some(&[low, high]) => Ok(u16::from_be_bytes([high, low])),
        _ => Err(Error::Short),
    }
// lab:end
