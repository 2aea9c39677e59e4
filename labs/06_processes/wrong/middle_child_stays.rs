// check: orphan.adopted
// mistake: the process between the two waits for the grandchild
// lab:fill orphan
    begin(|| match begin(work) {
        Ok(child) => {
            let _ = bury(child);
            0
        }
        Err(_) => 1,
    })?;
    Ok(())
// lab:end
