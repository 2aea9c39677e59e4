// check: clients.quit
// mistake: after the first client the server is done
// lab:fill serve
    let (stream, _) = listener.accept()?;
    converse(&stream, root)?;
    part(&stream)
// lab:end
