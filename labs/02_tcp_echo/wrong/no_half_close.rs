// check: client.half_close
// mistake: the client never ends its side, and waits for the server to end
// lab:fill ask
    std::thread::scope(|scope| {
        let writer = scope.spawn(|| send_all(server, bytes));
        let mut reply = Vec::new();
        let mut buffer = [0; 16 * 1024];
        loop {
            match receive(server, &mut buffer)? {
                0 => break,
                n => reply.extend_from_slice(&buffer[..n]),
            }
        }
        writer.join().unwrap_or_else(|_| Err(io::Error::other("the writer panicked")))?;
        Ok(reply)
    })
// lab:end
