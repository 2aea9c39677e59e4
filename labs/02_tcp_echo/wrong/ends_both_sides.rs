// check: client.half_close
// mistake: SHUT_RDWR ends the side that the reply comes from as well
// lab:fill ask
    send_all(server, bytes)?;
    check(unsafe { libc::shutdown(server, libc::SHUT_RDWR) })?;
    let mut reply = Vec::new();
    let mut buffer = [0; 16 * 1024];
    loop {
        match receive(server, &mut buffer)? {
            0 => return Ok(reply),
            n => reply.extend_from_slice(&buffer[..n]),
        }
    }
// lab:end
