//! Holds any server binary against the protocol and prints how each case went.
//!
//! `cargo run -p harness -- target/debug/thread_server --some-option`; without arguments it lists
//! the cases. `--equality` holds several servers against each other. Exit code 0: all well, 1: a case failed, 2: not even started.

use std::panic;
use std::process::ExitCode;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use harness::conformance::{CASES, Case};
use harness::{Need, Subject};

const USAGE: &str = "\
usage: harness [--only TEXT] [--clients N] [--process-per-client] [--helpers] BINARY [ARGUMENT...]
       harness --equality BINARY BINARY...

Runs the conformance suite against a server binary; the arguments are given to it at every start.
Or sends the same bytes to several servers and compares their replies byte for byte.

  --only TEXT            run the cases whose names contain TEXT
  --clients N            the server holds N conversations at once (default: any number)
  --process-per-client   every connection gets a process of its own
  --helpers              helper threads do the file work that may take long
";

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    if args.is_empty() {
        print!("{USAGE}\nThe cases:\n\n");
        for case in CASES {
            println!("  {:<58} {}{}", case.name, case.what.trim(), needs(case.need));
        }
        return ExitCode::SUCCESS;
    }
    if args[0] == "--equality" {
        return compare(&args[1..]);
    }
    match parse(&args) {
        Ok((subject, only)) => report(&subject, &only),
        Err(problem) => {
            eprint!("harness: {problem}\n\n{USAGE}");
            ExitCode::from(2)
        }
    }
}

/// Holds servers against each other.
fn compare(binaries: &[String]) -> ExitCode {
    let subjects: Vec<Subject> = binaries.iter().map(Subject::new).collect();
    // The message of the panic is the report.
    match panic::catch_unwind(|| harness::equality(&subjects)) {
        Ok(()) => {
            println!("{} servers, one voice", subjects.len());
            ExitCode::SUCCESS
        }
        Err(_) => ExitCode::from(1),
    }
}

fn needs(need: Need) -> String {
    match need {
        Need::Nothing => String::new(),
        Need::Clients(n) => format!(" ({n} clients at once)"),
        Need::ProcessPerClient => " (a process per client)".into(),
        Need::Fuse => " (may mount a file system of its own)".into(),
        Need::PrivateMount => " (may mount)".into(),
        Need::OwnUser => " (may limit the threads of a user)".into(),
    }
}

fn parse(args: &[String]) -> Result<(Subject, String), String> {
    let (mut only, mut clients, mut processes, mut helpers) =
        (String::new(), usize::MAX, false, false);
    let mut args = args.iter();
    let binary = loop {
        let mut value = |option| args.next().ok_or(format!("{option} needs a value"));
        match value("the command line")?.as_str() {
            "--only" => only = value("--only")?.clone(),
            "--clients" => {
                let number = value("--clients")?.parse();
                clients = number.map_err(|_| "--clients needs a number")?;
            }
            "--process-per-client" => processes = true,
            "--helpers" => helpers = true,
            option if option.starts_with('-') => return Err(format!("unknown option {option}")),
            binary => break binary,
        }
    };
    if !std::path::Path::new(binary).is_file() {
        return Err(format!("{binary} is not a file"));
    }
    let mut subject = Subject::new(binary).args(args).clients(clients);
    if processes {
        subject = subject.process_per_client();
    }
    if helpers {
        subject = subject.helpers();
    }
    Ok((subject, only))
}

enum Verdict {
    Passed,
    Skipped(String),
    Failed(String),
}

/// Runs the cases, a few at a time, and prints each verdict when it is there.
fn report(subject: &Subject, only: &str) -> ExitCode {
    let cases: Vec<&Case> = CASES.iter().filter(|case| case.name.contains(only)).collect();
    let (next, counts) = (AtomicUsize::new(0), Mutex::new([0; 3]));
    let workers = thread::available_parallelism().map_or(2, usize::from);
    let start = Instant::now();
    thread::scope(|scope| {
        for _ in 0..workers {
            scope.spawn(|| {
                while let Some(case) = cases.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let start = Instant::now();
                    let verdict = judge(case, subject);
                    let mut counts = counts.lock().expect("printing does not panic");
                    counts[print(case, &verdict, start.elapsed())] += 1;
                }
            });
        }
    });
    let [passed, skipped, failed] = counts.into_inner().expect("printing does not panic");
    let seconds = start.elapsed().as_secs_f32();
    println!("\n{passed} passed, {failed} failed, {skipped} skipped, in {seconds:.1} s");
    ExitCode::from(u8::from(failed > 0))
}

fn judge(case: &Case, subject: &Subject) -> Verdict {
    let run = panic::catch_unwind(panic::AssertUnwindSafe(|| case.run(subject)));
    match run {
        Ok(Ok(())) => Verdict::Passed,
        Ok(Err(reason)) => Verdict::Skipped(reason),
        Err(payload) => {
            let text = payload.downcast_ref::<String>().map(String::as_str);
            let text = text.or(payload.downcast_ref::<&str>().copied());
            Verdict::Failed(text.unwrap_or("a panic without a message").into())
        }
    }
}

/// Prints one row, and gives the column that it counts for.
fn print(case: &Case, verdict: &Verdict, took: Duration) -> usize {
    let (column, word, detail) = match verdict {
        Verdict::Passed => (0, "pass", String::new()),
        Verdict::Skipped(reason) => (1, "SKIPPED", format!("  {reason}")),
        Verdict::Failed(message) => {
            (2, "FAIL", format!("\n    {}", message.replace('\n', "\n    ")))
        }
    };
    println!("{word:<8} {:<58} {:6.2} s{detail}", case.name, took.as_secs_f32());
    column
}
