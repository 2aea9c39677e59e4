// check: get.every_byte
// mistake: the end of a file is marked by ##, although its length was sent
// lab:replace refill
            *left -= count as u64;
            self.output.extend_from_slice(&piece[..count]);
// lab:with
            piece.truncate(count);
            *left -= count as u64;
            if *left == 0 {
                piece.extend_from_slice(b"##");
            }
            self.output.append(&mut piece);
// lab:end
