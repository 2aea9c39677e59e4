// check: echo.returns
// mistake: a read that does not fill the buffer is taken for the last
// lab:fill echo
    let mut buffer = [0; 1024];
    loop {
        let n = receive(client, &mut buffer)?;
        send_all(client, &buffer[..n])?;
        if n < buffer.len() {
            return Ok(());
        }
    }
// lab:end
