// check: stream.any_cut
// mistake: whatever one read gives is taken for one request
// lab:fill line
        if self.input.is_empty() {
            return None;
        }
        let text = mem::take(&mut self.input);
        let line = text.split(|byte| *byte == b'\n').next().unwrap_or_default().to_vec();
        Some(line.strip_suffix(b"\r").map_or(line.clone(), <[u8]>::to_vec))
// lab:end
