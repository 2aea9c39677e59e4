// check: pool.in_order
// mistake: the client who came last is taken first, as from a stack
// lab:replace pool-work
            if let Some(client) = queue.clients.pop_front() {
// lab:with
            if let Some(client) = queue.clients.pop_back() {
// lab:end
