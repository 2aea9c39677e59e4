// check: client.half_close
// mistake: the client never ends its side, and waits for the server to end
// lab:replace ask
        let writer = scope.spawn(|| -> io::Result<()> {
            send_all(server, bytes)?;
            // SAFETY: this call takes integers.
            check(unsafe { libc::shutdown(server, libc::SHUT_WR) })?;
            Ok(())
        });
// lab:with
        let writer = scope.spawn(|| send_all(server, bytes));
// lab:end
