//! A worker for a client, for as long as it stays.

use crate::Options;
use crate::pool;
use crate::submit::submit;
use file_service::{Service, Session};
use server_core::{Connection, Incoming, serve_blocking};
use std::io;
use std::net::TcpListener;
use std::sync::Arc;
use std::time::Duration;

/// How long a client waits for a place in the queue before it is told `busy`. Nobody is accepted
/// meanwhile: the pressure reaches the listen queue, and through it the clients.
const QUEUE_TIMEOUT: Duration = Duration::from_secs(1);

pub(crate) fn run(listener: TcpListener, service: Service, options: &Options) -> io::Result<()> {
    let work = |(connection, session): (Connection, Session)| {
        serve_blocking(session, connection.socket());
        Vec::new() // nothing is left of this client
    };
    let pool = pool::start(options.pool, options.workers(), options.queue, work)?;
    let mut incoming = Incoming::blocking(listener, &service)?;
    while let Some(connection) = incoming.next() {
        let handle = Arc::clone(connection.handle());
        let session = connection.session(&service);
        // The model: the next free worker has this client until it leaves.
        if submit(&*pool, (connection, session), QUEUE_TIMEOUT, &mut incoming).is_err() {
            incoming.refuse(handle);
        }
    }
    Ok(())
}
