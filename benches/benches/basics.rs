//! The small things by themselves, in the hands of criterion: `cargo bench`, before the comparison.
//!
//! | group | what is timed |
//! |---|---|
//! | `parse` | a request line of the file protocol, from bytes to a request |
//! | `session` | a whole request and its reply on a connection that stays, without a socket: both protocols |
//! | `store` | opening a file for reading, two directories down |
//! | `first_byte` | connect, GET, the first byte of the reply: each model, in a process of its own |
//!
//! A word filters, as in `cargo bench -- session`, and criterion's own options work: `--save-baseline before`,
//! and later `--baseline before`, show what has changed between two runs. Report:
//! `target/criterion/report/index.html`.

use benches::filter;
use benches::{Placement, Server, VARIANTS, Variant, files, tether};
use criterion::{BenchmarkId, Criterion, PlottingBackend, SamplingMode};
use file_service::protocol::{RelPath, Request};
use file_service::session::ShutdownState;
use file_service::{Service, Session, Settings, Step, Store, Transport};
use std::cell::OnceCell;
use std::fs::{self, File};
use std::hint::black_box;
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, ExitCode};
use std::sync::Arc;
use std::time::{Duration, Instant};

const SMALL: u64 = 4 << 10;

/// A server that says nothing for so long has failed.
const TIMEOUT: Duration = Duration::from_secs(30);

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    if let Some(plain) = for_criterion(&args) {
        let error = std::env::current_exe().map(|program| Command::new(program).args(plain).exec());
        eprintln!("cannot start again: {error:?}");
        return ExitCode::FAILURE;
    }
    let directory =
        tempfile::Builder::new().prefix("basics-").tempdir_in(env!("CARGO_TARGET_TMPDIR"));
    let prepared = directory.and_then(|root| {
        tether::remove_when_interrupted(root.path().to_owned())?;
        files::make_file(&root.path().join("small"), SMALL)?;
        fs::create_dir_all(root.path().join("a/b"))?;
        files::make_file(&root.path().join("a/b/small"), SMALL)?;
        Ok(root)
    });
    let root = match prepared {
        Ok(root) => root,
        Err(error) => {
            eprintln!("no directory to serve in {}: {error}", env!("CARGO_TARGET_TMPDIR"));
            return ExitCode::FAILURE;
        }
    };
    let mut criterion = Criterion::default()
        .sample_size(15)
        .warm_up_time(Duration::from_millis(200))
        .measurement_time(Duration::from_millis(800))
        .nresamples(10_000)
        .plotting_backend(PlottingBackend::Plotters)
        .configure_from_args();
    parse(&mut criterion);
    session(&mut criterion, root.path());
    store(&mut criterion, root.path());
    first_byte(&mut criterion, root.path());
    criterion.final_summary();
    ExitCode::SUCCESS
}

/// What criterion reads from the command line by itself, if it would not understand it: it knows no
/// `--full`, which is for the comparison, and no more than one word.
fn for_criterion(args: &[String]) -> Option<Vec<String>> {
    let words = filter::words(args);
    if words.len() < 2 && !args.iter().any(|arg| arg == "--full") {
        return None;
    }
    let ours = ["--full", "--wide"];
    let option = |arg: &&String| !ours.contains(&arg.as_str()) && !words.contains(&arg.as_str());
    let mut plain: Vec<String> = args.iter().filter(option).cloned().collect();
    if !words.is_empty() {
        plain.push(words.join("|"));
    }
    Some(plain)
}

fn parse(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("parse");
    let lines: [(&str, &[u8]); 4] = [
        ("get", b"GET folder/file"),
        ("get_range_escaped", b"GET folder/a%20name%20with%20spaces 1024 4096"),
        ("put", b"PUT folder/file 1048576"),
        ("refused", b"GET ../../etc/passwd"),
    ];
    for (name, line) in lines {
        group.bench_function(name, |bencher| bencher.iter(|| Request::parse(black_box(line))));
    }
}

/// A connection whose client is this program: nothing waits, and what is sent is counted.
#[derive(Default)]
struct Memory {
    input: Vec<u8>,
    read: usize,
    written: u64,
}

