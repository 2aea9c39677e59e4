// check: spin.several
// mistake: EAGAIN is answered by asking the same client again, until it has something
// lab:fill read
    let mut bytes = [0; 16 * 1024];
    loop {
        match self.stream.read(&mut bytes) {
            Ok(0) => self.session.ended(),
            Ok(count) => self.session.received(&bytes[..count]),
            Err(error) if would_block(&error) => continue,
            Err(error) => return Err(error),
        }
        return Ok(true);
    }
// lab:end
