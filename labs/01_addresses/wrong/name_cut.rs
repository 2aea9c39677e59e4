// check: record.packed
// mistake: a name that is too long is cut without a word
// lab:replace pack
    if name.len() > 4 {
        return None;
    }
// lab:with
// lab:end
