// check: decode.every_cut
// mistake: a line is looked for only when what has arrived ends with a line feed
// lab:fill decode-line
                if self.buffer.last() != Some(&10) {
                    return if self.buffer.len() > LINE_MAX { Err(Error::TooLong) } else { Ok(None) };
                }
                match self.buffer.iter().position(|byte| *byte == 10) {
                    Some(end) => {
                        let mut message: Vec<u8> = self.buffer.drain(..=end).collect();
                        message.pop();
                        Ok(Some(message))
                    }
                    None => Ok(None),
                }
// lab:end
