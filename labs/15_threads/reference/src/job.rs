//! Something to compute that keeps a core busy. There is nothing to do in this file.

use std::io::{self, Write};
use std::ops::Range;
use std::sync::OnceLock;

/// How many steps the numbers of a range take in all to come down to 1, where an even one is halved and an odd one
/// becomes 3n + 1 (Collatz). The job of a range is the sum of the jobs of its parts.
pub fn work(range: Range<u64>) -> u64 {
    wait_if_held(&range);
    range.map(steps).sum()
}

fn steps(mut number: u64) -> u64 {
    let mut steps = 0;
    while number > 1 {
        number = if number.is_multiple_of(2) { number / 2 } else { 3 * number + 1 };
        steps += 1;
    }
    steps
}

/// With `LAB_HOLD` in the environment, every part of the job prints that it has begun, and waits for a line of input.
fn wait_if_held(range: &Range<u64>) {
    static HOLD: OnceLock<bool> = OnceLock::new();
    if *HOLD.get_or_init(|| std::env::var_os("LAB_HOLD").is_some()) {
        let mut stdout = io::stdout().lock();
        let _ = writeln!(stdout, "begun {} {}", range.start, range.end);
        drop(stdout);
        let _ = io::stdin().read_line(&mut String::new());
    }
}
