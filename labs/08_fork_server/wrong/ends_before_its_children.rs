// check: children.count
// mistake: in the end it waits for one child, and leaves the others
// lab:fill reap-all
    let mut status = 0;
    if unsafe { libc::waitpid(-1, &mut status, 0) } > 0 {
        record(status);
    }
    Ok(())
// lab:end
