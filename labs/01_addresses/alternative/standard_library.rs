// way: the standard library has it all
// lab:fill aton
    text.parse::<std::net::Ipv4Addr>().ok().map(|ip| ip.octets())
// lab:end
// lab:fill ntoa
    std::net::Ipv4Addr::from(bytes).to_string()
// lab:end
// lab:fill pton6
    text.parse::<std::net::Ipv6Addr>().ok().map(|ip| ip.octets())
// lab:end
// lab:fill ntop6
    std::net::Ipv6Addr::from(bytes).to_string()
// lab:end
