//! The commands of the generator but for the load itself: that they run, and what they print. No test asserts a speed.

use benches::load::report::{Metric, json};
use std::fs;
use std::io::{BufRead, BufReader};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::Duration;

fn loadgen(directory: &Path, args: &[&str]) -> (Output, String, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_loadgen"));
    let output = command.args(args).current_dir(directory).output().unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let (stdout, stderr) = (text(&output.stdout), text(&output.stderr));
    (output, stdout, stderr)
}

const SHORT: [&str; 6] = ["--rounds", "2", "--duration", "0.3", "--warm-up", "0.1"];

/// Whether a command has run and reported. On a busy machine figures may be INVALID (3).
fn has_run(output: &Output) -> bool {
    matches!(output.status.code(), Some(0 | 3))
}

/// Compares for so short a time that a server on a busy machine may not run at all in a round: such a comparison is
/// repeated, a few times.
fn compare(directory: &Path, args: &[&str]) -> (Output, String, String) {
    let args = [&["compare", "--html", "page.html"], &SHORT[..], args].concat();
    let mut printed = loadgen(directory, &args);
    for _ in 1..5 {
        let text = fs::read_to_string(directory.join("comparison.json")).unwrap_or_default();
        let comparison = json::read_comparison(&text);
        let results = comparison.iter().flat_map(|comparison| &comparison.cases);
        let mut runs = results.flat_map(|case| &case.results).flat_map(|result| result.runs());
        if printed.0.status.code() == Some(2) || runs.all(|run| run.totals.done > 0) {
            break;
        }
        printed = loadgen(directory, &args);
    }
    printed
}

#[test]
fn models_and_cases_are_reported() {
    let directory = tempfile::tempdir().unwrap();
    let args = ["--serve", "iterative,thread", "--case", "get-4k-4,connect-4k"];
    let (output, stdout, stderr) = compare(directory.path(), &args);
    assert!(has_run(&output), "{stdout}\n{stderr}");
    for word in ["iterative_server", "thread_server", "get-4k-4", "connect-4k", "core"] {
        assert!(stdout.contains(word), "{word}: {stdout}");
    }
    let json = fs::read_to_string(directory.path().join("comparison.json")).unwrap();
    let comparison = json::read_comparison(&json).unwrap();
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
    let page = fs::read_to_string(directory.path().join("page.html")).unwrap();
    assert!(page.contains("thread_server") && page.contains("<svg"));
    assert!(
        fs::read_to_string(directory.path().join("comparison.csv")).unwrap().lines().count() > 4
    );

    // A file compared with itself: nothing is shown.
    for diff in [&["diff"][..], &["compare"][..]] {
        let files = ["comparison.json", "comparison.json"];
        let (output, stdout, stderr) = loadgen(directory.path(), &[diff, &files[..]].concat());
        assert!(has_run(&output), "{stdout}\n{stderr}");
        assert!(stdout.contains("No difference is shown"), "{stdout}");
    }
}

#[test]
fn replaced_program_still_starts_servers() {
    // As by a build that ends while a comparison runs.
    let directory = tempfile::tempdir().unwrap();
    let program = directory.path().join("loadgen");
    fs::copy(env!("CARGO_BIN_EXE_loadgen"), &program).unwrap();
    let args = ["compare", "--html", "page.html", "--serve", "fork,thread", "--case", "get-4k-1"];
    let mut child = Command::new(&program)
        .args([&args[..], &SHORT].concat())
        .current_dir(directory.path())
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
    assert!(has_run(&output), "{line}\n{stderr}");
    assert!(!stderr.contains("no timeline"), "{stderr}");
}

#[test]
fn standard_cases_run() {
    let directory = tempfile::tempdir().unwrap();
    let cases = "get-4k-1,get-1m,put,mixed,idle";
    let (output, stdout, stderr) = compare(directory.path(), &["--serve", "pool", "--case", cases]);
    assert!(has_run(&output), "{stdout}\n{stderr}");
    assert!(stdout.contains("for each idle client"), "{stdout}");
    let json = fs::read_to_string(directory.path().join("comparison.json")).unwrap();
    let comparison = json::read_comparison(&json).unwrap();
    for case in &comparison.cases {
        // There is no reply that costs nothing to anything but a GET.
        let get = case.name.starts_with("get-");
        assert_eq!(case.ceiling.is_some_and(|ceiling| ceiling > 0.0), get, "{}", case.name);
        for run in case.results[0].runs() {
            let empty = run.empty.unwrap();
            assert!(empty.pss > 0 && empty.at < 0.0, "sampled before the first client: {empty:?}");
        }
    }
    assert!(stdout.contains("The generator itself can do"), "{stdout}");
}

