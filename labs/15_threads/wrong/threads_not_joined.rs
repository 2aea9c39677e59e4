// check: threads.finishes
// mistake: nobody waits for the threads, so they end with main
// lab:fill thread-finish
// lab:end
