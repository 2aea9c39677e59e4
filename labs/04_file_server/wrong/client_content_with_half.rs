// check: client.short
// mistake: the end of the connection is taken for the end of the file
// lab:fill exactly
    io::copy(&mut from.take(length), into)?;
    Ok(())
// lab:end
