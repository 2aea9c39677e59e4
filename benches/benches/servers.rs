//! One client's view of every model, and a small crowd's: `cargo bench`.
//!
//! | case | what is timed |
//! |---|---|
//! | `get_4k` | GET of 4 KiB on a connection that stays |
//! | `connect_4k` | connect, GET of 4 KiB, close |
//! | `get_1m`, `get_64m` | GET of 1 MiB and 64 MiB on a connection that stays |
//! | `put_1m` | PUT of 1 MiB onto one name |
//! | `list_1000` | LIST of a folder of 1,000 entries |
//! | `crowd_4k` | one GET of 4 KiB from each of 16 clients that stay connected, all sent before any is read |
//!
//! Each server is a process of its own, on a core of its own where there are two. By default every model
//! runs in its default form and for a short time, which takes about two minutes in all;
//! `cargo bench -- --full` adds the other forms of the models (ways of reaping, kinds of pool) and takes
//! its time. A word filters, as in `cargo bench -- pool_server` or `cargo bench -- get_4k`, and the
//! options of criterion work, `--quick` among them.
//!
//! What comes out: criterion's report in `target/criterion/report/index.html`, and the closing table once
//! more in `target/comparison.md`.

use benches::{CONTENDERS, Contender, Placement, Server, files, tether, text};
use comfy_table::presets::{ASCII_MARKDOWN, UTF8_FULL_CONDENSED};
use comfy_table::{CellAlignment, Table};
use criterion::measurement::WallTime;
use criterion::{BenchmarkGroup, Criterion, PlottingBackend, SamplingMode, Throughput};
use file_service::client::{Client, Error};
use std::cell::{OnceCell, RefCell};
use std::collections::BTreeMap;
use std::ffi::OsString;
use std::io::{self, IsTerminal, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::process::CommandExt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::time::{Duration, Instant};

/// Set in the environment where `--full` was on the command line.
const FULL: &str = "BENCH_FULL";

const SMALL: u64 = 4 << 10;
const LARGE: u64 = 1 << 20;
const HUGE: u64 = 64 << 20;
const ENTRIES: usize = 1000;
const CROWD: usize = 16;

/// A server that says nothing for so long has failed.
const PATIENCE: Duration = Duration::from_secs(30);

/// One request or what stands for it, over and over.
type Exercise = Box<dyn FnMut() -> Result<(), Error>>;

struct Case {
    name: &'static str,
    /// What one call of the exercise moves.
    volume: Volume,
    /// Whether clients stay connected beside each other.
    many: bool,
    prepare: fn(SocketAddr) -> Result<Exercise, Error>,
}

#[derive(Clone, Copy)]
enum Volume {
    Requests(u64),
    Bytes(u64),
}

const fn case(
    name: &'static str,
    volume: Volume,
    prepare: fn(SocketAddr) -> Result<Exercise, Error>,
) -> Case {
    Case { name, volume, many: false, prepare }
}

#[rustfmt::skip]
const CASES: &[Case] = &[
    case("get_4k",     Volume::Requests(1),  |addr| get(addr, "small", SMALL)),
    case("connect_4k", Volume::Requests(1),  connect_and_get),
    case("get_1m",     Volume::Bytes(LARGE), |addr| get(addr, "large", LARGE)),
    case("get_64m",    Volume::Bytes(HUGE),  |addr| get(addr, "huge", HUGE)),
    case("put_1m",     Volume::Bytes(LARGE), put),
    case("list_1000",  Volume::Requests(1),  list),
    Case { many: true, ..case("crowd_4k", Volume::Requests(CROWD as u64), crowd) },
];

fn make_files(root: &Path) -> io::Result<()> {
    files::make_file(&root.join("small"), SMALL)?;
    files::make_file(&root.join("large"), LARGE)?;
    files::make_file(&root.join("huge"), HUGE)?;
    files::make_folder(&root.join("folder"), ENTRIES)
}

fn connect(addr: SocketAddr) -> Result<Client, Error> {
    let mut client = Client::connect(addr)?;
    client.set_timeout(Some(PATIENCE)).map_err(Error::Local)?;
    Ok(client)
}

fn get_once(client: &mut Client, name: &str, length: u64) -> Result<(), Error> {
    let received = client.get_to(name, 0, &mut io::sink(), &mut |_, _| ())?;
    assert_eq!(received, length, "the file has another length");
    Ok(())
}

fn get(addr: SocketAddr, name: &'static str, length: u64) -> Result<Exercise, Error> {
    let mut client = connect(addr)?;
    Ok(Box::new(move || get_once(&mut client, name, length)))
}

fn connect_and_get(addr: SocketAddr) -> Result<Exercise, Error> {
    Ok(Box::new(move || get_once(&mut connect(addr)?, "small", SMALL)))
}

fn put(addr: SocketAddr) -> Result<Exercise, Error> {
    let mut client = connect(addr)?;
    let content = vec![b'x'; LARGE as usize];
    Ok(Box::new(move || client.put("upload", &content)))
}

fn list(addr: SocketAddr) -> Result<Exercise, Error> {
    let mut client = connect(addr)?;
    Ok(Box::new(move || {
        assert_eq!(client.list(Some("folder"))?.len(), ENTRIES);
        Ok(())
    }))
}

/// The blocking client waits for its reply, so this one speaks the protocol by itself.
fn crowd(addr: SocketAddr) -> Result<Exercise, Error> {
    let connect = |_| {
        let stream = TcpStream::connect(addr)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        Ok(stream)
    };
    let clients: io::Result<Vec<TcpStream>> = (0..CROWD).map(connect).collect();
    let clients = clients.map_err(Error::Connect)?;
    let header = format!("OK {SMALL}\n").into_bytes();
    let mut reply = vec![0; header.len() + SMALL as usize];
    Ok(Box::new(move || {
        for mut client in &clients {
            client.write_all(b"GET small\n").map_err(Error::Lost)?;
        }
        for mut client in &clients {
            client.read_exact(&mut reply).map_err(Error::Lost)?;
            assert!(reply.starts_with(&header), "{}", reply[..header.len()].escape_ascii());
        }
        Ok(())
    }))
}

/// How much is run.
struct Plan {
    name: &'static str,
    words: &'static str,
    forms: fn(&Contender) -> bool,
    samples: usize,
    warm_up: Duration,
    measure: Duration,
    /// How often criterion's bootstrap draws: with few samples, more is time for nothing.
    resamples: usize,
}

const SUBSET: Plan = Plan {
    name: "the default subset",
    words: "every model in its default form, 15 samples in about 1.5 s each; --full runs every form for longer",
    forms: Contender::is_default,
    samples: 15,
    warm_up: Duration::from_millis(300),
    measure: Duration::from_millis(1500),
    resamples: 10_000,
};

const EVERYTHING: Plan = Plan {
    name: "everything",
    words: "every form of every model, 50 samples in about 5 s each",
    forms: |_| true,
    samples: 50,
    warm_up: Duration::from_secs(1),
    measure: Duration::from_secs(5),
    resamples: 100_000,
};

/// A place in the closing table.
enum Cell {
    /// The server cannot do this by its nature.
    CannotServe,
    /// It should have, and did not.
    Failed,
    /// The median time of one call of the exercise, and calls per second.
    Measured { median: Duration, rate: f64 },
}

/// Rows and columns are places in [`CONTENDERS`] and [`CASES`]; what was not run is absent.
type Cells = BTreeMap<(usize, usize), Cell>;

fn main() -> ExitCode {
    let args: Vec<OsString> = std::env::args_os().skip(1).collect();
    let given = |wanted: &str| args.iter().any(|arg| arg == wanted);
    if given("--full") {
        return without_full(&args);
    }
    let help = given("--help") || given("-h");
    if help {
        println!("--full runs every form of every model for longer; all else is criterion's:\n");
    }
    let plan = if std::env::var_os(FULL).is_some() { EVERYTHING } else { SUBSET };
    // `cargo bench` says --bench; without it, criterion runs everything once, as a test.
    let measuring = given("--bench") && !given("--test") && !given("--list") && !help;

    let folder =
        tempfile::Builder::new().prefix("servers-").tempdir_in(env!("CARGO_TARGET_TMPDIR"));
    let prepared = folder.and_then(|root| {
        tether::remove_when_interrupted(root.path().to_owned())?;
        Ok(root)
    });
    let root = match prepared {
        Ok(root) => root,
        Err(error) => {
            eprintln!("no folder to serve in {}: {error}", env!("CARGO_TARGET_TMPDIR"));
            return ExitCode::FAILURE;
        }
    };
    let bench = Bench {
        plan,
        placement: Placement::choose(),
        root: root.path().to_owned(),
        files: OnceCell::new(),
        start: Instant::now(),
        tell: measuring && io::stderr().is_terminal(),
    };
    if measuring {
        println!("{}: {}", bench.plan.name, bench.plan.words);
        println!("{}\n", bench.placement);
    }
    let cells = bench.run();
    if measuring && let Err(error) = conclude(&bench, &cells) {
        eprintln!("the report could not be written: {error}");
        return ExitCode::FAILURE;
    }
    let failed = cells.values().any(|cell| matches!(cell, Cell::Failed));
    ExitCode::from(u8::from(failed))
}

/// criterion reads the command line by itself and knows no `--full`: start again without it.
fn without_full(args: &[OsString]) -> ExitCode {
    let error = std::env::current_exe().map(|program| {
        let rest = args.iter().filter(|arg| *arg != "--full");
        Command::new(program).args(rest).env(FULL, "1").exec()
    });
    eprintln!("cannot start again: {error:?}");
    ExitCode::FAILURE
}

struct Bench {
    plan: Plan,
    placement: Placement,
    root: PathBuf,
    /// The files are made when the first server wants them: a filter may want none.
    files: OnceCell<()>,
    start: Instant,
    /// Whether somebody watches.
    tell: bool,
}

impl Bench {
    fn run(&self) -> Cells {
        let mut criterion = Criterion::default()
            .sample_size(self.plan.samples)
            .warm_up_time(self.plan.warm_up)
            .measurement_time(self.plan.measure)
            .nresamples(self.plan.resamples)
            .plotting_backend(PlottingBackend::Plotters)
            .configure_from_args();
        let mut cells = Cells::new();
        for (column, case) in CASES.iter().enumerate() {
            let mut group = criterion.benchmark_group(case.name);
            group.sampling_mode(SamplingMode::Flat);
            group.throughput(match case.volume {
                Volume::Requests(requests) => Throughput::Elements(requests),
                Volume::Bytes(bytes) => Throughput::Bytes(bytes),
            });
            for (row, contender) in CONTENDERS.iter().enumerate() {
                if !(self.plan.forms)(contender) {
                    continue;
                }
                let cell = if case.many && !contender.many {
                    Some(Cell::CannotServe)
                } else {
                    self.measure(&mut group, column, contender)
                };
                if let Some(cell) = cell {
                    cells.insert((row, column), cell);
                }
            }
            group.finish();
        }
        criterion.final_summary();
        cells
    }

    /// Has criterion run one contender in one case, unless a filter leaves it out.
    fn measure(
        &self,
        group: &mut BenchmarkGroup<'_, WallTime>,
        column: usize,
        contender: &Contender,
    ) -> Option<Cell> {
        let case = &CASES[column];
        let timings = RefCell::new(Timings::default());
        let mut subject: Option<(Exercise, Server)> = None;
        let run = AssertUnwindSafe(|| {
            group.bench_function(contender.label, |bencher| {
                // Called for every sample, and never when the filter does not match.
                let (exercise, _server) = subject.get_or_insert_with(|| {
                    self.announce(column, contender);
                    self.start(case, contender)
                });
                bencher.iter_custom(|iterations| {
                    let time = || timings.borrow_mut().time(iterations, exercise);
                    // Not while criterion computes: it has use for both cores.
                    self.placement.at_client(time).unwrap_or_else(|error| {
                        panic!("{} failed at {}: {error}", contender.label, case.name)
                    })
                });
            });
        });
        match catch_unwind(run) {
            Ok(()) => timings.into_inner().summary(self.plan.warm_up),
            Err(_) => Some(Cell::Failed), // the panic has said why
        }
    }

    fn announce(&self, column: usize, contender: &Contender) {
        if self.tell {
            let seconds = self.start.elapsed().as_secs();
            let (minutes, seconds) = (seconds / 60, seconds % 60);
            let (at, of) = (column + 1, CASES.len());
            let (case, label) = (CASES[column].name, contender.label);
            // Over criterion's word that it begins.
            eprintln!("\r\x1b[K[{minutes}:{seconds:02}] case {at} of {of}, {case}: {label}");
        }
    }

    fn start(&self, case: &Case, contender: &Contender) -> (Exercise, Server) {
        self.files.get_or_init(|| make_files(&self.root).expect("room for the files to serve"));
        let serve = Command::new(env!("CARGO_BIN_EXE_serve"));
        let server = Server::start(serve, contender, &self.root, &[], self.placement)
            .expect("a server that starts");
        match (case.prepare)(server.addr()) {
            Ok(exercise) => (exercise, server),
            Err(error) => panic!("{} cannot begin {}: {error}", contender.label, case.name),
        }
    }
}

/// The time of every single call; criterion sees their sums.
#[derive(Default)]
struct Timings {
    start: Option<Instant>,
    /// When it ended, counted from the start, and how long it took.
    calls: Vec<(Duration, Duration)>,
}

impl Timings {
    fn time(&mut self, iterations: u64, exercise: &mut Exercise) -> Result<Duration, Error> {
        let start = *self.start.get_or_insert_with(Instant::now);
        let mut sum = Duration::ZERO;
        for _ in 0..iterations {
            let begin = Instant::now();
            exercise()?;
            let took = begin.elapsed();
            self.calls.push((begin - start + took, took));
            sum += took;
        }
        Ok(sum)
    }

    /// Leaves the warm-up out, if there is anything else.
    fn summary(self, warm_up: Duration) -> Option<Cell> {
        let warm = self.calls.partition_point(|(ended, _)| *ended < warm_up);
        let cold = if warm < self.calls.len() { warm } else { 0 };
        let times: Vec<f64> = self.calls[cold..].iter().map(|(_, t)| t.as_secs_f64()).collect();
        let sum: f64 = times.iter().sum();
        (!times.is_empty()).then(|| Cell::Measured {
            median: Duration::from_secs_f64(text::median(&times)),
            rate: times.len() as f64 / sum,
        })
    }
}

/// Prints the closing table and writes the report.
fn conclude(bench: &Bench, cells: &Cells) -> io::Result<()> {
    let measured = |(_, cell): &(&(usize, usize), &Cell)| !matches!(cell, Cell::CannotServe);
    if !cells.iter().any(|cell| measured(&cell)) {
        return Ok(()); // the filter matches nothing, or nothing was to be measured
    }
    let mut shown = table(cells, "\n");
    shown.load_style(UTF8_FULL_CONDENSED);
    println!("\nMedian time of a call, and throughput of the whole run:\n{shown}");
    if cells.values().any(|cell| matches!(cell, Cell::CannotServe)) {
        println!("\"-\": clients that stay connected beside each other are beyond this server.");
    }

    let mut kept = table(cells, ", ");
    kept.load_style(ASCII_MARKDOWN);
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).parent().expect("a folder has a parent");
    let path = target.join("comparison.md");
    let report = format!(
        "# Comparison of the models\n\nMedian time of a call, and throughput of the whole run; \"-\" where \
         a server cannot serve the case.\nOf one run, on a machine that may have been busy: compare within this table only.\n\n\
         {kept}\n\n- {}: {}\n- {}\n- {}\n",
        bench.plan.name,
        bench.plan.words,
        bench.placement,
        text::machine(),
    );
    std::fs::write(&path, report)?;
    println!("Written to {} and {}", path.display(), target.join("criterion/report").display());
    Ok(())
}

