// check: family.no_zombies
// mistake: nobody waits for the children
// lab:fill sigchld
    Ok(())
// lab:end
