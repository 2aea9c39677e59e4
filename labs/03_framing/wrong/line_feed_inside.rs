// check: encode.line
// mistake: a message with a line feed inside is sent, and arrives as two
// lab:fill encode-line
            if message.len() > LINE_MAX {
                return Err(Error::TooLong);
            }
            wire.extend(message);
            wire.push(10);
            Ok(())
// lab:end
