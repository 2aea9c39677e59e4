// check: spin.several
// mistake: only the listening socket is non-blocking; a read waits for the rest of a request
// lab:fill new-client
// lab:end
