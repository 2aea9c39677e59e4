// check: services.by_name
// mistake: what stands in a comment is read as aliases
// lab:fill services-lines
    text.lines().filter(|line| !line.starts_with("#")).filter_map(|line| {
        let mut words = line.split_whitespace();
        let name = words.next()?;
        let (port, protocol) = words.next()?.split_once("/")?;
        let names = std::iter::once(name).chain(words).collect();
        Some(Entry { names, port: port.parse().ok()?, protocol })
    })
// lab:end