/// Each word of `--against`: the servers that it means are measured with bodies verified, or skipped with a line.
#[test]
fn third_party_servers_run_or_skip() {
    let directory = tempfile::tempdir().unwrap();
    let words = ["--against", "nginx,lighttpd,h2o", "--against", "caddy", "--against", "python"];
    let args = ["--serve", "event", "--case", "get-4k-64,connect-4k-4,put"];
    let (output, stdout, stderr) = compare(directory.path(), &[&args[..], &words].concat());
    assert!(has_run(&output), "{stdout}\n{stderr}");
    let json = fs::read_to_string(directory.path().join("comparison.json")).unwrap();
    let comparison = json::read_comparison(&json).unwrap();
    for server in
        ["nginx", "lighttpd", "h2o", "caddy", "python-threads", "python-forks", "python-gevent"]
    {
        let skipped = stdout.lines().find(|line| line.starts_with(&format!("{server} skipped: ")));
        if let Some(line) = skipped {
            assert!(line.contains("(apt install "), "{line}");
            eprintln!("SKIPPED: {line}");
            continue;
        }
        // Its version and configuration.
        assert!(stdout.contains(&format!("\n{server}: ")), "{stdout}");
        for case in &comparison.cases {
            let result = case.results.iter().find(|result| result.server == *server).unwrap();
            if case.name == "put" {
                assert_eq!(result.failure.as_deref(), Some("answers GET alone"));
                continue;
            }
            assert_eq!(result.runs().count(), 2, "{server}, {}: {:?}", case.name, result.failure);
            for run in result.runs() {
                let (done, errors) = (run.totals.done, &run.errors);
                assert!(run.workload.verify && done > 0, "{server}, {}", case.name);
                assert!(errors.is_empty(), "{server}, {}: {errors:?}", case.name);
            }
        }
    }
}

/// What the servers write is in the temporary directory, and nothing of them stays.
#[test]
fn third_party_servers_leave_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let (temporary, home) = (directory.path().join("temporary"), directory.path().join("home"));
    fs::create_dir(&temporary).unwrap();
    fs::create_dir(&home).unwrap();
    let words = "nginx,lighttpd,h2o,caddy,python";
    let args = ["compare", "--html", "page.html", "--serve", "event", "--against", words];
    let mut command = Command::new(env!("CARGO_BIN_EXE_loadgen"));
    command.args(args).args(["--rounds", "1", "--duration", "0.2", "--warm-up", "0.05"]);
    command.args(["--case", "get-4k-4"]).current_dir(directory.path());
    let output = command.env("TMPDIR", &temporary).env("HOME", &home).output().unwrap();
    assert!(has_run(&output), "{output:?}");
    for path in [&temporary, &home] {
        let left: Vec<_> = fs::read_dir(path).unwrap().flatten().map(|e| e.path()).collect();
        assert!(left.is_empty(), "{left:?}");
    }
    let mark = temporary.to_str().unwrap().as_bytes();
    for process in fs::read_dir("/proc").unwrap().flatten() {
        let line = fs::read(process.path().join("cmdline")).unwrap_or_default();
        let marked = line.windows(mark.len()).any(|window| window == mark);
        assert!(!marked, "{}", String::from_utf8_lossy(&line));
    }
}

/// The directories of control groups below that of this process which belong to a process.
fn control_groups(pid: u32) -> Option<Vec<PathBuf>> {
    let mounts = fs::read_to_string("/proc/self/mountinfo").ok()?;
    let mount = mounts.lines().find(|line| line.contains(" - cgroup2 "))?.split(' ').nth(4)?;
    let groups = fs::read_to_string("/proc/self/cgroup").ok()?;
    let own = groups.lines().find_map(|line| line.strip_prefix("0::"))?;
    let own = Path::new(mount).join(own.trim_start_matches('/'));
    let of = format!("measured-{pid}-");
    let all = fs::read_dir(own).ok()?.flatten().map(|entry| entry.path());
    let named = |path: &PathBuf| {
        path.file_name().is_some_and(|name| name.to_string_lossy().starts_with(&of))
    };
    Some(all.filter(named).collect())
}

