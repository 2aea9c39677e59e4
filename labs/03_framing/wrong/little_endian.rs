// check: encode.length
// mistake: the length goes out low byte first, as this machine has it
// lab:replace encode-length
            wire.extend((message.len() as u32).to_be_bytes());
// lab:with
            wire.extend((message.len() as u32).to_ne_bytes());
// lab:end
