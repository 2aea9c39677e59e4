// check: ipv4.text_to_bytes
// mistake: the address is a number in the order of the machine
// lab:fill aton
    let number = u32::from(text.parse::<std::net::Ipv4Addr>().ok()?);
    Some(number.to_ne_bytes())
// lab:end
