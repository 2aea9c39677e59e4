// check: exchange.answers_at_the_end
// mistake: the next message waits for the reply to the last one
// lab:fill exchange
    let mut decoder = Decoder::new(framing);
    let mut replies = Vec::new();
    let mut chunk = vec![0; 1 << 16];
    for message in messages {
        let mut wire = Vec::new();
        codec::encode(framing, message, &mut wire).map_err(io::Error::other)?;
        (&stream).write_all(&wire)?;
        loop {
            if let Some(reply) = decoder.message().map_err(io::Error::other)? {
                replies.push(reply);
                break;
            }
            let n = (&stream).read(&mut chunk)?;
            if n == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            decoder.push(&chunk[..n]);
        }
    }
    let _ = (Shutdown::Write, thread::current());
    Ok(replies)
// lab:end
