// check: echo.end
// mistake: 0 bytes, the end, are taken for nothing yet
// lab:fill echo
    let mut buffer = [0; 16 * 1024];
    loop {
        let n = receive(client, &mut buffer)?;
        if n > 0 {
            send_all(client, &buffer[..n])?;
        }
    }
// lab:end
