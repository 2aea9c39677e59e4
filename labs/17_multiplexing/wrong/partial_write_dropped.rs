// check: client.slow_reader
// mistake: whatever write says, everything is taken to have gone
// lab:fill write
        let output = self.session.output()?;
        let length = output.len();
        match self.stream.write(output) {
            Ok(_) => self.session.sent(length),
            Err(error) if would_block(&error) => return Ok(false),
            Err(error) => return Err(error),
        }
        Ok(true)
// lab:end
