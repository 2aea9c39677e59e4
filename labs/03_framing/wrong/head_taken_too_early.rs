// check: decode.every_cut
// mistake: the length is taken out of the buffer before its message is there, and is forgotten
// lab:fill decode-length
                if self.buffer.len() < 4 {
                    return Ok(None);
                }
                let head: Vec<u8> = self.buffer.drain(..4).collect();
                let length = u32::from_be_bytes([head[0], head[1], head[2], head[3]]) as usize;
                if length > LENGTH_MAX {
                    return Err(Error::TooLong);
                }
                if self.buffer.len() < length {
                    return Ok(None);
                }
                Ok(Some(self.buffer.drain(..length).collect()))
// lab:end
