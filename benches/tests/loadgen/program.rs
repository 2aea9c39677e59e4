//! The program itself: its command line, its output and the files that it writes.

use crate::assert_in_time;
use crate::fake::{Fake, Faults, unlistened_port};
use benches::load::recording::Recording;
use benches::load::verdict;
use benches::load::workload::Workload;
use benches::{Placement, Server, VARIANTS};
use std::process::Command;

pub fn loadgen(args: &[&str]) -> (Option<i32>, String, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_loadgen")).args(args).output().unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (output.status.code(), text(&output.stdout), text(&output.stderr))
}

/// It has run and reported. On a busy machine the figures may be INVALID (3).
#[track_caller]
pub fn assert_ran(code: Option<i32>, stdout: &str, stderr: &str) {
    assert!(matches!(code, Some(0 | 3)) && stderr.is_empty(), "{code:?}: {stdout}\n{stderr}");
}

#[track_caller]
fn assert_refused(args: &[&str], why: &str) {
    let (code, stdout, stderr) = loadgen(args);
    assert_eq!((code, stdout.as_str()), (Some(2), ""), "{stderr}");
    assert_eq!(stderr.lines().count(), 1, "{stderr}");
    assert!(stderr.starts_with("loadgen: ") && stderr.contains(why), "{stderr}");
    assert_plain(&stderr);
}

/// No words of libraries: numbers of errors, names of types, messages of parsers.
#[track_caller]
fn assert_plain(text: &str) {
    for jargon in [
        "os error",
        "invalid digit",
        "float literal",
        "missing field",
        "invalid type",
        "unknown field",
        "unknown variant",
        "untagged",
        "usize",
        "u64",
        "EOF while",
        "No such file",
        "kind:",
    ] {
        assert!(!text.contains(jargon), "{jargon}: {text}");
    }
}

