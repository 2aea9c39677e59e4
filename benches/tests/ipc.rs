//! Every mechanism of the bench `ipc` with a few messages, every byte of which is compared: between two real processes,
//! by the library and by the bare calls.

use benches::ipc::cases::{self, Case, SIZES};
use benches::ipc::report::Report;
use std::fs;
use std::path::Path;
use std::process::{Command, Output};

fn ipcbench(args: &[&str]) -> (Output, String, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_ipcbench")).args(args).output();
    let output = output.expect("the program runs");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let (out, err) = (text(&output.stdout), text(&output.stderr));
    (output, out, err)
}

#[test]
fn every_mechanism_moves_its_data() {
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let (output, out, err) = ipcbench(&["--smoke", "--out", folder.path().to_str().unwrap()]);
    assert!(output.status.success(), "{out}\n{err}");
    assert_eq!(err, "");
    let report = Report::read(&read(folder.path(), "ipc.json")).unwrap();
    let ran: Vec<Case> = report.results.iter().map(|result| result.case).collect();
    assert_eq!(ran, cases::all(&SIZES));
    for result in &report.results {
        match (&result.missing, result.outcomes.as_slice()) {
            (Some(why), []) => assert!(why.len() > 10, "{}: {why:?}", result.case),
            (None, outcomes) => {
                assert_eq!(outcomes.len(), result.case.contestants().len(), "{}", result.case);
                for outcome in outcomes {
                    assert_eq!(outcome.failure, None, "{}", result.case);
                    assert!(outcome.nanos.iter().all(|nanos| nanos.is_some_and(|n| n > 0.0)));
                }
            }
            _ => panic!("{} is missing, and is there", result.case),
        }
    }
    let page = read(folder.path(), "index.html");
    assert!(page.contains("Which one when") && page.contains("id=\"ipc\""));
    assert!(!page.contains("NaN"));
}

#[test]
fn filter_words_choose_cases_without_files() {
    let (output, out, err) = ipcbench(&["--smoke", "pipe", "event", "100"]);
    assert!(output.status.success(), "{out}\n{err}");
    assert!(out.contains("pipe") && out.contains("event (futex)") && !out.contains("FIFO"));
    assert!(!out.contains("Written to"));
    let (_, list, _) = ipcbench(&["--list", "event"]);
    let lines: Vec<&str> = list.lines().collect();
    assert_eq!(
        lines,
        [
            "ipc/event (futex), 8 B, round trip, one core, sleeping",
            "ipc/event (futex), 8 B, round trip, two cores, sleeping"
        ]
    );
}

#[test]
fn usage_error_is_one_line_and_code_2() {
    let (output, _, err) = ipcbench(&["telepathy"]);
    assert_eq!(output.status.code(), Some(2));
    assert_eq!(err, "ipc: \"telepathy\" is no mechanism and no size; see --help\n");
}

fn read(folder: &Path, name: &str) -> String {
    fs::read_to_string(folder.join(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
}
