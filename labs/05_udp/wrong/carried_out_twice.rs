// check: once.repeated
// mistake: a repeated request is carried out as often as it comes
// lab:fill once
    let _ = from;
    Some(wire::answer(id, &self.execute(words)))
// lab:end