#[test]
fn usage_error_is_one_line_and_code_2() {
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str, text: &str| {
        let path = folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        path.to_str().unwrap().to_owned()
    };
    assert_refused(&[], "--addr");
    assert_refused(&["--bogus"], "--bogus");
    assert_refused(&["--addr", "127.0.0.1:1", "--mix", "get"], "get=8");
    assert_refused(&["--addr", "127.0.0.1:1", "--connections", "x"], "--connections");
    assert_refused(&["--addr", "127.0.0.1:1", "--connections", "0"], "connection");
    assert_refused(&["--addr", "no port"], "--addr no port");
    assert_refused(&["--serve", "pond"], "thread_server");
    let (_taken, addr) = unlistened_port();
    let addr = addr.to_string();
    let bad = file("bad.toml", "connections = 4\nconections = 5\n");
    assert_refused(&["--addr", &addr, "--scenario", &bad], "line 2: unknown key `conections`");
    let bad = file("bad.toml", "duration = \"5s\"\n");
    assert_refused(&["--addr", &addr, "--scenario", &bad], "write it like `duration = 5");
    assert_refused(&["--addr", &addr, "--scenario", "/nowhere/x.toml"], "x.toml");
    for (flags, why) in [
        (&["--steps", "1,x"][..], "1,4,16,64:5"),
        (&["--steps", "1,0"], "connections"),
        (&["--steps", "1.5"], "connections"),
        (&["--steps", "1:y"], "seconds"),
        (&["--steps", "1", "--ramp", "1:2:3"], "--ramp"),
        (&["--ramp", "1:2"], "FROM:TO:SECONDS"),
        (&["--arrivals", "poisson"], "--rate"),
        (&["--rate", "0"], "rate"),
        (&["--sizes", "normal:mean=1"], "lognormal"),
        (&["--sizes", "lognormal:median=8K"], "sigma"),
        (&["--sizes", "pareto:min=8K,alpha=0"], "alpha"),
        (&["--duration=-1"], "--duration"),
        (&["--duration", "0"], "duration"),
        (&["--max-errors", "x"], "--max-errors"),
        (&["--max-errors", "nan"], "not a share between 0 and 1"),
        (&["--max-errors", "2"], "not a share between 0 and 1"),
        (&["--rate", "nan"], "the rate must be above 0"),
        (&["--sizes", "1024GiB"], "--no-null-run"),
        (&["--pid", "0"], "--pid"),
        (&["--pid", "-4"], "--pid"),
        (&["--pid", "2147483647"], "no such process"),
        (&["--upload"], "--upload"),
        (&["--lifetime", "short"], "keep-alive"),
        (&["--protocol", "gopher"], "gopher"),
        (&["--zipf", "-1"], "Zipf"),
        (&["--slow-share", "2"], "slow"),
        (&["--root", "/proc/nowhere"], "/proc/nowhere"),
        (&["--connections", "-1"], "a whole number is needed"),
        (&["--connections", "99999999999999999999"], "too large"),
        (&["--connections", "1e3"], "a whole number is needed"),
        (&["--rate", "fast"], "a number is needed"),
        (&["--seed", ""], "--seed"),
        (&["--conections", "4"], "did you mean --connections?"),
        (&["--protocol", "htp"], "did you mean http?"),
        (&["--duration", "5s"], "not a number of seconds, such as 5"),
        (&["--sizes", "4k"], "4KiB"),
        (&["--mix", "get=1,fetch=1"], "fetch"),
        (&["--lifetime", "churn=x"], "ratio"),
        (&["--pipelining", "0"], "pipelining"),
        (&["--names", "0"], "names"),
        (&["--slow-rate", "0", "--slow-share", "0.5"], "slow"),
        (&["--protocol", "http", "--mix", "hash=1"], "HTTP has no HASH"),
        (&["--serve", "thread"], "cannot be used with"),
        (&["thread"], "thread"),
    ] {
        assert_refused(&[&["--addr", &addr], flags].concat(), why);
    }
    for args in [
        &["compare", "--rounds", "0"][..],
        &["compare", "one.json"],
        &["compare", "--case", ""],
        &["compare", "--against", "nginx,nginx"],
        &["compare", "--root", "/proc/nowhere", "--html", "/dev/null"],
        &["compare", "--program", "x=/nowhere/server"],
        &["knee"],
        &["knee", "--serve", "thread", "--slo", "p99=5"],
        &["knee", "--serve", "thread", "--repeats", "0"],
        &["diff", "/nowhere/a.json", "/nowhere/b.json"],
        &["diff", "/", "/"],
        &["picture", "/nowhere/a.json", "-o", "x.svg"],
        &["scenario", "x"],
    ] {
        assert_refused(args, "");
    }
    let json = folder.path().join("x.json");
    let json = json.to_str().unwrap();
    assert_refused(&["picture", json, "-o", json], "x.json");
    for text in ["[]", "{", "", "{\"schema\": 3}", "{\"schema\": 99}", "\u{0}"] {
        std::fs::write(json, text).unwrap();
        assert_refused(&["picture", json, "-o", json], "x.json");
        assert_refused(&["diff", json, json], "x.json");
    }
}

#[test]
fn unreachable_server_exits_with_code_1() {
    let (_taken, addr) = unlistened_port();
    let (code, stdout, stderr) = loadgen(&["--addr", &addr.to_string(), "--no-null-run"]);
    assert_eq!((code, stdout.as_str()), (Some(1), ""), "{stderr}");
    assert!(stderr.contains("cannot be reached") && stderr.lines().count() == 1, "{stderr}");
    assert_plain(&stderr);
    let (code, _, stderr) = loadgen(&["knee", "--addr", &addr.to_string()]);
    assert_eq!(code, Some(1), "{stderr}");
    assert!(stderr.contains("cannot be reached") && stderr.lines().count() == 1, "{stderr}");
}

