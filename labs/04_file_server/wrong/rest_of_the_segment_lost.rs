// check: stream.any_cut
// mistake: waits for a whole line, and throws away what has come behind it
// lab:replace line
        let end = self.input.iter().take(LINE_MAX).position(|byte| *byte == b'\n');
        let Some(end) = end else {
// lab:with
        let Some(end) = self.input.iter().position(|byte| *byte == b'\n') else {
// lab:end
// lab:replace line
        let mut line: Vec<u8> = self.input.drain(..=end).collect();
        line.pop();
// lab:with
        let mut line = mem::take(&mut self.input);
        line.truncate(end);
// lab:end
