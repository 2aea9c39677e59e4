// check: wait.looks_again
// mistake: the signal is taken for the thing itself: no second look
// lab:replace wait
    while !ready() {
// lab:with
    if !ready() {
// lab:end