#[test]
fn killed_comparison_leaves_no_control_group() {
    let directory = tempfile::tempdir().unwrap();
    let args = ["--serve", "thread", "--duration", "60", "--root", "."];
    let mut child = Command::new(env!("CARGO_BIN_EXE_loadgen"))
        .args(args)
        .current_dir(directory.path())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let made = || control_groups(child.id()).is_some_and(|groups| !groups.is_empty());
    let made = harness::wait::within(Duration::from_secs(10), made);
    child.kill().unwrap();
    child.wait().unwrap();
    if !made {
        return eprintln!("SKIPPED: no control group of version 2 can be made here");
    }
    let gone = || control_groups(child.id()).is_some_and(|groups| groups.is_empty());
    harness::wait::eventually("the control group is removed", gone);
}

/// Fork per connection: a process lives for less than a tick of the kernel.
#[test]
fn short_lived_processes_have_true_split() {
    let directory = tempfile::tempdir().unwrap();
    let args = ["compare", "--html", "page.html", "--serve", "fork", "--case", "connect-4k-8"];
    let rounds = ["--rounds", "3", "--duration", "2", "--warm-up", "0.1"];
    let (output, stdout, stderr) = loadgen(directory.path(), &[&args[..], &rounds].concat());
    assert!(has_run(&output), "{stdout}\n{stderr}");
    let json = fs::read_to_string(directory.path().join("comparison.json")).unwrap();
    let comparison = json::read_comparison(&json).unwrap();
    let shares = comparison.cases[0].results[0].runs().map(|run| {
        let share = Some(Metric::System.of(run)? / Metric::Cpu.of(run)?);
        let noted = run.notes.iter().any(|note| note.contains("split of CPU time"));
        assert_eq!(noted, share.is_none(), "{:?}", run.notes);
        share
    });
    let Some(shares) = shares.collect::<Option<Vec<f64>>>() else {
        return eprintln!("SKIPPED: no control group, or too little CPU time: no split is shown");
    };
    let least = shares.iter().copied().fold(1.0, f64::min);
    let most = shares.iter().copied().fold(0.0, f64::max);
    // The samples of the kernel scatter: 250 of them by some percent points.
    assert!(most - least < 0.25 && least > 0.4, "{shares:?}");
}

/// Any server of the file protocol; here, one of the models, started as a program.
#[test]
fn programs_are_compared() {
    let directory = tempfile::tempdir().unwrap();
    let one = format!("one at a time={} iterative_server", env!("CARGO_BIN_EXE_serve"));
    let many = format!("many={} thread_server", env!("CARGO_BIN_EXE_serve"));
    let args = ["--program", &one, "--program", &many, "--case", "visitors,connect-4k"];
    let (output, stdout, stderr) = compare(directory.path(), &args);
    assert!(has_run(&output), "{stdout}\n{stderr}");
    let json = fs::read_to_string(directory.path().join("comparison.json")).unwrap();
    let comparison = json::read_comparison(&json).unwrap();
    assert_eq!(comparison.servers(), ["one at a time", "many"]);
    for case in &comparison.cases {
        for result in &case.results {
            assert_eq!(result.runs().count(), 2, "{}: {stdout}", result.server);
            // Over the file protocol: a student's server has no HTTP.
            assert!(result.runs().all(|run| run.totals.done > 0), "{}: {stdout}", result.server);
        }
    }
}

