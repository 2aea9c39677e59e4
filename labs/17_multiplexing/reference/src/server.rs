//! Lab 17: one thread, many clients, and three ways of learning who is ready. There is nothing to do in this file.
//!
//! ```sh
//! server --root DIR --wait spin      # asks everybody, pauses, asks again
//! server --root DIR --wait select    # the kernel says who is ready, of 1,024 numbers
//! server --root DIR --wait poll      # the kernel says who is ready
//! ```

mod client;
mod listener;
mod poll;
mod select;
mod spin;

use listener::Listener;
use std::fs::File;
use std::io::{self, Write};
use std::net::TcpListener;
use std::path::PathBuf;
use std::process::ExitCode;

fn main() -> ExitCode {
    match serve() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("server: {error}");
            ExitCode::FAILURE
        }
    }
}

fn serve() -> io::Result<()> {
    let mut arguments = std::env::args().skip(1);
    let (mut root, mut address) = (PathBuf::from("."), "127.0.0.1:0".to_owned());
    let (mut wait, mut reserved) = ("poll".to_owned(), 0);
    while let Some(name) = arguments.next() {
        let value = arguments.next().ok_or_else(|| wrong(&name))?;
        match &name[..] {
            "--root" => root = value.into(),
            "--addr" => address = value,
            "--wait" => wait = value,
            "--reserve" => reserved = value.parse().map_err(|_| wrong(&value))?,
            _ => return Err(wrong(&name)),
        }
    }
    let serve = match &wait[..] {
        "spin" => spin::serve,
        "select" => select::serve,
        "poll" => poll::serve,
        _ => return Err(wrong(&wait)),
    };
    let listener = TcpListener::bind(address)?;
    raise_limit();
    reserve(reserved)?;
    let address = listener.local_addr()?;
    let listener = Listener::new(listener, root)?;
    let mut stdout = io::stdout().lock();
    writeln!(stdout, "listening on {address}")?;
    stdout.flush()?;
    drop(stdout);
    serve(listener)
}

fn wrong(what: &str) -> io::Error {
    let usage = "--root DIR --addr HOST:PORT --wait spin|select|poll --reserve N";
    io::Error::other(format!("{what}: expected {usage}"))
}

/// As many descriptors as the system allows.
fn raise_limit() {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: `limit` is of the right type and lives through both calls.
    unsafe {
        if libc::getrlimit(libc::RLIMIT_NOFILE, &mut limit) == 0 {
            limit.rlim_cur = limit.rlim_max;
            libc::setrlimit(libc::RLIMIT_NOFILE, &limit);
        }
    }
}

/// Takes this many descriptors out of use, so that sockets have high numbers, as on a server with many clients.
fn reserve(count: usize) -> io::Result<()> {
    for _ in 0..count {
        std::mem::forget(File::open("/dev/null")?);
    }
    Ok(())
}
