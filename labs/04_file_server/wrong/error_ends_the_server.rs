// check: clients.lost
// mistake: the error of one client is the error of the server
// lab:fill serve
    for stream in listener.incoming() {
        let stream = stream?;
        serve_client(&stream, root)?;
        let _ = lingering_close(&stream);
    }
    Ok(())
// lab:end
