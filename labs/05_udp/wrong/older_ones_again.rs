// check: once.late
// mistake: whatever is not the last request counts as a new one
// lab:fill once
    if let Some(last) = self.clients.get(&from)
        && id == last.id
    {
        return Some(last.answer.clone());
    }
    let answer = wire::answer(id, &self.execute(words));
    self.remember(from, id, answer.clone());
    Some(answer)
// lab:end