#[test]
fn invalid_figures_exit_with_code_3() {
    let workload = Workload::default();
    let delay = std::time::Duration::from_millis(30);
    let addr = Fake::start(&workload, Faults { delay, ..Faults::default() }).addr.to_string();
    let drops = ["--rate", "1000", "-c", "1", "--warm-up", "0", "--duration", "0.3"];
    let (code, stdout, stderr) =
        loadgen(&[&["--addr", &addr, "--no-null-run"][..], &drops].concat());
    assert_eq!((code, stderr.as_str()), (Some(3), ""), "{stdout}");
    assert!(stdout.contains("INVALID: "), "{stdout}");
}

#[test]
fn wrong_replies_exit_with_code_1() {
    let workload = Workload::default();
    let addr = Fake::start(&workload, Faults { wrong: true, ..Faults::default() }).addr;
    let addr = addr.to_string();
    let (code, stdout, _) =
        loadgen(&["--addr", &addr, "--no-null-run", "--warm-up", "0", "--duration", "0.2"]);
    assert_eq!(code, Some(1), "{stdout}");
    assert!(stdout.contains("no request was answered"), "{stdout}");
}

#[test]
fn help_documents_exit_codes() {
    for args in [&["--help"][..], &["compare", "--help"], &["knee", "--help"]] {
        let (code, stdout, _) = loadgen(args);
        assert_eq!(code, Some(0));
        assert!(stdout.contains("Exit codes:") && stdout.contains("130"), "{stdout}");
    }
}

#[test]
fn printed_scenario_is_accepted() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("s.toml");
    let (code, stdout, _) = loadgen(&["scenario"]);
    assert_eq!(code, Some(0));
    std::fs::write(&path, &stdout).unwrap();
    let addr = Fake::start(&Workload::default(), Faults::default()).addr.to_string();
    let args = ["--addr", &addr, "--scenario", path.to_str().unwrap(), "--no-null-run"];
    let short = ["--duration", "0.2", "--warm-up", "0", "--json", "-"];
    let (_, stdout, stderr) = loadgen(&[&args[..], &short].concat());
    let recording: Recording = serde_json::from_str(&stdout).unwrap_or_else(|_| panic!("{stderr}"));
    let duration = std::time::Duration::from_millis(200);
    let warm_up = std::time::Duration::ZERO;
    assert_eq!(recording.workload, Workload { duration, warm_up, ..Workload::default() });
}

/// One name for an option in all commands; those of earlier versions are hidden.
#[test]
fn earlier_option_names_are_accepted() {
    for (args, old) in [
        (&["compare", "--models", "pond"][..], "pond"),
        (&["compare", "--seconds", "x"], "--duration"),
        (&["compare", "--files-in", "/proc/nowhere", "--serve", "thread"], "/proc/nowhere"),
        (&["compare", "--csv", "/proc/x.csv", "--serve", "thread"], "/proc/x.csv"),
        (&["knee", "--serve", "thread", "--seconds", "9999"], "--duration"),
        (&["knee", "--serve", "thread", "--size", "x"], "--sizes"),
        (&["knee", "--serve", "pond", "--fixed", "--files-in", "x"], "pond"),
    ] {
        let (code, _, stderr) = loadgen(args);
        assert!(matches!(code, Some(1 | 2)), "{args:?}: {stderr}");
        assert!(stderr.contains(old) && !stderr.contains("unexpected argument"), "{stderr}");
    }
    let (_, help, _) = loadgen(&["compare", "--help"]);
    for old in ["--models", "--seconds", "--files-in", "--csv"] {
        assert!(!help.contains(&format!("{old} ")), "{old}: {help}");
    }
}

