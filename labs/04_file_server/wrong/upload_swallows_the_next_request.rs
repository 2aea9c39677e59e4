// check: put.stored
// mistake: all that has arrived is written into the file, the request behind it, too
// lab:fill receive
        let piece = mem::take(&mut self.input);
        *left = left.saturating_sub(piece.len() as u64);
        if let Ok(open) = upload
            && let Err(error) = open.file.write_all(&piece)
        {
            *upload = Err(error.into());
        }
// lab:end
