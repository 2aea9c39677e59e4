// check: once.repeated
// mistake: a repeated request is dropped, so that the client whose answer was lost never gets one
// lab:fill once
    if self.clients.get(&from).is_some_and(|last| id <= last.id) {
        return None;
    }
    let answer = wire::answer(id, &self.execute(words));
    self.remember(from, id, answer.clone());
    Some(answer)
// lab:end
