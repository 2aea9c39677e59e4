// check: client.reads_to_the_end
// mistake: one recv is taken for the reply
// lab:fill ask
    send_all(server, bytes)?;
    check(unsafe { libc::shutdown(server, libc::SHUT_WR) })?;
    let mut reply = vec![0; 1 << 20];
    let n = receive(server, &mut reply)?;
    reply.truncate(n);
    Ok(reply)
// lab:end
