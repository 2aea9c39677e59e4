// check: put.nothing_left
// mistake: nobody removes the file of an upload that was cut short
// lab:fill abandon
        // Nothing to do: the client has gone.
// lab:end
