// check: encode.length
// mistake: the length goes out low byte first, as this machine has it
// lab:fill encode-length
            if message.len() > LENGTH_MAX {
                return Err(Error::TooLong);
            }
            wire.extend((message.len() as u32).to_ne_bytes());
            wire.extend(message);
            Ok(())
// lab:end
