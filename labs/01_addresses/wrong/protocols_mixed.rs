// check: services.by_port
// mistake: the protocol is not looked at
// lab:fill service-name
    let _ = protocol;
    let entry = entries(text).find(|entry| entry.port == port)?;
    Some(entry.names[0].to_owned())
// lab:end
// lab:fill service-port
    let _ = protocol;
    entries(text).find(|entry| entry.names.contains(&name)).map(|entry| entry.port)
// lab:end
