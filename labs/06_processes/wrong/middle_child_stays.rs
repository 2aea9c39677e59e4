// check: orphan.adopted
// mistake: the process between the two waits for the grandchild
// lab:fill orphan
    spawn(|| match spawn(work) {
        Ok(child) => {
            let _ = wait_for(child);
            0
        }
        Err(_) => 1,
    })?;
    Ok(())
// lab:end
