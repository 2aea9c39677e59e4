// check: orphan.adopted
// mistake: one fork, so the process is a child like any other
// lab:fill orphan
    spawn(work)?;
    Ok(())
// lab:end