impl Transport for Memory {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let rest = &self.input[self.read..];
        if rest.is_empty() {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        let length = rest.len().min(buffer.len());
        buffer[..length].copy_from_slice(&rest[..length]);
        self.read += length;
        Ok(length)
    }

    fn write(&mut self, bytes: &[u8], _more: bool) -> io::Result<usize> {
        self.written += bytes.len() as u64;
        Ok(bytes.len())
    }

    fn send_file(&mut self, _: &File, offset: &mut u64, length: u64) -> io::Result<usize> {
        *offset += length;
        self.written += length;
        Ok(usize::try_from(length).unwrap_or(usize::MAX))
    }

    fn finish(&mut self) -> io::Result<()> {
        Ok(())
    }

    fn reset(&mut self) {}
}

fn session(criterion: &mut Criterion, root: &Path) {
    let store = Store::open(root, false, false).expect("a directory to serve");
    let service = Service::new(store, Settings::default());
    let requests: [(&str, &[u8]); 3] = [
        ("get_4k", b"GET small\n"),
        ("http_get_4k", b"GET /small HTTP/1.1\r\nHost: localhost\r\n\r\n"),
        ("refused", b"GET missing\n"),
    ];
    let mut group = criterion.benchmark_group("session");
    for (name, request) in requests {
        let mut transport = Memory { input: request.to_vec(), ..Memory::default() };
        let peer = SocketAddr::from(([127, 0, 0, 1], 1));
        let mut session = Session::new(&service, peer, Arc::new(ShutdownState::default()));
        group.bench_function(name, |bencher| {
            bencher.iter(|| {
                (transport.read, transport.written) = (0, 0);
                loop {
                    match session.advance(&mut transport) {
                        Step::Idle | Step::Wait(_) => break,
                        Step::Yield => {}
                        Step::Offload(job) => session.resume(job.run()),
                        Step::Closed => panic!("the session has ended"),
                    }
                }
                assert!(transport.written > 0, "a reply");
            });
        });
    }
}

fn store(criterion: &mut Criterion, root: &Path) {
    let store = Store::open(root, false, false).expect("a directory to serve");
    let mut group = criterion.benchmark_group("store");
    for (name, path) in [("open", "a/b/small"), ("missing", "a/b/missing")] {
        let path = RelPath::decode(path.as_bytes()).expect("a path");
        group.bench_function(name, |bencher| {
            bencher.iter(|| black_box(store.open_file(&path)).is_ok());
        });
    }
}

fn first_byte(criterion: &mut Criterion, root: &Path) {
    let placement = Placement::choose();
    let mut group = criterion.benchmark_group("first_byte");
    // A sample is so many connections each time: growing samples would wear out the ports.
    group.sampling_mode(SamplingMode::Flat);
    for variant in VARIANTS.iter().filter(|variant| variant.is_default()) {
        // Not started when the filter leaves it out.
        let server = OnceCell::new();
        group.bench_function(BenchmarkId::from_parameter(variant.label), |bencher| {
            let server = server.get_or_init(|| start(variant, root, placement));
            bencher.iter_custom(|iterations| {
                placement.on_client_core(|| {
                    (0..iterations).map(|_| to_first_byte(server.addr())).sum::<Duration>()
                })
            });
        });
    }
}

fn start(variant: &Variant, root: &Path, placement: Placement) -> Server {
    let serve = Command::new(env!("CARGO_BIN_EXE_serve"));
    Server::start(serve, variant, root, &[], placement).expect("a server that starts")
}

/// The rest of the reply and the end of the connection are not timed.
fn to_first_byte(addr: SocketAddr) -> Duration {
    let begin = Instant::now();
    let mut stream = TcpStream::connect(addr).expect("a connection");
    stream.write_all(b"GET small\n").expect("a request");
    stream.set_read_timeout(Some(TIMEOUT)).expect("a timeout");
    stream.read_exact(&mut [0]).expect("a reply");
    let took = begin.elapsed();
    stream.write_all(b"QUIT\n").expect("a farewell");
    let mut rest = Vec::with_capacity(8192);
    stream.read_to_end(&mut rest).expect("the rest of the reply");
    assert!(rest.len() as u64 > SMALL, "{}", rest.escape_ascii());
    took
}
