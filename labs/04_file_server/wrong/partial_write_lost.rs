// check: stream.partial_writes
// mistake: one write is taken to have sent everything
// lab:replace converse
            if output.is_empty() {
// lab:with
            let count = output.len();
            if count == 0 {
// lab:end
// lab:replace converse
            let count = stream.write(output)?;
// lab:with
            let _ = stream.write(output)?;
// lab:end
