//! The comparison and what belongs to it, as programs: that they run, and what they say. The figures are
//! nobody's test.

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Output, Stdio};

fn loadgen(folder: &Path, args: &[&str]) -> (Output, String, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_loadgen"));
    let output = command.args(args).current_dir(folder).output().unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let (stdout, stderr) = (text(&output.stdout), text(&output.stderr));
    (output, stdout, stderr)
}

const SHORT: [&str; 6] = ["--rounds", "2", "--seconds", "0.3", "--warm-up", "0.1"];

/// Compares for so short a time that a server may not get to run for all of a round, where the machine stands still: such a
/// comparison is made again, but not for ever.
fn compare(folder: &Path, args: &[&str]) -> (Output, String, String) {
    let args = [&["compare", "--html", "page.html"], &SHORT[..], args].concat();
    let mut said = loadgen(folder, &args);
    for _ in 1..5 {
        let json = fs::read_to_string(folder.join("comparison.json")).unwrap_or_default();
        let comparison = benches::load::report::json::read_comparison(&json);
        let results = comparison.iter().flat_map(|comparison| &comparison.cases);
        let mut runs = results.flat_map(|case| &case.results).flat_map(|result| result.runs());
        if !said.0.status.success() || runs.all(|run| run.totals.done > 0) {
            break;
        }
        said = loadgen(folder, &args);
    }
    said
}

#[test]
fn two_models_in_two_cases() {
    let folder = tempfile::tempdir().unwrap();
    let args = ["--models", "iterative,thread", "--case", "get-4k-4,connect-4k"];
    let (output, stdout, stderr) = compare(folder.path(), &args);
    assert!(output.status.success(), "{stdout}\n{stderr}");
    for word in ["iterative_server", "thread_server", "get-4k-4", "connect-4k", "core"] {
        assert!(stdout.contains(word), "{word}: {stdout}");
    }
    let json = fs::read_to_string(folder.path().join("comparison.json")).unwrap();
    let comparison = benches::load::report::json::read_comparison(&json).unwrap();
    assert_eq!(comparison.cases.len(), 2);
    assert_eq!(comparison.baseline.as_deref(), Some("thread_server"));
    let iterative = &comparison.cases[0].results[0];
    assert!(iterative.rounds.is_empty() && iterative.failure.is_some(), "it serves one at a time");
    for result in [&comparison.cases[0].results[1], &comparison.cases[1].results[0]] {
        assert_eq!(result.rounds.len(), 2, "{}", result.server);
        for recording in result.runs() {
            let (done, errors) = (recording.totals.done, &recording.errors);
            assert!(done > 0 && errors.is_empty(), "{}: {done}, {errors:?}", result.server);
            let (first, last) =
                (recording.samples.first().unwrap(), recording.samples.last().unwrap());
            assert!(last.processes >= 1 && last.user + last.system >= first.user + first.system);
        }
    }
    let page = fs::read_to_string(folder.path().join("page.html")).unwrap();
    assert!(page.contains("thread_server") && page.contains("<svg"));
    assert!(fs::read_to_string(folder.path().join("comparison.csv")).unwrap().lines().count() > 4);

    // The file beside itself: nothing is shown.
    for diff in [&["diff"][..], &["compare"][..]] {
        let files = ["comparison.json", "comparison.json"];
        let (output, stdout, stderr) = loadgen(folder.path(), &[diff, &files[..]].concat());
        assert!(output.status.success(), "{stdout}\n{stderr}");
        assert!(stdout.contains("No difference is shown"), "{stdout}");
    }
}

#[test]
fn a_program_that_is_replaced_meanwhile_still_starts_its_servers() {
    // As a build does that ends while a comparison runs.
    let folder = tempfile::tempdir().unwrap();
    let program = folder.path().join("loadgen");
    fs::copy(env!("CARGO_BIN_EXE_loadgen"), &program).unwrap();
    let args = ["compare", "--html", "page.html", "--models", "fork,thread", "--case", "get-4k-1"];
    let mut child = Command::new(&program)
        .args([&args[..], &SHORT].concat())
        .current_dir(folder.path())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdout = BufReader::new(child.stdout.take().unwrap());
    let mut line = String::new();
    stdout.read_line(&mut line).unwrap();
    fs::remove_file(&program).unwrap();
    std::io::Read::read_to_string(&mut stdout, &mut line).unwrap();
    let output = child.wait_with_output().unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{line}\n{stderr}");
    assert!(!stderr.contains("no timeline"), "{stderr}");
}

