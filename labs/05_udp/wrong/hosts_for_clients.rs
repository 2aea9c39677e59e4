// check: once.per_client
// mistake: clients are told apart by their hosts, and two on one host taken for one
// lab:fill once
    let host = SocketAddrV4::new(*from.ip(), 0);
    match self.clients.get(&host) {
        Some(last) if id == last.id => return Some(last.answer.clone()),
        Some(last) if id < last.id => return None,
        _ => {}
    }
    let answer = wire::answer(id, &self.execute(words));
    self.remember(host, id, answer.clone());
    Some(answer)
// lab:end
