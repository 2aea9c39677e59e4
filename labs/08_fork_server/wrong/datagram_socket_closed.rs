// check: lines.goes_on
// mistake: the parent closes the socket after the fork, as it does by TCP; by UDP there is no other
// lab:fill request
    use std::os::fd::AsRawFd;
    let mut bytes = [0; REQUEST_MAX];
    let (count, client) = loop {
        match socket.recv_from(&mut bytes) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            outcome => break outcome?,
        }
    };
    let child = children::spawn(|| {
        let reply = answer(root, &bytes[..count]);
        i32::from(socket.send_to(reply.as_bytes(), client).is_err())
    });
    if child.is_err() {
        let _ = socket.send_to(b"ERR busy no process for this request", client);
    }
    unsafe { libc::close(socket.as_raw_fd()) };
    Ok(())
// lab:end
