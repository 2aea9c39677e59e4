// way: a decoder that looks from the front, and an exchange by poll instead of a thread
// lab:fill decode-length
                let &[a, b, c, d, ..] = &self.buffer[..] else { return Ok(None) };
                let length = (usize::from(a) << 24) | (usize::from(b) << 16) | (usize::from(c) << 8) | usize::from(d);
                match length {
                    0..=LENGTH_MAX if self.buffer.len() >= 4 + length => {
                        let rest = self.buffer.split_off(4 + length);
                        let message = std::mem::replace(&mut self.buffer, rest).split_off(4);
                        Ok(Some(message))
                    }
                    0..=LENGTH_MAX => Ok(None),
                    _ => Err(Error::TooLong),
                }
// lab:end
// lab:fill exchange
    use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
    use std::os::fd::AsFd;
    let mut wire = Vec::new();
    for message in messages {
        codec::encode(framing, message, &mut wire).map_err(io::Error::other)?;
    }
    stream.set_nonblocking(true)?;
    let (mut sent, mut decoder, mut replies) = (0, Decoder::new(framing), Vec::new());
    let mut chunk = vec![0; 1 << 16];
    while replies.len() < messages.len() {
        let out = if sent < wire.len() { PollFlags::POLLOUT } else { PollFlags::empty() };
        poll(&mut [PollFd::new(stream.as_fd(), PollFlags::POLLIN | out)], PollTimeout::NONE)?;
        if sent < wire.len() {
            match (&stream).write(&wire[sent..]) {
                Ok(n) => sent += n,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Err(error),
            }
        }
        match (&stream).read(&mut chunk) {
            Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(n) => decoder.push(&chunk[..n]),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) => return Err(error),
        }
        while let Some(reply) = decoder.message().map_err(io::Error::other)? {
            replies.push(reply);
        }
    }
    let _ = (Shutdown::Write, thread::current());
    Ok(replies)
// lab:end
