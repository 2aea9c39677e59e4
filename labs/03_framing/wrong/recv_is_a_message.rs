// check: decode.merged
// mistake: what one read gives is taken for one message
// lab:fill decode-length
                if self.buffer.len() < 4 {
                    return Ok(None);
                }
                let message = self.buffer.split_off(4);
                self.buffer.clear();
                Ok(Some(message))
// lab:end
// lab:fill decode-line
                if self.buffer.last() != Some(&10) {
                    return Ok(None);
                }
                self.buffer.pop();
                Ok(Some(std::mem::take(&mut self.buffer)))
// lab:end
