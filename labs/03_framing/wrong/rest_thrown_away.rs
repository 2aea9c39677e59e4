// check: decode.merged
// mistake: what follows the first line in the same piece is thrown away
// lab:fill decode-line
                match self.buffer.iter().position(|byte| *byte == 10) {
                    Some(end) => {
                        let message = self.buffer[..end].to_vec();
                        self.buffer.clear();
                        Ok(Some(message))
                    }
                    None if self.buffer.len() > LINE_MAX => Err(Error::TooLong),
                    None => Ok(None),
                }
// lab:end
