// check: children.count
// mistake: SIGCHLD is ignored, which leaves no zombies and no statuses either: a later wait finds nobody
// lab:fill prepare
    unsafe { libc::signal(libc::SIGCHLD, libc::SIG_IGN) };
    Ok(())
// lab:end
