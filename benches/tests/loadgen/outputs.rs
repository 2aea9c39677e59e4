//! Files and standard output of the program: complete or an error, and never lost.

use crate::fake::{Fake, Faults};
use crate::program::{assert_ran, loadgen};
use benches::load::recording::Recording;
use benches::load::workload::Workload;
use std::fs::{self, OpenOptions};
use std::io;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::sync::atomic::Ordering;

const SHORT: [&str; 5] = ["--warm-up", "0", "--duration", "0.2", "--no-null-run"];

fn fake() -> Fake {
    Fake::start(&Workload::default(), Faults::default())
}

fn run_into(stdout: Stdio, args: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_loadgen"));
    command.args(args).stdout(stdout).stderr(Stdio::piped());
    command.spawn().unwrap().wait_with_output().unwrap()
}

fn read_recording(path: &Path) -> Recording {
    serde_json::from_str(&fs::read_to_string(path).unwrap()).unwrap()
}

#[test]
fn closed_reader_leaves_whole_files() {
    let directory = tempfile::tempdir().unwrap();
    let path = |name: &str| directory.path().join(name).to_str().unwrap().to_owned();
    let addr = fake().addr.to_string();
    let files = ["--json", &path("r.json"), "--csv", &path("r.csv"), "--html", &path("r.html")];
    let (reader, writer) = io::pipe().unwrap();
    drop(reader);
    let output = run_into(writer.into(), &[&["--addr", &addr][..], &SHORT, &files].concat());
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_ran(output.status.code(), "", &stderr);
    assert!(read_recording(&directory.path().join("r.json")).totals.done > 0);
    assert!(fs::read_to_string(path("r.html")).unwrap().trim_end().ends_with("</html>"));
    assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 3, "no temporary file is left");
}

#[test]
fn full_stdout_is_one_line_error() {
    let directory = tempfile::tempdir().unwrap();
    let json = directory.path().join("r.json");
    let addr = fake().addr.to_string();
    let full = || Stdio::from(OpenOptions::new().write(true).open("/dev/full").unwrap());
    let files = ["--json", json.to_str().unwrap()];
    let output = run_into(full(), &[&["--addr", &addr][..], &SHORT, &files].concat());
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(
        output.status.code(),
        Some(1),
        "also where a busy machine makes the figures INVALID: {stderr}"
    );
    assert_eq!(stderr, "loadgen: cannot write to standard output: no space left on device\n");
    assert!(read_recording(&json).totals.done > 0);
    for args in [&["--help"][..], &["scenario"]] {
        let output = run_into(full(), args);
        assert_eq!(output.status.code(), Some(1), "{args:?}");
    }
}

#[test]
fn unwritable_output_is_refused_at_once() {
    let directory = tempfile::tempdir().unwrap();
    let fake = fake();
    let addr = fake.addr.to_string();
    let file = directory.path().join("file");
    fs::write(&file, "").unwrap();
    let (below, folder) = (file.join("x.json"), directory.path().to_str().unwrap());
    let below = below.to_str().unwrap();
    for (args, why) in [
        (&["--json", folder][..], "it is a directory"),
        (&["--json", below], "not a directory"),
        (&["--html", "/proc/x.html"], "/proc/x.html"),
        (&["--csv", "/dev/null/x"], "/dev/null/x"),
        (&["--hgrm", "/proc/x"], "/proc/x"),
        (&["--json", "-", "--csv", "/dev/stdout"], "--json and --csv both"),
    ] {
        let (code, stdout, stderr) = loadgen(&[&["--addr", &addr][..], args].concat());
        assert_eq!((code, stdout.as_str()), (Some(2), ""), "{args:?}: {stderr}");
        assert_eq!(stderr.lines().count(), 1, "{stderr}");
        assert!(stderr.contains(why) && !stderr.contains("os error"), "{args:?}: {stderr}");
        let (code, stdout, _) = loadgen(&[&["--serve", "thread"][..], args].concat());
        assert_eq!((code, stdout.as_str()), (Some(2), ""), "{args:?}");
    }
    assert_eq!(fake.connections.load(Ordering::Relaxed), 0, "no load was put on");
}

/// Two files of which only the small one has room: that one is written, the other is an error and leaves nothing.
#[test]
fn full_disk_is_one_line_error() {
    let directory = tempfile::tempdir().unwrap();
    let addr = fake().addr.to_string();
    let script = "mount -t tmpfs -o size=8k none \"$1\" || exit 77; cd \"$1\" || exit 77; \
                  \"$0\" --addr \"$2\" --warm-up 0 --duration 0.2 --no-null-run --html p.html --summary-csv s.csv; \
                  echo \"code $?\"; ls -A";
    let output = Command::new("unshare")
        .args(["-m", "sh", "-c", script, env!("CARGO_BIN_EXE_loadgen")])
        .arg(directory.path())
        .arg(&addr)
        .output();
    let output = match output {
        Ok(output) if !matches!(output.status.code(), Some(1 | 77)) => output,
        _ => return eprintln!("SKIPPED: a mount namespace needs root"),
    };
    let stdout = String::from_utf8_lossy(&output.stdout);
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(stderr, "loadgen: cannot write p.html: no space left on device\n", "{stdout}");
    assert!(stdout.contains("requests answered"), "the figures are printed: {stdout}");
    assert!(stdout.ends_with("code 1\ns.csv\n"), "{stdout}");
}

#[test]
fn dash_writes_report_to_stdout() {
    let addr = fake().addr.to_string();
    let (_, stdout, stderr) = loadgen(&[&["--addr", &addr, "--json", "-"][..], &SHORT].concat());
    let recording: Recording = serde_json::from_str(&stdout).unwrap();
    assert!(recording.totals.done > 0);
    assert!(stderr.contains("requests answered"), "{stderr}");
    let (_, stdout, stderr) = loadgen(&[&["--addr", &addr, "--csv", "-"][..], &SHORT].concat());
    let mut rows = stdout.lines().map(|row| row.split(',').count());
    let columns = rows.next().unwrap();
    assert!(columns > 3 && rows.all(|count| count == columns), "{stdout}");
    assert!(stderr.contains("requests answered"), "{stderr}");
}

#[test]
fn fifo_receives_whole_report() {
    let directory = tempfile::tempdir().unwrap();
    let fifo = directory.path().join("fifo");
    let mode = rustix::fs::Mode::from_raw_mode(0o600);
    rustix::fs::mknodat(rustix::fs::CWD, &fifo, rustix::fs::FileType::Fifo, mode, 0).unwrap();
    let addr = fake().addr.to_string();
    let reader = {
        let fifo = fifo.clone();
        std::thread::spawn(move || fs::read_to_string(fifo).unwrap())
    };
    let args = ["--addr", &addr, "--json", fifo.to_str().unwrap()];
    let (code, stdout, stderr) = loadgen(&[&args[..], &SHORT].concat());
    assert_ran(code, &stdout, &stderr);
    let recording: Recording = serde_json::from_str(&reader.join().unwrap()).unwrap();
    assert!(recording.totals.done > 0);
}
