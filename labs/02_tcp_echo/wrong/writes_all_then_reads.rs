// check: client.both_ways
// mistake: nothing is read before everything is written
// lab:fill ask
    send_all(server, bytes)?;
    check(unsafe { libc::shutdown(server, libc::SHUT_WR) })?;
    let mut reply = Vec::new();
    let mut buffer = [0; 16 * 1024];
    loop {
        match receive(server, &mut buffer)? {
            0 => return Ok(reply),
            n => reply.extend_from_slice(&buffer[..n]),
        }
    }
// lab:end
