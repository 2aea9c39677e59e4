//! One session over standard input and output, as `inetd` would start it: no socket and no server, only
//! what one client gets. It shows how little a session asks of its surroundings.
//!
//! ```sh
//! printf 'LIST\nQUIT\n' | cargo run -p file_service
//! ```

use file_service::{Service, Session, Settings, Step, Store, Transport};
use std::fs::File;
use std::io::{self, IsTerminal, Read, Write};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::process::ExitCode;

fn main() -> ExitCode {
    if std::env::args_os().len() > 1 {
        complain("file_service: takes no options; it serves the current folder to standard input");
        return ExitCode::from(2);
    }
    let store = match Store::open(Path::new("."), true, false) {
        Ok(store) => store,
        Err(error) => {
            complain(&format!("file_service: cannot serve the current folder: {error}"));
            return ExitCode::from(2);
        }
    };
    if io::stdin().is_terminal() {
        complain("serving the current folder; type LIST, GET name, HASH name or QUIT");
    }
    let peer = ([0, 0, 0, 0], 0).into();
    let service = Service::new(store, Settings::default());
    let mut session = Session::new(&service, peer, Default::default());
    loop {
        match session.advance(&mut Stdio) {
            Step::Idle | Step::Yield => {}
            Step::Offload(job) => session.resume(job.run()),
            // Standard input is in non-blocking mode, which is not supported: end.
            Step::Wait(_) | Step::Closed => return ExitCode::SUCCESS,
        }
    }
}

/// Writes a line to standard error, if that can be written.
fn complain(line: &str) {
    let _ = writeln!(io::stderr(), "{line}");
}

/// Standard input and output as a transport.
struct Stdio;

impl Transport for Stdio {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        io::stdin().lock().read(buffer)
    }

    fn write(&mut self, bytes: &[u8], more: bool) -> io::Result<usize> {
        let mut stdout = io::stdout().lock();
        let n = stdout.write(bytes)?;
        if !more {
            stdout.flush()?;
        }
        Ok(n)
    }

    fn send_file(&mut self, file: &File, offset: &mut u64, length: u64) -> io::Result<usize> {
        let mut chunk = vec![0; length.min(64 * 1024) as usize];
        let n = file.read_at(&mut chunk, *offset)?;
        let mut stdout = io::stdout().lock();
        stdout.write_all(&chunk[..n])?;
        stdout.flush()?;
        *offset += n as u64;
        Ok(n)
    }

    fn finish(&mut self) -> io::Result<()> {
        // There is no half of a terminal to close. This way the session does not wait for its end.
        Err(io::ErrorKind::Unsupported.into())
    }

    fn reset(&mut self) {} // the program ends, and the reply is short
}