#[test]
fn every_case_runs() {
    let folder = tempfile::tempdir().unwrap();
    let cases = "get-4k-1,get-1m,put,mixed,idle";
    let (output, stdout, stderr) = compare(folder.path(), &["--models", "pool", "--case", cases]);
    assert!(output.status.success(), "{stdout}\n{stderr}");
    assert!(stdout.contains("for each idle client"), "{stdout}");
    let json = fs::read_to_string(folder.path().join("comparison.json")).unwrap();
    let comparison = benches::load::report::json::read_comparison(&json).unwrap();
    for case in &comparison.cases {
        // There is no reply that costs nothing to anything but a GET.
        let get = case.name.starts_with("get-");
        assert_eq!(case.ceiling.is_some_and(|ceiling| ceiling > 0.0), get, "{}", case.name);
        for run in case.results[0].runs() {
            let empty = run.empty.unwrap();
            assert!(empty.pss > 0 && empty.at < 0.0, "weighed before anybody came: {empty:?}");
        }
    }
    assert!(stdout.contains("The generator itself can do"), "{stdout}");
}

#[test]
fn foreign_servers_where_there_are_any() {
    let folder = tempfile::tempdir().unwrap();
    let args = ["--models", "thread", "--against", "nginx", "--against", "python"];
    let (output, stdout, stderr) =
        compare(folder.path(), &[&args[..], &["--case", "get-4k-4,put"]].concat());
    assert!(output.status.success(), "{stdout}\n{stderr}");
    for peer in ["nginx", "python-threads", "python-forks", "python-gevent"] {
        assert!(stdout.contains(peer), "served or skipped: {stdout}");
    }
    let json = fs::read_to_string(folder.path().join("comparison.json")).unwrap();
    let comparison = benches::load::report::json::read_comparison(&json).unwrap();
    for result in &comparison.cases[0].results {
        assert_eq!(result.runs().count(), 2, "{}: {:?}", result.server, result.failure);
        assert!(result.runs().all(|run| run.totals.done > 0 && run.errors.is_empty()));
    }
}

/// Somebody's own server of the file protocol; here it is one of ours, started as a program.
#[test]
fn a_program_beside_another() {
    let folder = tempfile::tempdir().unwrap();
    let one = format!("one at a time={} iterative_server", env!("CARGO_BIN_EXE_serve"));
    let many = format!("many={} thread_server", env!("CARGO_BIN_EXE_serve"));
    let args = ["--program", &one, "--program", &many, "--case", "visitors,connect-4k"];
    let (output, stdout, stderr) = compare(folder.path(), &args);
    assert!(output.status.success(), "{stdout}\n{stderr}");
    let json = fs::read_to_string(folder.path().join("comparison.json")).unwrap();
    let comparison = benches::load::report::json::read_comparison(&json).unwrap();
    assert_eq!(comparison.servers(), ["one at a time", "many"]);
    for case in &comparison.cases {
        for result in &case.results {
            assert_eq!(result.runs().count(), 2, "{}: {stdout}", result.server);
            // Not by HTTP, which a student's server does not speak.
            assert!(result.runs().all(|run| run.totals.done > 0), "{}: {stdout}", result.server);
        }
    }
}

#[test]
fn a_server_with_itself() {
    let folder = tempfile::tempdir().unwrap();
    let (output, stdout, stderr) =
        compare(folder.path(), &["--models", "pool", "--aa", "--case", "get-4k-1"]);
    assert!(output.status.success(), "{stdout}\n{stderr}");
    assert!(stdout.contains("A/A: "), "{stdout}");
}

#[test]
fn the_knee_has_a_bracket() {
    let folder = tempfile::tempdir().unwrap();
    // So generous a precision and a bound that it is soon done.
    let args = ["knee", "--serve", "thread", "--slo", "p50=1s", "--seconds", "0.2"];
    let more = ["--repeats", "1", "--precision", "1", "--connections", "4"];
    let (output, stdout, stderr) = loadgen(folder.path(), &[&args[..], &more[..]].concat());
    assert!(matches!(output.status.code(), Some(0 | 1)), "{stdout}");
    assert!(stdout.contains("closed loop"), "{stdout}");
    // A machine that is too busy to know is told so.
    let said =
        stdout.contains("thread_server: p50") || stderr.contains("the generator itself is late");
    assert!(said, "{stdout}\n{stderr}");
}

#[test]
fn what_is_wrong_is_one_line_and_code_2() {
    let folder = tempfile::tempdir().unwrap();
    for args in [
        &["compare", "--models", "pond"][..],
        &["compare", "--case", "get-5k"],
        &["compare", "--against", "apache"],
        &["compare", "--against", "a=127.0.0.1:1"],
        &["compare", "--models", "pool,pool"],
        &["compare", "--program", "no-name"],
        &["compare", "--program", "a=/no/such/program --option"],
        &["compare", "--models", "pool", "--baseline", "thread"],
        &["compare", "missing.json", "missing.json"],
        &["diff", "missing.json", "missing.json"],
        &["knee", "--serve", "pond"],
        &["knee", "--serve", "iterative"],
        &["knee", "--serve", "pool", "--slo", "fast"],
    ] {
        let (output, stdout, stderr) = loadgen(folder.path(), args);
        assert_eq!(output.status.code(), Some(2), "{args:?}: {stdout}\n{stderr}");
        assert_eq!(stderr.lines().count(), 1, "{args:?}: {stderr}");
    }
}
