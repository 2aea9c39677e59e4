// check: get.every_byte
// mistake: the file is read as text, so what is not UTF-8 is replaced
// lab:replace refill
            self.output.extend_from_slice(&piece[..count]);
// lab:with
            self.output.extend(String::from_utf8_lossy(&piece[..count]).bytes());
// lab:end
