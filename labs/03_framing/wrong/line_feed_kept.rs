// check: decode.whole
// mistake: the line feed is taken for a part of the message
// lab:fill decode-line
                match self.buffer.iter().position(|byte| *byte == 10) {
                    Some(end) => Ok(Some(self.buffer.drain(..=end).collect())),
                    None if self.buffer.len() > LINE_MAX => Err(Error::TooLong),
                    None => Ok(None),
                }
// lab:end
