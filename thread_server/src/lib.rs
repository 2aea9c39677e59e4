//! A thread per connection.
//!
//! The conversation is written as if its client were alone, as in the iterative server, and the kernel
//! runs as many of them as there are clients. Threads share the process: one descriptor table, one heap,
//! one fate.
//!
//! - **Unit of concurrency**: a kernel thread, created and ended with its connection.
//! - **Shared**: all memory, here the [`Service`] alone, which nobody changes.
//! - **A blocking call stops**: its own client, no other.
//! - **One client can do to another**: take a thread's memory; a crash (not a panic, which ends one
//!   thread) takes the process.
//! - **Costs**: about 20 µs to create and end a thread, a stack and its page tables while it idles, and a
//!   context switch whenever it waits: with a thousand busy clients the switches are what you measure.
//! - **Breaks**: at the limit on threads or memory; then that client is told `busy`.

#![forbid(unsafe_code)]

use file_service::{Model, Service};
use server_core::{Connection, Incoming, NoOptions, serve_blocking};
use std::io;
use std::net::TcpListener;
use std::sync::Arc;
use std::thread;

/// The model's name, and its row in the README's table.
pub const MODEL: Model = Model {
    name: "thread_server",
    unit: "a thread per connection",
    strength: "plain blocking code; a slow client harms nobody",
    weakness: "a stack per idle client, a context switch per wait",
};

/// Address space for a stack, in bytes. Only the pages that are touched cost memory; a session touches
/// two or three.
const STACK: usize = 128 * 1024;

/// Serves until shutdown is requested.
///
/// # Errors
///
/// The system refuses the signalfd, the watchdog's thread or an option of the listening socket.
pub fn run(listener: TcpListener, service: Service, _: NoOptions) -> io::Result<()> {
    let mut incoming = Incoming::blocking(listener, &service)?;
    while let Some(connection) = incoming.next() {
        let handle = Arc::clone(connection.handle());
        // The model: the conversation goes to a thread of its own, and we accept the next client.
        if let Err(error) = spawn(connection, &service) {
            tracing::warn!("no thread for a client: {error}");
            incoming.refuse(handle);
        }
    }
    Ok(())
}

fn spawn(connection: Connection, service: &Service) -> io::Result<()> {
    let session = connection.session(service);
    thread::Builder::new()
        .name("session".into())
        .stack_size(STACK)
        .spawn(move || serve_blocking(session, connection.socket()))?;
    Ok(()) // the thread is detached: `incoming` counts the connections, not the threads
}
