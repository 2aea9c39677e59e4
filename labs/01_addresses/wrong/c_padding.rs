// check: record.packed
// mistake: gaps as in a struct of C
// lab:replace pack
    bytes.extend(record.number.to_be_bytes());
// lab:with
    bytes.extend([0; 3]);
    bytes.extend(record.number.to_be_bytes());
// lab:end
