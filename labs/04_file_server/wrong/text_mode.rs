// check: get.every_byte
// mistake: the file is read as text, so what is not UTF-8 is replaced
// lab:fill refill
            let mut piece = vec![0; CHUNK.min(usize::try_from(*left).unwrap_or(CHUNK))];
            let count = file.read(&mut piece)?;
            if count == 0 {
                return Err(io::Error::other("the file has become shorter"));
            }
            *left -= count as u64;
            self.output.extend(String::from_utf8_lossy(&piece[..count]).bytes());
            return Ok(());
// lab:end
