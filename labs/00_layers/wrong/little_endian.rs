// check: layers.tcp
// mistake: numbers are read in the order of the machine, low byte first
// lab:replace number
        Some(&[high, low]) => Ok(u16::from_be_bytes([high, low])),
// lab:with
        Some(&[low, high]) => Ok(u16::from_be_bytes([high, low])),
// lab:end
