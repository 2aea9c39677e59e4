// check: orphan.adopted
// mistake: one fork, so the process is a child like any other
// lab:fill orphan
    begin(work)?;
    Ok(())
// lab:end
