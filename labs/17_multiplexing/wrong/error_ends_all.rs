// check: client.reset
// mistake: the error of one connection ends the server
// lab:fill advance
        let mut moved = false;
        if ready.input && self.wants().input {
            moved = self.receive().expect("read");
        }
        if self.wants().output {
            moved |= self.send().expect("write");
        }
        match moved {
            _ if self.session.is_over() => Progress::Finished,
            true => Progress::Moved,
            false => Progress::None,
        }
// lab:end
