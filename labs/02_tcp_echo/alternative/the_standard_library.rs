// way: the types of std over the same descriptors, and SIGPIPE ignored for the whole program
// lab:fill listen
    use std::os::fd::{FromRawFd, IntoRawFd};
    // SAFETY: this call takes integers; no handler is installed.
    unsafe { libc::signal(libc::SIGPIPE, libc::SIG_IGN) };
    // std sets SO_REUSEADDR itself.
    Ok(std::net::TcpListener::bind(address)?.into_raw_fd())
// lab:end
// lab:fill connect
    use std::os::fd::IntoRawFd;
    Ok(std::net::TcpStream::connect(address)?.into_raw_fd())
// lab:end
// lab:fill send-all
    use std::io::Write;
    use std::os::fd::FromRawFd;
    // SAFETY: the caller keeps the descriptor open through this function, and ManuallyDrop never closes it.
    let mut stream = mem::ManuallyDrop::new(unsafe { std::net::TcpStream::from_raw_fd(fd) });
    stream.write_all(bytes)
// lab:end
// lab:fill echo
    use std::os::fd::FromRawFd;
    // SAFETY: the caller keeps the descriptor open through this function, and ManuallyDrop never closes it.
    let stream = mem::ManuallyDrop::new(unsafe { std::net::TcpStream::from_raw_fd(client) });
    io::copy(&mut &*stream, &mut &*stream)?;
    Ok(())
// lab:end
