// check: decode.large
// mistake: only 16 bits of the length are read
// lab:fill decode-length
                let Some((head, rest)) = self.buffer.split_first_chunk::<4>() else { return Ok(None) };
                let long = u32::from_be_bytes(*head) as usize;
                if long > LENGTH_MAX {
                    return Err(Error::TooLong);
                }
                let length = usize::from(u16::from_be_bytes([head[2], head[3]]));
                if rest.len() < length {
                    return Ok(None);
                }
                let message = rest[..length].to_vec();
                self.buffer.drain(..4 + length);
                Ok(Some(message))
// lab:end
