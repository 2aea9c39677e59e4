//! The load generator and all that reads what it has measured.
//!
//! | | what | where |
//! |---|---|---|
//! | asked | what a run asks of a server, and how the load grows | [`workload`] |
//! | | the moments and the choices that are drawn from the seed | `schedule` |
//! | | files that describe themselves, so that every reply can be verified | [`content`] |
//! | run | the event loop of the generator, and its ceiling | [`engine`] |
//! | | requests as bytes, replies from bytes | `codec` |
//! | | the server's processes from outside, ten times a second | [`sampler`] |
//! | measured | one run against one server, as JSON | [`recording`] |
//! | | latencies and their percentiles | [`latencies`] |
//! | | when its figures are not to be believed | [`verdict`] |
//! | | ratios over rounds, their intervals, fairness | [`stats`] |
//! | | what the workers of a server did, by its trace | [`timeline`] |
//! | shown | tables, pages, pictures, CSV, JSON | [`report`] |
//! | programs | several servers in turns | [`compare`] |
//! | | two comparisons, before and after | [`diff`] |
//! | | the highest rate within a bound | [`knee`] |
//! | | what they share: a run that is sampled, processes, failures | [`sampled_run`], [`process`], [`failure`] |

mod bare;
mod codec;
mod null;
mod schedule;

pub mod compare;
pub mod content;
pub mod diff;
pub mod engine;
pub mod failure;
pub mod knee;
pub mod latencies;
pub mod process;
pub mod recording;
pub mod report;
pub mod sampled_run;
pub mod sampler;
pub mod stats;
pub mod timeline;
pub mod verdict;
pub mod workload;
