//! The load generator and all that reads what it has measured.

mod bare;
mod null;

pub mod codec;
pub mod compare;
pub mod content;
pub mod diff;
pub mod engine;
pub mod failure;
pub mod knee;
pub mod process;
pub mod recording;
pub mod report;
pub mod sampler;
pub mod schedule;
pub mod stats;
pub mod timeline;
pub mod verdict;
pub mod watched;
pub mod workload;
