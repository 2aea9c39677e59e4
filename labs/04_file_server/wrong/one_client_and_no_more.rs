// check: clients.quit
// mistake: after the first client the server is done
// lab:fill serve
    let (stream, _) = listener.accept()?;
    serve_client(&stream, root)?;
    lingering_close(&stream)
// lab:end
