// check: poll.fair
// mistake: a client is read from and answered until EAGAIN, however long that takes
// lab:fill advance
        let _ = ready;
        loop {
            let moved = if self.wants().input { self.receive() } else { self.send() };
            match moved {
                _ if self.session.is_over() => return Progress::Finished,
                Ok(true) => {}
                Ok(false) => return Progress::None,
                Err(_) => return Progress::Finished,
            }
        }
// lab:end
