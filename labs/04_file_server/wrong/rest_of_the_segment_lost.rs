// check: stream.any_cut
// mistake: waits for a whole line, and throws away what has come behind it
// lab:fill line
        let Some(end) = self.input.iter().position(|byte| *byte == b'\n') else {
            if self.input.len() >= LINE_MAX {
                self.refuse(&Refusal("line-too-long", "a request has at most 4096 bytes"));
                self.state = State::Over;
            }
            return None;
        };
        let mut line = mem::take(&mut self.input);
        line.truncate(end);
        if line.last() == Some(&b'\r') {
            line.pop();
        }
        Some(line)
// lab:end
