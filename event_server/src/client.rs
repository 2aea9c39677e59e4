//! A client of a worker.

use crate::poller::Watch;
use file_service::Session;
use server_core::Connection;

/// A connection with its session, and what the loop remembers about it.
pub(crate) struct Client {
    pub(crate) connection: Connection,
    pub(crate) session: Session,
    /// What the poller watches the connection for.
    pub(crate) watched: Watch,
    /// It is in the list of clients that are ready.
    pub(crate) queued: bool,
    /// The connection was reported while the client was in the list: what the session has read is outdated.
    pub(crate) reported: bool,
    /// The end of stream was reported. It may have come together with the last bytes.
    pub(crate) hung_up: bool,
}

impl Client {
    pub(crate) fn new(connection: Connection, session: Session) -> Client {
        Client {
            connection,
            session,
            watched: Watch::Nothing,
            queued: false,
            reported: false,
            hung_up: false,
        }
    }
}
