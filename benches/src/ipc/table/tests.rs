use super::*;
use crate::ipc::cases::Mechanism;
use crate::ipc::report::tests::sample;

#[test]
fn table_shows_everything() {
    let table = table(&sample(1.02, 15), Layout::of_stdout(true));
    for part in [
        "Round trip, both on one core, sleeping: for one there and back",
        "One way, each on a core of its own, spinning: for one message",
        "×1.02",
        " baseline",
        "SysV queue of 16 KiB; SysV queue of 64 KiB: message length in bytes",
        "take turns by the clock",
        "are within their bounds",
    ] {
        assert!(table.contains(part), "{part}\n{table}");
    }
    for mechanism in Mechanism::ALL {
        assert!(table.contains(mechanism.title()), "{mechanism:?}");
    }
    assert!(!table.contains("FAILED") && !table.contains("NaN"));
}

#[test]
fn failures_are_listed_and_not_figures() {
    let mut report = sample(1.0, 3);
    let outcome = &mut report.results[0].outcomes[0];
    outcome.nanos = vec![None; 3];
    outcome.failure = Some("the Far end: WRONG DATA: message 7".to_owned());
    assert_eq!(report.results[0].primary_nanos(), None);
    assert_eq!(report.results[0].to_baseline(), None);
    assert!(
        table(&report, Layout::of_stdout(true)).contains(
            "FAILED pipe, 8 B, round trip, one core, sleeping, library: the Far end: WRONG"
        )
    );
}

#[test]
fn missed_bound_is_listed() {
    let lines = verdicts(&sample(1.25, 15));
    assert!(lines[1..].iter().all(|line| line.contains("1.25 (1.25 to 1.25)")));
}

#[test]
fn table_fits_every_width() {
    let report = sample(1.02, 1);
    for width in [40, 60, 80, 100, 220] {
        let table = table(&report, Layout::of_width(width));
        for line in table.lines() {
            let one_word = line.split_whitespace().count() == 1;
            assert!(line.chars().count() <= width || one_word, "{width}: {line}\n{table}");
        }
        for mechanism in Mechanism::ALL {
            let name = mechanism.title();
            assert!(table.lines().any(|line| line.starts_with(name)), "{width}: {name}\n{table}");
        }
    }
}
