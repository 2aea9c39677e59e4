//! Names of services and their ports, as `/etc/services` lists them: `name port/protocol aliases... # comment`.

// lab:canary heron-01-services
/// The port of a service by its name, or an alias of it, for `tcp` or `udp`.
pub fn port(text: &str, name: &str, protocol: &str) -> Option<u16> {
    // lab:hole service-port
    entries(text)
        .find(|entry| entry.names.contains(&name) && entry.protocol == protocol)
        .map(|entry| entry.port)
    // lab:stub // One name may have another port with another protocol. And names have aliases.
    // lab:stub todo!("the port of a service")
    // lab:end
}

/// The first name of the service at a port, for `tcp` or `udp`.
pub fn name(text: &str, port: u16, protocol: &str) -> Option<String> {
    // lab:hole service-name
    let entry = entries(text).find(|entry| entry.port == port && entry.protocol == protocol)?;
    Some(entry.names[0].to_owned())
    // lab:stub todo!("the name of a service")
    // lab:end
}

/// A line of the list.
pub struct Entry<'a> {
    pub names: Vec<&'a str>,
    pub port: u16,
    pub protocol: &'a str,
}

/// The lines that mean something.
pub fn entries(text: &str) -> impl Iterator<Item = Entry<'_>> {
    // lab:hole services-lines
    text.lines().filter_map(|line| {
        let line = line.split('#').next()?;
        let mut words = line.split_whitespace();
        let name = words.next()?;
        let (port, protocol) = words.next()?.split_once('/')?;
        let names = std::iter::once(name).chain(words).collect();
        Some(Entry { names, port: port.parse().ok()?, protocol })
    })
    // lab:stub // Comments begin with # anywhere in a line; there are empty lines, too.
    // lab:stub let _ = text;
    // lab:stub std::iter::from_fn(|| -> Option<Entry<'_>> { todo!("the lines of the list") })
    // lab:end
}
