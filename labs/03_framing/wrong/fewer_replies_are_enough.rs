// check: exchange.server_gone
// mistake: when the server has closed, whatever has come is taken for all of it
// lab:fill exchange
    let mut wire = Vec::new();
    for message in messages {
        codec::encode(framing, message, &mut wire).map_err(io::Error::other)?;
    }
    thread::scope(|scope| {
        scope.spawn(|| {
            let _ = (&stream).write_all(&wire);
            let _ = stream.shutdown(Shutdown::Write);
        });
        let mut everything = Vec::new();
        let mut chunk = vec![0; 1 << 16];
        let mut decoder = Decoder::new(framing);
        loop {
            let n = (&stream).read(&mut chunk)?;
            decoder.push(&chunk[..n]);
            while let Some(reply) = decoder.message().map_err(io::Error::other)? {
                everything.push(reply);
            }
            if n == 0 || everything.len() == messages.len() {
                return Ok(everything);
            }
        }
    })
// lab:end
