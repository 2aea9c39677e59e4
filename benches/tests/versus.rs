//! The comparisons run and say what they found; the figures are nobody's test.

use std::process::{Command, Output};

fn versus(args: &[&str]) -> (Output, String, String) {
    let root = env!("CARGO_TARGET_TMPDIR");
    let mut command = Command::new(env!("CARGO_BIN_EXE_versus"));
    let output = command.args(args).current_dir(root).output().unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let (stdout, stderr) = (text(&output.stdout), text(&output.stderr));
    (output, stdout, stderr)
}

#[track_caller]
fn assert_success((output, stdout, stderr): (Output, String, String)) -> String {
    assert!(output.status.success() && stderr.is_empty(), "{stdout}\n{stderr}");
    stdout
}

#[test]
fn memory_of_every_kind() {
    let table = assert_success(versus(&["memory", "--clients", "5"]));
    for entry in benches::MODELS {
        assert!(table.contains(entry.model.name), "{table}");
    }
}

#[test]
fn bulk_both_ways() {
    let table = assert_success(versus(&["bulk", "--mib", "2", "--rounds", "1"]));
    assert_eq!(table.matches("| coroutine_server").count(), 2, "{table}");
    let named = ["bulk", "--mib", "1", "--rounds", "2", "--models", "pool:steal,thread"];
    let table = assert_success(versus(&named));
    assert_eq!(table.matches("| pool_server:steal").count(), 2, "{table}");
    assert!(!table.contains("fork_server"), "{table}");
}

#[test]
fn what_is_missing_is_named_in_one_line() {
    let mut command = Command::new(env!("CARGO_BIN_EXE_versus"));
    let output = command.arg("speed").env("PATH", "").output().unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(2), "{stderr}");
    assert_eq!(stderr.lines().count(), 1, "{stderr}");
    assert!(stderr.contains("wrk") && stderr.contains("nginx"), "{stderr}");
}

#[test]
fn an_unknown_model_is_refused() {
    let (output, _, stderr) = versus(&["memory", "--models", "pond"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(stderr.contains("thread_server"), "{stderr}");
}
