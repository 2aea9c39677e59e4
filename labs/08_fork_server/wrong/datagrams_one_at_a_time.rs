// check: lines.concurrent
// mistake: the server answers each request itself, so one that takes long holds up all others
// lab:fill request
    let mut bytes = [0; REQUEST_MAX];
    let (count, client) = loop {
        match socket.recv_from(&mut bytes) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            outcome => break outcome?,
        }
    };
    let reply = answer(root, &bytes[..count]);
    let _ = socket.send_to(reply.as_bytes(), client);
    Ok(())
// lab:end
