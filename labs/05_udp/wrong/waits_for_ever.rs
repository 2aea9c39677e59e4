// check: loss.retries
// mistake: waits for the answer without a time-out, for ever once a datagram is lost
// lab:fill receive-until
    let _ = deadline;
    receive(socket).map(Some)
// lab:end
