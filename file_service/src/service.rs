//! What all sessions of a server share: the store, the settings, the memory for listings and uploads, and the trace, if there is one.

use crate::buffers::Buffers;
use crate::room::Room;
use crate::store::Store;
use crate::trace::{Moment, Trace};
use std::sync::Arc;
use std::time::Duration;

/// What a model says of itself: its row in the README's table.
#[derive(Clone, Copy, Debug)]
pub struct Model {
    /// The name of the server, of its crate and of its folder.
    pub name: &'static str,
    /// What serves a client, in a few words.
    pub unit: &'static str,
    /// What it is good at.
    pub strength: &'static str,
    /// When it breaks.
    pub weakness: &'static str,
}

impl Model {
    /// The row of the README's table of models.
    pub fn readme_row(&self) -> String {
        format!(
            "| [`{0}`]({0}) | {1} | {2} | {3} |",
            self.name, self.unit, self.strength, self.weakness
        )
    }
}

/// The settings of a service, as the command line gives them.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The largest upload, in bytes.
    pub max_file_size: u64,
    /// How many clients may be connected at once, over all processes.
    pub max_connections: usize,
    /// How long a client may be silent between requests.
    pub idle_timeout: Duration,
    /// How long a request line or head may take, from its first byte.
    pub header_timeout: Duration,
    /// How long a transfer may move no byte.
    pub transfer_timeout: Duration,
    /// How long transfers may go on after the order to stop.
    pub drain_timeout: Duration,
    /// Whether files are read into memory and sent from there. The kernel's own way, sendfile, is cheaper,
    /// but hands out pages whose bytes a truncation clears even while they wait in the socket.
    pub copy: bool,
    /// How many bytes the snapshots of directories may take in memory together.
    pub listing_room: u64,
    /// The host in `--addr`: a browser may write to the server under this name, too.
    pub host: Option<String>,
    /// Who serves, for the page of a folder to show; none where a session has no server.
    pub model: Option<Model>,
}

impl Default for Settings {
    fn default() -> Settings {
        Settings {
            max_file_size: 1 << 30,
            max_connections: 1024,
            idle_timeout: Duration::from_secs(60),
            header_timeout: Duration::from_secs(10),
            transfer_timeout: Duration::from_secs(60),
            drain_timeout: Duration::from_secs(10),
            copy: false,
            listing_room: 64 << 20,
            host: None,
            model: None,
        }
    }
}

impl Settings {
    /// The shortest time after which a session may want to look at its deadline.
    pub fn least_timeout(&self) -> Duration {
        self.idle_timeout.min(self.header_timeout).min(self.transfer_timeout)
    }
}

/// What every session of a server shares; a clone is another handle to the same.
#[derive(Clone, Debug)]
pub struct Service(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    store: Store,
    settings: Settings,
    trace: Option<Trace>,
    room: Arc<Room>,
    buffers: Buffers,
}

impl Service {
    /// A service over `store`.
    pub fn new(store: Store, settings: Settings) -> Service {
        Service::traced(store, settings, None)
    }

    /// A service over `store` whose connections and requests are recorded in `trace`.
    pub fn traced(store: Store, settings: Settings, trace: Option<Trace>) -> Service {
        let (room, buffers) = (Room::new(settings.listing_room), Buffers::default());
        Service(Arc::new(Shared { store, settings, trace, room, buffers }))
    }

    /// The served folder.
    pub fn store(&self) -> &Store {
        &self.0.store
    }

    /// The settings.
    pub fn settings(&self) -> &Settings {
        &self.0.settings
    }

    /// The trace, if one is written.
    #[inline]
    pub fn trace(&self) -> Option<&Trace> {
        self.0.trace.as_ref()
    }

    /// The memory that listings may take.
    pub(crate) fn room(&self) -> &Arc<Room> {
        &self.0.room
    }

    /// The buffers for uploads.
    pub(crate) fn buffers(&self) -> &Buffers {
        &self.0.buffers
    }

    /// Now, by the clock of the trace; free without one.
    #[inline]
    pub fn moment(&self) -> Moment {
        self.trace().map_or(Moment::default(), Trace::now)
    }
}
