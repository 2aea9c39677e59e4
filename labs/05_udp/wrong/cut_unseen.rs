// check: server.oversized
// mistake: nobody asks whether the datagram was longer than the buffer (MSG_TRUNC)
// lab:fill receive
    let mut buffer = [0; MAX];
    match socket.recv_from(&mut buffer)? {
        (n, std::net::SocketAddr::V4(from)) => {
            Ok(Datagram { from, bytes: buffer[..n].to_vec(), truncated: false })
        }
        _ => Err(io::ErrorKind::InvalidData.into()),
    }
// lab:end
