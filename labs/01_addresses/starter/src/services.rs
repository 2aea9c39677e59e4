//! Names of services and their ports, as `/etc/services` lists them: `name port/protocol aliases... # comment`.

/// The port of a service by its name, or an alias of it, for `tcp` or `udp`.
pub fn port(text: &str, name: &str, protocol: &str) -> Option<u16> {
    // hole: service-port
    // One name may have another port with another protocol. And names have aliases.
    todo!("the port of a service")
}

/// The first name of the service at a port, for `tcp` or `udp`.
pub fn name(text: &str, port: u16, protocol: &str) -> Option<String> {
    // hole: service-name
    todo!("the name of a service")
}

/// A line of the list.
pub struct Entry<'a> {
    pub names: Vec<&'a str>,
    pub port: u16,
    pub protocol: &'a str,
}

/// The lines that mean something.
pub fn entries(text: &str) -> impl Iterator<Item = Entry<'_>> {
    // hole: services-lines
    // Comments begin with # anywhere in a line; there are empty lines, too.
    let _ = text;
    std::iter::from_fn(|| -> Option<Entry<'_>> { todo!("the lines of the list") })
}