/// The cases that were measured by wrk against nginx and a bare loop: rate, CPU time and ratio of each.
#[test]
fn wrk_drives_servers_where_installed() {
    let directory = tempfile::tempdir().unwrap();
    let args = ["compare", "--driver", "wrk", "--serve", "iterative,thread", "--against", "bare"];
    let more = ["--against", "nginx", "--case", "get-4k-4,connect-4k-2", "--baseline", "bare"];
    let short = ["--rounds", "1", "--duration", "1", "--warm-up", "0.1", "--html", "page.html"];
    let (output, stdout, stderr) = loadgen(directory.path(), &[&args[..], &more, &short].concat());
    if stderr.contains("wrk is not installed") {
        return eprintln!("SKIPPED: {stderr}");
    }
    assert!(has_run(&output), "{stdout}\n{stderr}");
    assert!(stdout.contains("load by wrk "), "{stdout}");
    let json = fs::read_to_string(directory.path().join("comparison.json")).unwrap();
    let comparison = json::read_comparison(&json).unwrap();
    assert!(comparison.driver.as_ref().is_some_and(|driver| driver.starts_with("wrk ")));
    let [stay, connect] = &comparison.cases[..] else { panic!("{stdout}") };
    assert!(stay.results[0].failure.is_some(), "iterative serves one client at a time");
    for result in stay.results[1..].iter().chain(&connect.results) {
        let run = result.runs().next().unwrap();
        assert!(run.totals.done > 0 && run.errors.is_empty(), "{}: {run:?}", result.server);
        assert!(result.median(Metric::P99) > result.median(Metric::P50).map(|p50| p50 / 2.0));
        assert!(result.median(Metric::Cpu).is_some_and(|micros| micros > 0.0), "{}", result.server);
    }
    // Two drivers are two kinds of load.
    let other = directory.path().join("other.json");
    fs::write(&other, include_str!("comparison-schema-1.json")).unwrap();
    let (output, _, stderr) = loadgen(directory.path(), &["diff", "other.json", "comparison.json"]);
    assert_eq!(output.status.code(), Some(2), "{stderr}");
    assert!(stderr.contains("loadgen") && stderr.contains("wrk"), "{stderr}");
}

#[test]
fn missing_wrk_is_an_error() {
    let mut command = Command::new(env!("CARGO_BIN_EXE_loadgen"));
    command.args(["compare", "--driver", "wrk"]).env("PATH", "");
    let output = command.output().unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(2), "{stderr}");
    assert_eq!(stderr.lines().count(), 1, "{stderr}");
    assert!(stderr.contains("wrk is not installed") && stderr.contains("apt install"), "{stderr}");
}

/// As for two builds of one server, before and after a change.
#[test]
fn bare_loop_is_a_baseline() {
    let directory = tempfile::tempdir().unwrap();
    let program = format!("after={} thread_server", env!("CARGO_BIN_EXE_serve"));
    let args = ["--program", &program, "--against", "bare", "--baseline", "bare"];
    let cases = ["--case", "get-64k-2,put-64k-2,connect-4k-2"];
    let (output, stdout, stderr) = compare(directory.path(), &[&args[..], &cases].concat());
    assert!(has_run(&output), "{stdout}\n{stderr}");
    assert!(stdout.contains("to bare"), "{stdout}");
    let json = fs::read_to_string(directory.path().join("comparison.json")).unwrap();
    let comparison = json::read_comparison(&json).unwrap();
    for result in comparison.cases.iter().flat_map(|case| &case.results) {
        assert!(result.runs().all(|run| run.totals.done > 0 && run.errors.is_empty()));
    }
}

#[test]
fn aa_run_compares_server_with_itself() {
    let directory = tempfile::tempdir().unwrap();
    let (output, stdout, stderr) =
        compare(directory.path(), &["--serve", "pool", "--aa", "--case", "get-4k-1"]);
    assert!(has_run(&output), "{stdout}\n{stderr}");
    assert!(stdout.contains("A/A: "), "{stdout}");
}

#[test]
fn knee_has_a_bracket() {
    let directory = tempfile::tempdir().unwrap();
    // The precision and the bound are so generous that it is soon done.
    let args = ["knee", "--serve", "thread", "--slo", "p50=1s", "--duration", "0.2"];
    let more = ["--repeats", "1", "--precision", "1", "--connections", "4"];
    let (output, stdout, stderr) = loadgen(directory.path(), &[&args[..], &more[..]].concat());
    assert!(matches!(output.status.code(), Some(0 | 1)), "{stdout}");
    assert!(stdout.contains("closed loop"), "{stdout}");
    // On a busy machine the generator reports that it is late.
    let reported =
        stdout.contains("thread_server: p50") || stderr.contains("the generator itself is late");
    assert!(reported, "{stdout}\n{stderr}");
}

