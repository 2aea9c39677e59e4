//! The connection to the server, made when first needed and made again when it was lost.

use std::io::ErrorKind;
use std::time::Duration;

use file_service::client::{self, Client, Entry};

use crate::failure::{Failure, reason, tell};
use crate::interrupt;

/// How long to wait for a connection.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// A server, connected or not.
pub(crate) struct Remote {
    addr: String,
    timeout: Duration,
    client: Option<Client>,
}

impl Remote {
    /// Connects to nothing yet. A `timeout` of zero waits for ever.
    pub(crate) fn new(addr: String, timeout: Duration) -> Remote {
        Remote { addr, timeout, client: None }
    }

    /// Where the server is, or should be.
    pub(crate) fn addr(&self) -> &str {
        &self.addr
    }

    /// A connection that is alive as far as can be told without asking the server. A command that
    /// was told to stop gets none.
    pub(crate) fn client(&mut self) -> Result<&mut Client, Failure> {
        if let Some(signal) = interrupt::pending() {
            return Err(Failure::Interrupted(signal as u8));
        }
        let client = match self.client.take() {
            Some(client) if !client.is_stale() => client,
            _ => self.connect()?,
        };
        interrupt::expose(client.try_clone_stream());
        Ok(self.client.insert(client))
    }

    /// Makes the connection new where the server has closed it, and says so: for the prompt, where
    /// a person may have been away for longer than the server waits.
    pub(crate) fn renew(&mut self) -> Result<(), Failure> {
        let was_closed = self.client.as_ref().is_some_and(Client::is_stale);
        self.client()?;
        if was_closed {
            tell("the server had closed the idle connection; connected again");
        }
        Ok(())
    }

    /// The entries of a folder, for completion: soon or not at all, and in silence.
    pub(crate) fn list_quickly(
        &mut self,
        folder: &str,
        patience: Duration,
    ) -> Result<Vec<Entry>, Failure> {
        let timeout = self.timeout;
        let client = self.client()?;
        let limited = client.set_timeout(Some(patience)).map_err(client::Error::Lost);
        let result = limited.and_then(|()| client.list_dir(folder));
        let restored = client.set_timeout(Some(timeout)).map_err(client::Error::Lost);
        restored.and(result).map_err(|error| Failure::of_server(folder, error))
    }

    /// Takes leave of the server, if connected.
    pub(crate) fn quit(&mut self) {
        if let Some(client) = self.client.take().filter(|client| !client.is_stale()) {
            // A farewell that gets lost changes nothing.
            let _ = client.quit();
        }
    }

    fn connect(&self) -> Result<Client, Failure> {
        let limit = match self.timeout {
            Duration::ZERO => CONNECT_TIMEOUT,
            timeout => timeout.min(CONNECT_TIMEOUT),
        };
        let connect = || {
            let mut client = Client::connect_timeout(self.addr.as_str(), limit)?;
            client.set_timeout(Some(self.timeout)).map_err(client::Error::Connect)?;
            Ok(client)
        };
        connect().map_err(|error| self.unreachable(error))
    }

    fn unreachable(&self, error: client::Error) -> Failure {
        let client::Error::Connect(error) = error else {
            return Failure::Unreachable(format!("{}: {error}", self.addr));
        };
        let advice = match error.kind() {
            ErrorKind::ConnectionRefused => {
                "is a server running there? start one with `cargo run -p thread_server`"
            }
            _ => "check the address, and whether this machine can reach it",
        };
        Failure::Unreachable(format!(
            "cannot connect to {}: {}; {advice}",
            self.addr,
            reason(&error)
        ))
    }
}
