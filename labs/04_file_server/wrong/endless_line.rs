// check: stream.endless_line
// mistake: waits for the end of a line for as long as it takes, and keeps all of it
// lab:fill line
        let end = self.input.iter().position(|byte| *byte == b'\n')?;
        let mut line: Vec<u8> = self.input.drain(..=end).collect();
        line.pop();
        if line.last() == Some(&b'\r') {
            line.pop();
        }
        Some(line)
// lab:end
