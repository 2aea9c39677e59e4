// check: encode.length
// mistake: the length is cut to 16 bits
// lab:fill encode-length
            wire.extend(u32::from(message.len() as u16).to_be_bytes());
            wire.extend(message);
            Ok(())
// lab:end