#[test]
fn steps_run_writes_all_outputs() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let scenario = "[profile]\nshape = \"steps\"\nlevels = [9]\n";
    std::fs::write(path("s.toml"), scenario).unwrap();
    let args = ["--serve", "thread", "--scenario", &path("s.toml"), "--steps", "1,3,2:0.3"];
    let sizes = ["--sizes", "lognormal:median=2K,sigma=1,files=20", "--warm-up", "0.1"];
    let written = [
        "--json",
        &path("r.json"),
        "--csv",
        &path("r.csv"),
        "--summary-csv",
        &path("s.csv"),
        "--hgrm",
        &path("r.hgrm"),
        "--html",
        &path("r.html"),
    ];
    // Until every client was served in its step, and the server looked at when it began and ended.
    let mut last = None;
    assert_in_time("steps that were measured from their beginning to their end", || {
        let (code, stdout, stderr) = loadgen(&[&args[..], &sizes, &written].concat());
        assert_ran(code, &stdout, &stderr);
        let json = std::fs::read_to_string(path("r.json")).unwrap();
        let comparison = benches::load::report::json::read_comparison(&json).unwrap();
        let measured = comparison.cases.iter().zip([1, 3, 2]).all(|(case, clients)| {
            let run = case.results[0].runs().next().unwrap();
            let (first, last) = (run.samples.first().unwrap(), run.samples.last().unwrap());
            let (served, from, to) = (run.totals.clients_served, first.at.abs(), last.at);
            served == clients && from < 0.2 && to > 0.1
        });
        last = Some((stdout, comparison));
        measured
    });
    let (stdout, comparison) = last.unwrap();
    assert!(stdout.contains("20 files from"), "{stdout}");
    let names: Vec<&str> = comparison.cases.iter().map(|case| case.name.as_str()).collect();
    assert_eq!(names, ["step-1", "step-3", "step-2"]);
    for case in &comparison.cases {
        assert!(stdout.contains(&case.title), "{}: {stdout}", case.title);
        let run = case.results[0].runs().next().unwrap();
        assert!(run.errors.is_empty(), "{:?}", run.errors);
        assert!(run.empty.is_some());
        assert!(case.ceiling.is_some());
    }
    let rows = std::fs::read_to_string(path("s.csv")).unwrap();
    assert_eq!(rows.lines().count(), 4, "{rows}");
    let rows = std::fs::read_to_string(path("r.csv")).unwrap();
    assert!(names.iter().all(|name| rows.contains(&format!("{name},thread_server"))), "{rows}");
    assert!(names.iter().all(|name| folder.path().join(format!("r-{name}.hgrm")).exists()));
    let page = std::fs::read_to_string(path("r.html")).unwrap();
    assert!(page.contains("More and more clients: steps"), "its curve");
    let (code, stdout, stderr) = loadgen(&["compare", &path("r.json"), &path("r.json")]);
    assert_eq!((code, stderr.as_str()), (Some(0), ""), "{stdout}");

    let picture = path("docs/picture.svg");
    let (code, stdout, stderr) = loadgen(&["picture", &path("r.json"), "-o", &picture]);
    assert_eq!((code, stderr.as_str()), (Some(0), ""), "{stdout}");
    assert!(std::fs::read_to_string(picture).unwrap().starts_with("<svg xmlns="));
}

#[test]
fn rate_ramp_has_ten_phases() {
    let folder = tempfile::tempdir().unwrap();
    let json = folder.path().join("r.json").to_str().unwrap().to_owned();
    let html = folder.path().join("r.html").to_str().unwrap().to_owned();
    let args = ["--serve", "pool", "--arrivals", "poisson", "--ramp", "100:400:1"];
    let more = ["--warm-up", "0", "--json", &json, "--html", &html, "--no-null-run"];
    let (code, stdout, stderr) = loadgen(&[&args[..], &more].concat());
    assert_ran(code, &stdout, &stderr);
    let text = std::fs::read_to_string(json).unwrap();
    let comparison = benches::load::report::json::read_comparison(&text).unwrap();
    assert_eq!(comparison.cases.len(), 10);
    let planned = |case: &benches::load::report::Case| {
        case.results[0].runs().map(|run| run.totals.planned).sum::<u64>()
    };
    // 250 on average, of which Poisson's law allows 16 more or less, and often twice that.
    let all: u64 = comparison.cases.iter().map(planned).sum();
    assert!((170..330).contains(&all), "{all}");
    let page = std::fs::read_to_string(html).unwrap();
    assert!(page.contains("More and more requests") && !page.contains("NaN"));
}

