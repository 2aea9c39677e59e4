// check: record.packed
// mistake: gaps as in a struct of C
// lab:fill pack
    let mut name = record.name.clone();
    if name.len() > 4 {
        return None;
    }
    name.resize(4, 0);
    let mut bytes = record.kind.to_be_bytes().to_vec();
    bytes.extend([0; 3]);
    bytes.extend(record.number.to_be_bytes());
    bytes.extend(name);
    bytes.extend(record.value.to_be_bytes());
    Some(bytes)
// lab:end
