// check: fork.connection_closed
// mistake: the child closes its copy of the connection, and the parent keeps its own
// lab:fill serve
    use std::os::fd::{FromRawFd, IntoRawFd};
    let connection = stream.into_raw_fd();
    let child = children::spawn(|| {
        unsafe { libc::close(listener.as_raw_fd()) };
        match serve_client(&unsafe { TcpStream::from_raw_fd(connection) }, root) {
            Ok(()) => 0,
            Err(_) => 1,
        }
    });
    if child.is_err() {
        let mut stream = unsafe { TcpStream::from_raw_fd(connection) };
        let _ = stream.write_all(b"ERR busy no process for this client\n");
    }
// lab:end
