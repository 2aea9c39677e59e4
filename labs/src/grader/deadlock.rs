//! Recognises a program whose threads wait for each other.

use harness::proc::Process;
use harness::wait;
use std::collections::BTreeMap;
use std::fs;
use std::time::Duration;

/// Names a deadlock, or returns nothing: every thread waits for a futex without a timeout, and none has run between
/// several samples.
pub(super) fn deadlock(processes: &[Process]) -> String {
    let sample = || -> Option<BTreeMap<(i32, String), String>> {
        let mut threads = BTreeMap::new();
        for process in processes.iter().filter(|process| process.state != 'Z') {
            for task in fs::read_dir(format!("/proc/{}/task", process.pid)).ok()?.flatten() {
                let call = fs::read_to_string(task.path().join("syscall")).ok()?;
                let mut words = call.split_whitespace();
                // futex(address, FUTEX_WAIT..., value, no timeout)
                let futex = words.next()? == "202";
                let untimed = words.nth(3)? == "0x0";
                if !futex || !untimed {
                    return None;
                }
                let status = fs::read_to_string(task.path().join("status")).ok()?;
                let switches = status.lines().filter(|line| line.contains("ctxt_switches"));
                let switches = switches.collect::<Vec<_>>().join(" ");
                threads.insert((process.pid, task.file_name().to_string_lossy().into()), switches);
            }
        }
        (!threads.is_empty()).then_some(threads)
    };
    let first = sample();
    let same = first.is_some()
        && (0..5).all(|_| {
            wait::pause(Duration::from_millis(20));
            sample() == first
        });
    match (same, first) {
        (true, Some(threads)) => {
            format!("DEADLOCK: all {} threads wait on a futex; ", threads.len())
        }
        _ => String::new(),
    }
}