/// Model against case, with what was run.
fn table(cells: &Cells, separator: &str) -> Table {
    let ran = |at: &usize, cell: fn(&(usize, usize)) -> usize| {
        cells.iter().any(|(key, c)| cell(key) == *at && !matches!(c, Cell::CannotServe))
    };
    let columns: Vec<usize> = (0..CASES.len()).filter(|at| ran(at, |key| key.1)).collect();
    let present = |row: usize| columns.iter().any(|&column| cells.contains_key(&(row, column)));
    let mut table = Table::new();
    let names = columns.iter().map(|&column| CASES[column].name);
    table.set_header(std::iter::once("").chain(names));
    for row in (0..CONTENDERS.len()).filter(|&row| present(row)) {
        let show = |&column: &usize| match cells.get(&(row, column)) {
            None => String::new(),
            Some(Cell::CannotServe) => "-".into(),
            Some(Cell::Failed) => "- (failed)".into(),
            Some(&Cell::Measured { median, rate }) => {
                let throughput = match CASES[column].volume {
                    Volume::Requests(requests) => text::rate(rate * requests as f64),
                    Volume::Bytes(bytes) => text::byte_rate(rate * bytes as f64),
                };
                format!("{}{separator}{throughput}", text::duration(median))
            }
        };
        let label = CONTENDERS[row].label.to_owned();
        table.add_row(std::iter::once(label).chain(columns.iter().map(show)));
    }
    for column in table.column_iter_mut().skip(1) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    table
}
