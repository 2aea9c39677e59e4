// check: fork.listener_closed
// mistake: the child keeps the listening socket
// lab:fill serve
    let _ = listener.as_raw_fd();
    let child = children::spawn(|| match serve_client(&stream, root) {
        Ok(()) => 0,
        Err(_) => 1,
    });
    if child.is_err() {
        let _ = (&stream).write_all(b"ERR busy no process for this client\n");
    }
// lab:end
