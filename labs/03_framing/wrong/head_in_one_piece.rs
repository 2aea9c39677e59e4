// check: decode.byte_by_byte
// mistake: the four bytes of the length are taken to arrive together
// lab:fill decode-length
                if self.buffer.is_empty() {
                    return Ok(None);
                }
                let head: [u8; 4] = self.buffer[..4].try_into().expect("four bytes are four");
                let length = u32::from_be_bytes(head) as usize;
                if length > LENGTH_MAX {
                    return Err(Error::TooLong);
                }
                if self.buffer.len() < 4 + length {
                    return Ok(None);
                }
                let message = self.buffer[4..4 + length].to_vec();
                self.buffer.drain(..4 + length);
                Ok(Some(message))
// lab:end
