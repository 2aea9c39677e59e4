// way: no signals: whoever has ended is waited for before the next accept, and the rest in the end
// lab:fill prepare
    Ok(())
// lab:end
