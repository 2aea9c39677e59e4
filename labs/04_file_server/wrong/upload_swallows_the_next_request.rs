// check: put.stored
// mistake: all that has arrived is written into the file, the request behind it, too
// lab:replace receive
        let count = self.input.len().min(usize::try_from(*left).unwrap_or(usize::MAX));
        let piece: Vec<u8> = self.input.drain(..count).collect();
        *left -= count as u64;
// lab:with
        let piece = mem::take(&mut self.input);
        *left = left.saturating_sub(piece.len() as u64);
// lab:end
