// check: serve.protocol
// mistake: the parent shuts the connection down instead of closing its copy, which ends it for the child, too
// lab:fill serve
    let child = children::spawn(|| {
        unsafe { libc::close(listener.as_raw_fd()) };
        match serve_client(&stream, root) {
            Ok(()) => 0,
            Err(_) => 1,
        }
    });
    if child.is_err() {
        let _ = (&stream).write_all(b"ERR busy no process for this client\n");
    }
    let _ = stream.shutdown(std::net::Shutdown::Both);
// lab:end