#[test]
fn external_server_is_not_called_pinned() {
    let workload = Workload::default();
    let addr = Fake::start(&workload, Faults::default()).addr.to_string();
    let short = ["--no-null-run", "--warm-up", "0", "--duration", "0.2"];
    let (_, stdout, _) = loadgen(&[&["--addr", &addr][..], &short].concat());
    assert!(stdout.contains("cores are not known"), "{stdout}");
    assert!(!stdout.contains("server pinned"), "{stdout}");
    let own = std::process::id().to_string();
    let (_, stdout, _) = loadgen(&[&["--addr", &addr, "--pid", &own][..], &short].concat());
    assert!(stdout.contains("may use these cores: "), "{stdout}");
}

#[test]
fn scenario_run_writes_all_outputs() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let scenario = "connections = 3\nduration = 0.3\nwarm_up = 0\nsizes = [100]\n\
                    [arrivals]\nloop = \"poisson\"\nrate = 100\n[mix]\nget = 1\nput = 1\n";
    std::fs::write(path("s.toml"), scenario).unwrap();
    let (code, stdout, stderr) = loadgen(&[
        "--serve",
        "thread",
        "--scenario",
        &path("s.toml"),
        "--seed",
        "7",
        "--json",
        &path("r.json"),
        "--csv",
        &path("r.csv"),
        "--hgrm",
        &path("r.hgrm"),
        "--html",
        &path("r.html"),
    ]);
    assert_ran(code, &stdout, &stderr);
    assert!(stdout.contains("thread_server"), "{stdout}");
    let json = std::fs::read_to_string(path("r.json")).unwrap();
    let recording: Recording = serde_json::from_str(&json).unwrap();
    assert_eq!((recording.workload.connections, recording.workload.seed), (3, 7));
    assert!(recording.totals.done > 0 && !recording.samples.is_empty());
    for name in ["r.csv", "r.hgrm", "r.html"] {
        assert!(std::fs::metadata(path(name)).unwrap().len() > 0, "{name}");
    }
}

#[test]
fn upload_puts_files_on_running_server() {
    let root = tempfile::tempdir().unwrap();
    let serve = Command::new(env!("CARGO_BIN_EXE_serve"));
    let variant = &VARIANTS[0];
    let server = Server::start(serve, variant, root.path(), &[], Placement::Unpinned).unwrap();
    let (addr, pid) = (server.addr().to_string(), server.pid().as_raw_pid().to_string());
    let (code, stdout, stderr) = loadgen(&[
        "--addr",
        &addr,
        "--pid",
        &pid,
        "--upload",
        "--names",
        "2",
        "--duration",
        "0.2",
        "--warm-up",
        "0",
        "-c",
        "1",
        "--no-null-run",
        "--protocol",
        "http",
    ]);
    assert_ran(code, &stdout, &stderr);
    assert!(root.path().join("load-000001").exists());
}

#[test]
fn dead_server_exits_with_code_1() {
    let workload = Workload::default();
    let fake = Fake::start(&workload, Faults { dies_after: Some(500), ..Faults::default() });
    let addr = fake.addr.to_string();
    let short = ["--no-null-run", "--warm-up", "0", "--timeout", "0.5"];
    let (code, stdout, _) = loadgen(&[&["--addr", &addr][..], &short].concat());
    assert_eq!(code, Some(1), "{stdout}");
    assert!(stdout.contains(verdict::SERVER_ENDED), "{stdout}");
}
