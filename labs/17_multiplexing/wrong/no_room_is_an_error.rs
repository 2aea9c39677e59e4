// check: client.slow_reader
// mistake: EAGAIN of a write is taken for a broken connection, and the client is dropped
// lab:fill write
        let output = self.session.output()?;
        let count = self.stream.write(output)?;
        self.session.sent(count);
        Ok(true)
// lab:end
