// check: discover.ends
// mistake: each answer makes the search begin its time again
// lab:replace gather
    let deadline = Instant::now() + wait;
    let mut known = std::collections::HashSet::new();
    while let Some(datagram) = udp::receive_until(socket, deadline)? {
// lab:with
    let mut known = std::collections::HashSet::new();
    while let Some(datagram) = udp::receive_until(socket, Instant::now() + wait)? {
// lab:end
// lab:replace gather
            && !datagram.truncated
// lab:with
// lab:end
