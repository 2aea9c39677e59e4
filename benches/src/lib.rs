//! The comparison of all models on real files over real sockets.
//!
//! | run | what | where |
//! |---|---|---|
//! | `cargo run -p benches -- MODEL` | any server by its name | `src/bin/serve.rs` |
//! | `cargo bench` | the parts of a request by criterion, then all models side by side | `benches/basics.rs`, `benches/comparison.rs` |
//! | `cargo bench -p benches --bench ipc` | every way in which two processes talk, next to the bare system calls | [`ipc`] |
//! | `cargo loadgen` | one server under load; `compare`, `knee`, `diff` and `picture` | [`load`] |
//!
//! [`MODELS`] is the one list of servers, [`VARIANTS`] that of their forms; everything here goes through
//! them ([`models`]). A measured [`Server`] is always a process of its own, on a core of its own where there
//! are two ([`Placement`]), and ends with the process that started it ([`tether`]). What its processes use
//! is read from `/proc` during a run ([`load::sampler`]). [`files`] makes what servers serve, [`mod@text`]
//! formats what people read, [`layout`] fits it into a terminal, [`out`] prints it and writes files, and [`filter`] takes
//! the words from a command line of `cargo bench`.

#![forbid(unsafe_code)]

mod control_group;
pub mod files;
pub mod filter;
pub mod ipc;
pub mod layout;
pub mod load;
pub mod models;
pub mod out;
pub mod placement;
mod procfs;
pub mod server;
pub mod tether;
pub mod text;

pub use models::{Entry, MODELS, VARIANTS, Variant, find};
pub use placement::Placement;
pub use server::Server;
