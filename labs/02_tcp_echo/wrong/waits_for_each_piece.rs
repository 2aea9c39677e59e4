// check: client.half_close
// mistake: each piece waits for its own echo, which not every server sends before the end
// lab:fill ask
    let mut reply = Vec::new();
    let mut buffer = [0; 16 * 1024];
    for piece in bytes.chunks(buffer.len()) {
        send_all(server, piece)?;
        let wanted = reply.len() + piece.len();
        while reply.len() < wanted {
            match receive(server, &mut buffer)? {
                0 => return Err(io::ErrorKind::UnexpectedEof.into()),
                n => reply.extend_from_slice(&buffer[..n]),
            }
        }
    }
    check(unsafe { libc::shutdown(server, libc::SHUT_WR) })?;
    loop {
        match receive(server, &mut buffer)? {
            0 => return Ok(reply),
            n => reply.extend_from_slice(&buffer[..n]),
        }
    }
// lab:end
