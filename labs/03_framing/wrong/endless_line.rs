// check: decode.endless_line
// mistake: a line may be as long as it likes
// lab:fill decode-line
                match self.buffer.iter().position(|byte| *byte == 10) {
                    Some(end) => {
                        let mut message: Vec<u8> = self.buffer.drain(..=end).collect();
                        message.pop();
                        Ok(Some(message))
                    }
                    None => Ok(None),
                }
// lab:end
