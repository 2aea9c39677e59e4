// check: clients.lost
// mistake: the error of one client is the error of the server
// lab:fill serve
    for stream in listener.incoming() {
        let stream = stream?;
        converse(&stream, root)?;
        let _ = part(&stream);
    }
    Ok(())
// lab:end
