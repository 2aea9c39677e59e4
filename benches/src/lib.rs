//! The comparison of all models on real files over real sockets.
//!
//! | what | where |
//! |---|---|
//! | `cargo run -p benches -- MODEL` | any server by its name: `src/bin/serve.rs` |
//! | `cargo bench` | one client, six requests and a crowd, all models: `benches/servers.rs` |
//! | `cargo run --release -p benches --bin versus` | the figures of the README: against nginx and bare loops |
//!
//! [`MODELS`] is the one list of servers; everything here goes through it. A measured server is always a
//! process of its own, on a core of its own where there are two ([`Placement`]), and ends with the
//! process that started it ([`tether`]).

#![forbid(unsafe_code)]

pub mod files;
pub mod models;
pub mod placement;
pub mod server;
pub mod tether;
pub mod text;
pub mod tree;

pub use models::{CONTENDERS, Contender, Entry, MODELS, find};
pub use placement::Placement;
pub use server::Server;
