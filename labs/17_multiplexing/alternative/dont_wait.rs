// way: MSG_DONTWAIT on every call in place of O_NONBLOCK on the socket
// lab:fill new-client
// lab:end
// lab:fill read
        use std::os::fd::AsRawFd;
        let mut bytes = [0u8; 4096];
        let room = bytes.as_mut_ptr().cast();
        // SAFETY: the buffer is as long as is said, and lives through the call.
        let count = unsafe {
            libc::recv(self.stream.as_raw_fd(), room, bytes.len(), libc::MSG_DONTWAIT)
        };
        match usize::try_from(count) {
            Ok(0) => self.session.ended(),
            Ok(count) => self.session.received(&bytes[..count]),
            Err(_) => {
                let error = io::Error::last_os_error();
                return if would_block(&error) { Ok(false) } else { Err(error) };
            }
        }
        Ok(true)
// lab:end
// lab:fill write
        use std::os::fd::AsRawFd;
        let output = self.session.output()?;
        let flags = libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL;
        // SAFETY: the bytes are as many as is said, and live through the call.
        let count = unsafe {
            libc::send(self.stream.as_raw_fd(), output.as_ptr().cast(), output.len(), flags)
        };
        match usize::try_from(count) {
            Ok(count) => self.session.sent(count),
            Err(_) => {
                let error = io::Error::last_os_error();
                return if would_block(&error) { Ok(false) } else { Err(error) };
            }
        }
        Ok(true)
// lab:end
