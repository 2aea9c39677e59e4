// check: door.never_waits
// mistake: the listening socket is left in blocking mode
// lab:fill listener
// lab:end
