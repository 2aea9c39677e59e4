// way: a buffer that has room for one byte more than is allowed; old copies are answered with what they were answered then
// lab:fill receive
    let mut buffer = [0; MAX + 1];
    match socket.recv_from(&mut buffer)? {
        (n, std::net::SocketAddr::V4(from)) => {
            Ok(Datagram { from, bytes: buffer[..n.min(MAX)].to_vec(), truncated: n > MAX })
        }
        _ => Err(io::ErrorKind::InvalidData.into()),
    }
// lab:end
// lab:fill once
    use std::sync::{LazyLock, Mutex};
    // Every answer that was ever given. It grows without end: good enough for a lab, and for no server.
    static ANSWERS: LazyLock<Mutex<HashMap<(SocketAddrV4, u64), Vec<u8>>>> =
        LazyLock::new(Mutex::default);
    let mut answers = ANSWERS.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
    let answer = answers
        .entry((from, id))
        .or_insert_with(|| wire::answer(id, &self.execute(words)));
    Some(answer.clone())
// lab:end
