// check: get.every_byte
// mistake: the end of a file is marked by ##, although its length was sent
// lab:fill refill
            let mut piece = vec![0; CHUNK.min(usize::try_from(*left).unwrap_or(CHUNK))];
            let count = file.read(&mut piece)?;
            if count == 0 {
                return Err(io::Error::other("the file has become shorter"));
            }
            piece.truncate(count);
            *left -= count as u64;
            if *left == 0 {
                piece.extend_from_slice(b"##");
            }
            self.output.append(&mut piece);
            return Ok(());
// lab:end
