// check: stream.partial_writes
// mistake: one write is taken to have sent everything
// lab:replace serve-blocking
            if output.is_empty() {
// lab:with
            let count = output.len();
            if count == 0 {
// lab:end
// lab:replace serve-blocking
            let count = stream.write(output)?;
// lab:with
            let _ = stream.write(output)?;
// lab:end
