// check: poll.fair
// mistake: a client is read from and answered until EAGAIN, however long that takes
// lab:fill turn
        let _ = ready;
        loop {
            let moved = if self.wants().input { self.receive() } else { self.send() };
            match moved {
                _ if self.session.is_over() => return Turn::Over,
                Ok(true) => {}
                Ok(false) => return Turn::Nothing,
                Err(_) => return Turn::Over,
            }
        }
// lab:end
