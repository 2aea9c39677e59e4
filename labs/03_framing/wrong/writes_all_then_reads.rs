// check: exchange.more_than_the_buffers
// mistake: nothing is read before everything is written
// lab:fill exchange
    for message in messages {
        let mut wire = Vec::new();
        codec::encode(framing, message, &mut wire).map_err(io::Error::other)?;
        (&stream).write_all(&wire)?;
    }
    stream.shutdown(Shutdown::Write)?;
    let mut decoder = Decoder::new(framing);
    let mut replies = Vec::new();
    let mut chunk = vec![0; 1 << 16];
    while replies.len() < messages.len() {
        let n = (&stream).read(&mut chunk)?;
        if n == 0 {
            break;
        }
        decoder.push(&chunk[..n]);
        while let Some(reply) = decoder.message().map_err(io::Error::other)? {
            replies.push(reply);
        }
    }
    let _ = thread::current();
    Ok(replies)
// lab:end
