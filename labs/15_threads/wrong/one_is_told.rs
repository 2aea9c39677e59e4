// check: pool.ends
// mistake: one worker is told that the end has come, and the others sleep on
// lab:replace pool-finish
        self.shared.bell.notify_all();
// lab:with
        self.shared.bell.notify_one();
// lab:end
