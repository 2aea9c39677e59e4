// way: everything in pieces of a few bytes, with a limit on each loop
// lab:fill serve-blocking
    loop {
        while !session.output()?.is_empty() {
            let piece = session.output()?;
            let count = stream.write(&piece[..piece.len().min(8191)])?;
            session.sent(count);
        }
        if session.is_over() {
            break Ok(());
        }
        let count = stream.read(&mut bytes[..777])?;
        if count > 0 {
            session.received(&bytes[..count]);
        } else {
            session.ended();
        }
    }
// lab:end
// lab:fill exactly
    let mut left = length;
    let mut chunk = [0; 1000];
    while left > 0 {
        let most = chunk.len().min(left as usize);
        match from.read(&mut chunk[..most])? {
            0 => return Err(io::ErrorKind::UnexpectedEof.into()),
            count => {
                into.write_all(&chunk[..count])?;
                left -= count as u64;
            }
        }
    }
    Ok(())
// lab:end
// lab:fill upload
    let length = file.metadata()?.len();
    stream.write_all(format!("PUT {path} {length}\r\n").as_bytes())?;
    let mut chunk = [0; 16 * 1024];
    let mut left = length;
    while left > 0 {
        let count = (&file).take(left).read(&mut chunk)?;
        if count == 0 {
            return Err(io::Error::other("the file has become shorter"));
        }
        let mut piece = &chunk[..count];
        while !piece.is_empty() {
            match stream.write(piece) {
                Ok(sent) => piece = &piece[sent..],
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        left -= count as u64;
    }
    Ok(())
// lab:end
// lab:fill list
        let directory = self.existing(path)?;
        let entries = match fs::read_dir(&directory) {
            Err(error) if error.kind() == io::ErrorKind::NotADirectory => {
                return Err(Refusal("not-a-directory", "this is not a folder"));
            }
            entries => entries?,
        };
        let names = entries.map(|entry| Ok(entry?.file_name())).collect::<io::Result<_>>();
        let names: std::collections::BTreeSet<_> = names?;
        let mut body = Vec::new();
        for name in names {
            body.extend(self.row(&directory.join(name)).unwrap_or_default().into_bytes());
        }
        self.output = format!("OK {}\n", body.len()).into_bytes();
        self.output.append(&mut body);
        Ok(())
// lab:end
