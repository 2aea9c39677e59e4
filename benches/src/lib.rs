//! The comparison of all models on real files over real sockets.
//!
//! | what | where |
//! |---|---|
//! | `cargo run -p benches -- MODEL` | any server by its name: `src/bin/serve.rs` |
//! | `cargo bench` | the small things, by criterion (`benches/basics.rs`), then all models beside each other (`benches/comparison.rs`) |
//! | `cargo bench -p benches --bench ipc` | every way in which two processes talk, next to the bare system calls: [`ipc`] |
//! | `cargo loadgen` | one server under load; `compare`, `knee` and `diff`: [`load`] |
//!
//! [`MODELS`] is the one list of servers; everything here goes through it. A measured server is always a
//! process of its own, on a core of its own where there are two ([`Placement`]), and ends with the
//! process that started it ([`tether`]).

#![forbid(unsafe_code)]

pub mod files;
pub mod filter;
pub mod ipc;
pub mod load;
pub mod models;
pub mod placement;
mod procfs;
pub mod server;
pub mod tether;
pub mod text;

pub use models::{Entry, MODELS, VARIANTS, Variant, find};
pub use placement::Placement;
pub use server::Server;
