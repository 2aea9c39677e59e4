// check: encode.length
// mistake: the length counts its own four bytes
// lab:fill encode-length
            wire.extend((message.len() as u32 + 4).to_be_bytes());
            wire.extend(message);
            Ok(())
// lab:end
