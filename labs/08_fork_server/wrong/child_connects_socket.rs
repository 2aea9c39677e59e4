// check: lines.concurrent
// mistake: the child connects the socket to its client, and so does the parent without knowing: there is one socket
// lab:fill request
    let mut bytes = [0; REQUEST_MAX];
    let (count, client) = loop {
        match socket.recv_from(&mut bytes) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            outcome => break outcome?,
        }
    };
    let child = children::spawn(|| {
        if socket.connect(client).is_err() {
            return 1;
        }
        let reply = answer(root, &bytes[..count]);
        i32::from(socket.send(reply.as_bytes()).is_err())
    });
    if child.is_err() {
        let _ = socket.send_to(b"ERR busy no process for this request", client);
    }
    Ok(())
// lab:end
