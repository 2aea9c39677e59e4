// check: spin.pauses
// mistake: the rounds follow one another without a pause
// lab:fill spin
        door.admit(&mut clients, RawFd::MAX);
        clients.retain_mut(|client| client.turn(Ready { input: true, output: true }) != Turn::Over);
// lab:end
