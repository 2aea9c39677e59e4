// check: children.no_zombies
// mistake: nobody waits for the children before the end
// lab:fill prepare
    Ok(())
// lab:end
// lab:fill reap
// lab:end
