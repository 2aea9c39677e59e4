// check: orphan.no_middle_child
// mistake: nobody waits for the process between the two
// lab:fill orphan
    spawn(|| match spawn(work) {
        Ok(_) => 0,
        Err(_) => 1,
    })?;
    Ok(())
// lab:end
