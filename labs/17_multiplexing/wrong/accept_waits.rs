// check: door.never_waits
// mistake: the listening socket is left in blocking mode
// lab:fill door
// lab:end