#[test]
fn wrong_arguments_exit_with_2() {
    let directory = tempfile::tempdir().unwrap();
    for args in [
        &["compare", "--serve", "pond"][..],
        &["compare", "--case", "get-5x"],
        &["compare", "--against", "apache"],
        &["compare", "--against", "a=127.0.0.1:1"],
        &["compare", "--serve", "pool,pool"],
        &["compare", "--program", "no-name"],
        &["compare", "--program", "a=/no/such/program --option"],
        &["compare", "--serve", "pool", "--baseline", "thread"],
        &["compare", "--serve", "pool", "--driver", "ab"],
        &["compare", "--serve", "pool", "--json", "/proc/x.json"],
        &["compare", "--serve", "pool", "--html", "."],
        &["compare", "--serve", "pool", "--summary-csv", "-", "--json", "-"],
        &["compare", "missing.json", "missing.json"],
        &["diff", "missing.json", "missing.json"],
        &["knee", "--serve", "pond"],
        &["knee", "--serve", "iterative"],
        &["knee", "--serve", "pool", "--slo", "fast"],
    ] {
        let (output, stdout, stderr) = loadgen(directory.path(), args);
        assert_eq!(output.status.code(), Some(2), "{args:?}: {stdout}\n{stderr}");
        assert_eq!(stderr.lines().count(), 1, "{args:?}: {stderr}");
        assert!(!stderr.contains("os error") && stdout.is_empty(), "{args:?}: {stdout}{stderr}");
    }
}

/// Of a server that does not start, the report has its last words.
#[test]
fn failed_start_quotes_server() {
    let directory = tempfile::tempdir().unwrap();
    let script = directory.path().join("server");
    fs::write(&script, "#!/bin/sh\necho 'bind(): address in use' >&2\nexit 4\n").unwrap();
    fs::set_permissions(&script, fs::Permissions::from_mode(0o755)).unwrap();
    let program = format!("broken={}", script.display());
    let args = ["--program", &program, "--serve", "thread", "--case", "get-4k-1"];
    let (output, stdout, stderr) = compare(directory.path(), &args);
    assert_eq!(output.status.code(), Some(1), "{stdout}\n{stderr}");
    let why = "does not start: it ended with exit status 4 and printed: bind(): address in use";
    assert!(stdout.contains(why), "{stdout}");
}

/// `compare | head -1`.
#[test]
fn closed_reader_leaves_whole_comparison() {
    let directory = tempfile::tempdir().unwrap();
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let args = ["compare", "--html", "page.html", "--serve", "thread", "--case", "get-4k-1"];
    let child = Command::new(env!("CARGO_BIN_EXE_loadgen"))
        .args([&args[..], &SHORT].concat())
        .current_dir(directory.path())
        .stdout(writer)
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let output = child.wait_with_output().unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(has_run(&output) && stderr.is_empty(), "{:?}: {stderr}", output.status);
    let read = |name: &str| fs::read_to_string(directory.path().join(name)).unwrap();
    assert!(read("page.html").trim_end().ends_with("</html>"));
    assert_eq!(json::read_comparison(&read("comparison.json")).unwrap().cases.len(), 1);
    assert_eq!(read("comparison.csv").lines().count(), 3);
    assert!(read("timelines.json").starts_with('['));
}

#[test]
fn dash_writes_comparison_to_stdout() {
    let directory = tempfile::tempdir().unwrap();
    let args = ["--serve", "thread", "--case", "get-4k-1", "--json", "-"];
    let (_, stdout, stderr) = compare(directory.path(), &args);
    let comparison = json::read_comparison(&stdout).unwrap();
    assert_eq!(comparison.cases.len(), 1);
    assert!(stderr.contains("Written to page.html and comparison.csv"), "{stderr}");
}

/// The server of `knee --addr` has the files already.
#[test]
fn knee_loads_running_server() {
    let directory = tempfile::tempdir().unwrap();
    let mut server = Command::new(env!("CARGO_BIN_EXE_serve"))
        .args(["thread_server", "--addr", "127.0.0.1:0", "--root", "."])
        .current_dir(directory.path())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    BufReader::new(server.stdout.take().unwrap()).read_line(&mut line).unwrap();
    let addr = line.trim_end().strip_prefix("listening on ").unwrap();
    let args = ["knee", "--addr", addr, "--root", ".", "--slo", "p50=1s", "--duration", "0.2"];
    let more = ["--repeats", "1", "--precision", "1", "--connections", "4", "--sizes", "1KiB"];
    let (output, stdout, stderr) = loadgen(directory.path(), &[&args[..], &more[..]].concat());
    server.kill().unwrap();
    server.wait().unwrap();
    assert!(matches!(output.status.code(), Some(0 | 1)), "{stdout}{stderr}");
    assert!(stdout.contains("in a closed loop it answers"), "{stdout}{stderr}");
}
