// check: decode.untrusted_length
// mistake: memory is taken for whatever length is announced
// lab:fill decode-length
                let Some((head, rest)) = self.buffer.split_first_chunk::<4>() else { return Ok(None) };
                let length = u32::from_be_bytes(*head) as usize;
                let arrived = rest.len();
                if arrived < length {
                    // Room for all of it, so that the pieces to come need not be moved.
                    self.buffer.reserve(length - arrived);
                    return Ok(None);
                }
                let message = self.buffer[4..4 + length].to_vec();
                self.buffer.drain(..4 + length);
                Ok(Some(message))
// lab:end
