//! Waiting for conditions instead of sleeping.
//!
//! A test that sleeps is either slow or wrong, and on a busy machine both. Everything here waits
//! *for* something and gives up after a deadline that is generous enough never to matter while all
//! is well.

use std::time::{Duration, Instant};

use rustix::event::{Timespec, poll};

/// How long a test waits for something that should happen at once. Reaching it is a failure; its
/// length only decides how slow a failing test is on an overloaded machine.
pub const TIMEOUT: Duration = Duration::from_secs(30);

/// Asks `condition` again and again until it holds or `deadline` has passed; says whether it held.
pub fn within(deadline: Duration, mut condition: impl FnMut() -> bool) -> bool {
    let start = Instant::now();
    loop {
        if condition() {
            return true;
        }
        if start.elapsed() >= deadline {
            return false;
        }
        pause(Duration::from_millis(3));
    }
}

/// Waits up to [`TIMEOUT`] for `condition`, and panics with `what` if it never comes true.
#[track_caller]
pub fn eventually(what: &str, condition: impl FnMut() -> bool) {
    assert!(within(TIMEOUT, condition), "never happened within {TIMEOUT:?}: {what}");
}

/// Lets `duration` pass: the interval between two looks at a condition, or the length of an
/// observation. Never a substitute for waiting until something has happened.
pub fn pause(duration: Duration) {
    // An interrupted wait is a shorter one, which every caller can bear.
    let _ = poll(&mut [], Timespec::try_from(duration).ok().as_ref());
}
