// check: get.every_byte
// mistake: CR LF becomes LF, as if every file were text
// lab:fill refill
            let mut bytes = Vec::new();
            file.read_to_end(&mut bytes)?;
            *left = 0;
            let mut after_cr = false;
            for byte in bytes {
                if byte == b'\n' && after_cr {
                    self.output.pop();
                }
                after_cr = byte == b'\r';
                self.output.push(byte);
            }
            return Ok(());
// lab:end
