// check: pool.ends
// mistake: one worker is told that the end has come, and the others sleep on
// lab:replace pool-finish
        self.shared.changed.notify_all();
// lab:with
        self.shared.changed.notify_one();
// lab:end
