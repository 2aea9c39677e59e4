// check: decode.merged
// mistake: an empty message is taken for nothing at all
// lab:fill decode-line
                while self.buffer.first() == Some(&10) {
                    self.buffer.remove(0);
                }
                match self.buffer.iter().position(|byte| *byte == 10) {
                    Some(end) => {
                        let mut message: Vec<u8> = self.buffer.drain(..=end).collect();
                        message.pop();
                        Ok(Some(message))
                    }
                    None if self.buffer.len() > LINE_MAX => Err(Error::TooLong),
                    None => Ok(None),
                }
// lab:end
