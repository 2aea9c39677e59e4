// check: exchange.server_gone
// mistake: 0 bytes read, the end, is taken for nothing new yet
// lab:fill exchange
    let mut wire = Vec::new();
    for message in messages {
        codec::encode(framing, message, &mut wire).map_err(io::Error::other)?;
    }
    thread::scope(|scope| {
        scope.spawn(|| (&stream).write_all(&wire));
        let mut decoder = Decoder::new(framing);
        let mut replies = Vec::new();
        let mut chunk = vec![0; 1 << 16];
        while replies.len() < messages.len() {
            let n = (&stream).read(&mut chunk)?;
            decoder.push(&chunk[..n]);
            while let Some(reply) = decoder.message().map_err(io::Error::other)? {
                replies.push(reply);
            }
        }
        let _ = Shutdown::Write;
        Ok(replies)
    })
// lab:end
