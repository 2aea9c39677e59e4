// way: every component of a path is looked at by itself, and the new file is linked before the name is changed
// lab:fill existing
        let mut found = self.root.clone();
        for component in relative(path)?.components() {
            found.push(component);
            if found.is_symlink() {
                found = found.canonicalize()?;
                if found != self.root && !found.ancestors().any(|directory| directory == self.root) {
                    return Err(Refusal("bad-path", "a link leads out of the served folder"));
                }
            }
        }
        found.metadata()?;
        Ok(found)
// lab:end
// lab:fill begin
        let mut real = root.to_owned();
        for component in directory.components() {
            real = real.join(component).canonicalize()?;
            if !real.starts_with(root) {
                return Err(Refusal("bad-path", "the path leads out of the served folder"));
            }
        }
        let destination = real.join(name);
        match destination.symlink_metadata() {
            Ok(found) if found.is_dir() => return Err(Refusal("not-a-file", "this is a folder")),
            _ => {}
        }
        let partial = root.join(unique());
        let file = File::options().write(true).create_new(true).open(&partial)?;
        Ok(Upload { file, partial, destination })
// lab:end
// lab:fill finish
        // The disk has the file before the name means it.
        self.file.sync_all()?;
        fs::rename(&self.partial, &self.destination)?;
        Ok(())
// lab:end
// lab:fill line
        let mut lines = self.input.splitn(2, |byte| *byte == b'\n');
        let line = lines.next().unwrap_or_default().to_vec();
        let Some(rest) = lines.next().map(<[u8]>::to_vec).filter(|_| line.len() < LINE_MAX) else {
            if line.len() >= LINE_MAX {
                self.refuse(&Refusal("line-too-long", "a request has at most 4096 bytes"));
                self.state = State::Over;
            }
            return None;
        };
        self.input = rest;
        Some(line.strip_suffix(b"\r").unwrap_or(&line).to_vec())
// lab:end
// lab:fill receive
        let mut files = mem::take(&mut self.input);
        self.input = files.split_off(files.len().min(*left as usize));
        *left -= files.len() as u64;
        let written = match upload {
            Ok(open) => open.file.write_all(&files),
            Err(_) => Ok(()),
        };
        if let Err(error) = written {
            *upload = Err(error.into());
        }
// lab:end
// lab:fill serve
    loop {
        let (stream, client) = match listener.accept() {
            Ok(accepted) => accepted,
            Err(error) => {
                eprintln!("nobody was accepted: {error}");
                continue;
            }
        };
        match serve_client(&stream, root).and_then(|()| lingering_close(&stream)) {
            Ok(()) => {}
            Err(error) => eprintln!("{client}: {error}"),
        }
    }
// lab:end
