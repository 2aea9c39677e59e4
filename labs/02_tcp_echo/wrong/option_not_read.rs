// check: options.read_back
// mistake: the size that goes into getsockopt is 0, so nothing is written
// lab:replace option
    let mut size = mem::size_of_val(&value) as libc::socklen_t;
// lab:with
    let mut size: libc::socklen_t = 0;
// lab:end
