// check: spin.pauses
// mistake: the rounds follow one another without a pause
// lab:fill spin
        listener.accept_all(&mut clients, RawFd::MAX);
        clients.retain_mut(|client| client.advance(Ready { input: true, output: true }) != Progress::Finished);
// lab:end
