// check: fork.child_ends
// mistake: the child returns when its client has gone, and accepts clients like its parent
// lab:fill serve
    let _ = listener.as_raw_fd();
    match unsafe { libc::fork() } {
        -1 => {
            let _ = (&stream).write_all(b"ERR busy no process for this client\n");
        }
        0 => {
            let _ = serve_client(&stream, root);
        }
        _ => {}
    }
// lab:end
