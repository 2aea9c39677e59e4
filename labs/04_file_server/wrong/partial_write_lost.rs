// check: stream.partial_writes
// mistake: one write is taken to have sent everything
// lab:fill converse
    loop {
        loop {
            let output = session.output()?;
            let count = output.len();
            if count == 0 {
                break;
            }
            let _ = stream.write(output)?;
            session.sent(count);
        }
        if session.is_over() {
            return Ok(());
        }
        match stream.read(&mut bytes)? {
            0 => session.ended(),
            count => session.received(&bytes[..count]),
        }
    }
// lab:end
