// check: record.packed
// mistake: a name that is too long is cut without a word
// lab:fill pack
    let mut name = record.name.clone();
    name.resize(4, 0);
    let mut bytes = record.kind.to_be_bytes().to_vec();
    bytes.extend(record.number.to_be_bytes());
    bytes.extend(name);
    bytes.extend(record.value.to_be_bytes());
    Some(bytes)
// lab:end
