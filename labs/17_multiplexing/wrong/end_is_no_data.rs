// check: client.end
// mistake: a read of 0 bytes is taken for "nothing there yet"
// lab:fill read
        let mut bytes = [0; 16 * 1024];
        match self.stream.read(&mut bytes) {
            Ok(0) => return Ok(false),
            Ok(count) => self.session.received(&bytes[..count]),
            Err(error) if is_for_later(&error) => return Ok(false),
            Err(error) => return Err(error),
        }
        Ok(true)
// lab:end
