// check: get.no_padding
// mistake: a file that has become shorter is filled up with zeros
// lab:fill refill
            let mut piece = vec![0; CHUNK.min(usize::try_from(*left).unwrap_or(CHUNK))];
            let _ = file.read(&mut piece)?;
            *left -= piece.len() as u64;
            self.output.append(&mut piece);
            return Ok(());
// lab:end
