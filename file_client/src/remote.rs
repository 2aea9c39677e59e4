//! The connection to the server, made when first needed and made again when it was lost.

use std::ffi::OsStr;
use std::io::{ErrorKind, Write};
use std::time::Duration;

use file_service::client::{self, Client, DatagramClient, Entry, Progress};

use crate::failure::{Failure, eprint_line, reason};
use crate::interrupt;

/// How long to wait for a connection.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// A server, connected or not.
pub(crate) struct Remote {
    addr: String,
    timeout: Duration,
    udp: bool,
    client: Option<Client>,
    datagrams: Option<DatagramClient>,
}

/// What can be asked of a server either way, over a connection or by datagram.
pub(crate) trait Source {
    /// The entries of a folder.
    fn list_dir(&mut self, dir: &OsStr) -> Result<Vec<Entry>, client::Error>;

    /// Streams a file from `offset` on into `sink`.
    fn get_to(
        &mut self,
        name: &OsStr,
        offset: u64,
        sink: &mut dyn Write,
        progress: Progress<'_>,
    ) -> Result<u64, client::Error>;

    /// Whether there is a file of this name that can be fetched: refused if not.
    fn find(&mut self, name: &OsStr) -> Result<(), client::Error>;

    /// The SHA-256 of a file.
    fn hash(&mut self, name: &OsStr) -> Result<String, client::Error>;
}

impl Remote {
    /// Connects to nothing yet. A `timeout` of zero waits for ever.
    pub(crate) fn new(addr: String, timeout: Duration, udp: bool) -> Remote {
        Remote { addr, timeout, udp, client: None, datagrams: None }
    }

    /// Where the server is, or should be.
    pub(crate) fn addr(&self) -> &str {
        &self.addr
    }

    /// Whom to ask: over a connection, or by datagram.
    pub(crate) fn source(&mut self) -> Result<&mut dyn Source, Failure> {
        if !self.udp {
            return self.client().map(|client| client as &mut dyn Source);
        }
        if let Some(signal) = interrupt::signal() {
            return Err(Failure::Interrupted(signal));
        }
        // Made new each time, for it may have been shut down, and a reply to its forerunner has another port.
        let client = DatagramClient::new(self.addr.as_str(), Some(self.timeout))
            .map_err(|error| self.unreachable(error))?;
        interrupt::register_socket(client.try_clone_socket());
        Ok(self.datagrams.insert(client))
    }

    /// A connection that is alive as far as can be told without asking the server. A command that
    /// was told to stop gets none.
    pub(crate) fn client(&mut self) -> Result<&mut Client, Failure> {
        if self.udp {
            let message = "by datagram there are only list, get and hash: leave --udp out";
            return Err(Failure::Usage(message.to_string()));
        }
        if let Some(signal) = interrupt::signal() {
            return Err(Failure::Interrupted(signal));
        }
        let client = match self.client.take() {
            Some(client) if !client.is_stale() => client,
            _ => self.connect()?,
        };
        interrupt::register_socket(client.try_clone_stream());
        Ok(self.client.insert(client))
    }

    /// Connects again where the server has closed the connection, and prints that: for the prompt, which
    /// may have been idle for longer than the server waits.
    pub(crate) fn reconnect_if_closed(&mut self) -> Result<(), Failure> {
        let was_closed = self.client.as_ref().is_some_and(Client::is_stale);
        self.client()?;
        if was_closed {
            eprint_line("the server had closed the idle connection; connected again");
        }
        Ok(())
    }

    /// Returns the entries of a directory, for completion: within `timeout`, and without a message.
    pub(crate) fn list_quickly(
        &mut self,
        directory: &str,
        timeout: Duration,
    ) -> Result<Vec<Entry>, Failure> {
        let usual = self.timeout;
        let client = self.client()?;
        let limited = client.set_timeout(Some(timeout)).map_err(client::Error::Lost);
        let result = limited.and_then(|()| client.list_dir(directory));
        let restored = client.set_timeout(Some(usual)).map_err(client::Error::Lost);
        restored.and(result).map_err(|error| Failure::of_server(directory, error))
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

impl Source for Client {
    fn list_dir(&mut self, dir: &OsStr) -> Result<Vec<Entry>, client::Error> {
        Client::list_dir(self, dir)
    }

    fn get_to(
        &mut self,
        name: &OsStr,
        offset: u64,
        sink: &mut dyn Write,
        progress: Progress<'_>,
    ) -> Result<u64, client::Error> {
        Client::get_to(self, name, offset, sink, progress)
    }

    fn find(&mut self, name: &OsStr) -> Result<(), client::Error> {
        Client::get_range(self, name, 0, Some(0)).map(drop)
    }

    fn hash(&mut self, name: &OsStr) -> Result<String, client::Error> {
        Client::hash(self, name)
    }
}

impl Source for DatagramClient {
    fn list_dir(&mut self, dir: &OsStr) -> Result<Vec<Entry>, client::Error> {
        DatagramClient::list_dir(self, dir)
    }

    fn get_to(
        &mut self,
        name: &OsStr,
        offset: u64,
        sink: &mut dyn Write,
        progress: Progress<'_>,
    ) -> Result<u64, client::Error> {
        // What is too large to be verified is not worth fetching.
        DatagramClient::hash(self, name)?;
        DatagramClient::get_to(self, name, offset, sink, progress)
    }

    fn find(&mut self, name: &OsStr) -> Result<(), client::Error> {
        DatagramClient::get_range(self, name, 0, 0).map(drop)
    }

    fn hash(&mut self, name: &OsStr) -> Result<String, client::Error> {
        DatagramClient::hash(self, name)
    }
}
