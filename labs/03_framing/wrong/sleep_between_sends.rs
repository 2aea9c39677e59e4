// check: exchange.replies_merged
// mistake: a pause between sends is to keep messages apart, and one read is one reply
// lab:fill exchange
    let mut replies = Vec::new();
    for message in messages {
        let mut wire = Vec::new();
        codec::encode(framing, message, &mut wire).map_err(io::Error::other)?;
        (&stream).write_all(&wire)?;
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    let mut chunk = vec![0; 1 << 16];
    while replies.len() < messages.len() {
        let n = (&stream).read(&mut chunk)?;
        if n == 0 {
            break;
        }
        let mut decoder = Decoder::new(framing);
        decoder.push(&chunk[..n]);
        if let Some(reply) = decoder.message().map_err(io::Error::other)? {
            replies.push(reply);
        }
    }
    let _ = (Shutdown::Write, thread::current());
    Ok(replies)
// lab:end
