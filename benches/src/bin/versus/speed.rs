//! Requests per second as a ratio to nginx's, and the processor time that a request costs.

use super::{Failure, Models, folder, myself, progress, rotated, span, start, table, wrk};
use benches::load::peers::Nginx;
use benches::load::stats;
use benches::{Placement, Server, Variant, files, text, tree};
use std::io::{self, BufRead, BufReader, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

/// How long a server is used before it is measured.
const WARM_UP: Duration = Duration::from_millis(200);

/// A server that says nothing for so long while it warms up has failed.
const PATIENCE: Duration = Duration::from_secs(10);

/// What `versus speed` takes.
#[derive(clap::Args)]
pub struct Options {
    /// How often everything is measured; the median counts
    #[arg(long, value_name = "N", default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..))]
    rounds: u32,
    /// How long each measurement takes
    #[arg(long, value_name = "S", default_value_t = 2, value_parser = clap::value_parser!(u32).range(1..))]
    seconds: u32,
    #[command(flatten)]
    models: Models,
    /// Which cases: get_4k, get_64k, get_1m, connect_4k, get_4k_1000 [default: all]
    #[arg(long, value_name = "A,B", value_delimiter = ',', value_parser = case)]
    cases: Vec<&'static Case>,
}

/// What the clients do.
#[derive(Debug)]
pub struct Case {
    name: &'static str,
    file: &'static str,
    length: u64,
    connections: usize,
    /// A connection for each request.
    close: bool,
    /// Whether a bare sendfile server is measured beside nginx.
    bare: bool,
}

const KIB: u64 = 1024;

#[rustfmt::skip]
const CASES: &[Case] = &[
    Case { name: "get_4k",      file: "/4k",  length: 4 * KIB,    connections: 64,   close: false, bare: false },
    Case { name: "get_64k",     file: "/64k", length: 64 * KIB,   connections: 16,   close: false, bare: false },
    Case { name: "get_1m",      file: "/1m",  length: 1024 * KIB, connections: 16,   close: false, bare: true },
    Case { name: "connect_4k",  file: "/4k",  length: 4 * KIB,    connections: 16,   close: true,  bare: false },
    Case { name: "get_4k_1000", file: "/4k",  length: 4 * KIB,    connections: 1000, close: false, bare: false },
];

fn case(name: &str) -> Result<&'static Case, String> {
    CASES.iter().find(|case| case.name == name).ok_or_else(|| {
        let names: Vec<&str> = CASES.iter().map(|case| case.name).collect();
        format!("there are {}", names.join(", "))
    })
}

/// Whom wrk talks to.
#[derive(Clone, Copy)]
enum Subject {
    Nginx,
    Bare,
    Ours(&'static Variant),
}

impl Subject {
    fn label(self) -> &'static str {
        match self {
            Subject::Nginx => "nginx",
            Subject::Bare => "bare sendfile",
            Subject::Ours(variant) => variant.label,
        }
    }

    /// Whether it can have so many clients at once. With a connection for each request, all can.
    fn can(self, case: &Case) -> bool {
        match self {
            Subject::Ours(variant) => case.close || case.connections <= variant.capacity(),
            _ => true,
        }
    }
}

/// What the rounds gave of one subject in one case.
#[derive(Default)]
struct Record {
    per_second: Vec<f64>,
    cpu_micros: Vec<f64>,
    errors: Vec<String>,
}

struct Site {
    root: PathBuf,
    nginx: Nginx,
    wrk: PathBuf,
    placement: Placement,
}

/// Measures and prints.
pub fn run(options: &Options) -> Result<(), Failure> {
    let (Some(wrk), Some(nginx)) = (find_program("wrk"), find_program("nginx")) else {
        let why = "this comparison needs wrk and nginx: install the packages wrk and nginx";
        return Err(Failure::Unusable(why.into()));
    };
    let folder = folder(std::env::temp_dir())?;
    let root = folder.path().join("files");
    std::fs::create_dir(&root)?;
    for case in CASES {
        files::make_file(&root.join(&case.file[1..]), case.length)?;
    }
    let nginx = Nginx::prepare(nginx, folder.path(), &root)?;
    let site = Site { root, nginx, wrk, placement: Placement::choose() };
    let models = options.models.chosen();
    let cases = match &options.cases[..] {
        [] => CASES.iter().collect(),
        chosen => chosen.to_vec(),
    };

    println!("{}; {}", text::machine(), site.nginx.version()?);
    println!("{}; medians of {} rounds of {} s\n", site.placement, options.rounds, options.seconds);
    let header: Vec<&str> = ["case"].into_iter().chain(models.iter().map(|m| m.label)).collect();
    let mut overview = table(&header, 1);
    for case in &cases {
        let mut subjects = vec![Subject::Nginx];
        if case.bare {
            subjects.push(Subject::Bare);
        }
        subjects.extend(models.iter().map(|&variant| Subject::Ours(variant)));
        let records = measure(&site, case, &subjects, options)?;
        progress("");
        println!("{}\n", details(case, &subjects, &records));
        let ratio = |label: &str| {
            let at = subjects.iter().position(|subject| subject.label() == label)?;
            let ratios = ratios(&records[at], &records[0]);
            (!ratios.is_empty()).then(|| format!("{:.2}", stats::median(&ratios)))
        };
        let cells = models.iter().map(|model| ratio(model.label).unwrap_or("-".into()));
        overview.add_row(std::iter::once(case.name.to_owned()).chain(cells));
    }
    println!("Requests per second as a ratio to nginx:\n\n{overview}");
    Ok(())
}

/// A program on the PATH, or where the system keeps its servers.
fn find_program(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .chain(["/usr/sbin".into(), "/usr/local/sbin".into()])
        .map(|folder| folder.join(name))
        .find(|program| program.is_file())
}

fn measure(
    site: &Site,
    case: &Case,
    subjects: &[Subject],
    options: &Options,
) -> Result<Vec<Record>, Failure> {
    let mut records: Vec<Record> = subjects.iter().map(|_| Record::default()).collect();
    let able: Vec<usize> = (0..subjects.len()).filter(|&at| subjects[at].can(case)).collect();
    for round in 0..options.rounds {
        for at in rotated(&able, round as usize) {
            let label = subjects[at].label();
            progress(&format!("{}, round {} of {}: {label}", case.name, round + 1, options.rounds));
            let server = start_subject(site, subjects[at])?;
            warm_up(server.addr(), case)
                .map_err(|error| Failure::Broken(format!("{label}, {}: {error}", case.name)))?;
            let before = tree::cpu_time(server.pid());
            let load = wrk::run(
                &site.wrk,
                server.addr(),
                case.file,
                case.connections,
                case.close,
                options.seconds,
                site.placement,
            )?;
            let cpu = tree::cpu_time(server.pid()).saturating_sub(before);
            let record = &mut records[at];
            record.per_second.push(load.per_second);
            record.cpu_micros.push(cpu.as_secs_f64() * 1e6 / load.requests.max(1) as f64);
            record.errors.extend(load.errors);
        }
    }
    Ok(records)
}

fn start_subject(site: &Site, subject: Subject) -> io::Result<Server> {
    match subject {
        Subject::Nginx => site.nginx.start(myself("become")?, site.placement),
        Subject::Bare => start_bare(&site.root, site.placement),
        Subject::Ours(variant) => {
            start(variant, &site.root, &["--max-connections", "4000"], site.placement)
        }
    }
}

/// Starts the bare server, which is in this program, too.
pub fn start_bare(root: &Path, placement: Placement) -> io::Result<Server> {
    let mut command: Command = myself("bare")?;
    command.arg(root);
    Server::spawn(command, placement)
}

/// Asks for the file until the server is warm; an answer that is not the file is an error.
fn warm_up(addr: SocketAddr, case: &Case) -> io::Result<()> {
    let begin = Instant::now();
    let mut stream = BufReader::new(TcpStream::connect(addr)?);
    stream.get_ref().set_read_timeout(Some(PATIENCE))?;
    while begin.elapsed() < WARM_UP {
        let request = format!("GET {} HTTP/1.1\r\nHost: localhost\r\n\r\n", case.file);
        stream.get_ref().write_all(request.as_bytes())?;
        let mut length = None;
        let mut line = String::new();
        stream.read_line(&mut line)?;
        if !line.starts_with("HTTP/1.1 200 ") {
            return Err(io::Error::other(format!("answered {:?}", line.trim_end())));
        }
        while line.trim_end() != "" {
            line.clear();
            stream.read_line(&mut line)?;
            if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
                length = value.trim().parse::<u64>().ok();
            }
        }
        if length != Some(case.length) {
            return Err(io::Error::other(format!("a file of {length:?} bytes")));
        }
        let mut left = case.length;
        while left > 0 {
            let got = stream.fill_buf()?.len().min(usize::try_from(left).unwrap_or(usize::MAX));
            if got == 0 {
                return Err(ErrorKind::UnexpectedEof.into());
            }
            stream.consume(got);
            left -= got as u64;
        }
    }
    // The iterative server serves the next client when this one has gone.
    stream.get_ref().shutdown(std::net::Shutdown::Write)?;
    stream.read(&mut [0]).map(drop)
}

/// Each round's ratio.
fn ratios(record: &Record, yardstick: &Record) -> Vec<f64> {
    let pairs = record.per_second.iter().zip(&yardstick.per_second);
    pairs.map(|(ours, theirs)| ours / theirs).collect()
}

fn details(case: &Case, subjects: &[Subject], records: &[Record]) -> String {
    let clients = case.connections;
    let title = format!("{}, {clients} clients", case.name);
    let mut header = vec![title.as_str(), "to nginx", "min-max"];
    if case.bare {
        header.push("to bare");
    }
    header.extend(["requests", "CPU µs/request"]);
    let mut shown = table(&header, 1);
    let mut notes = String::new();
    for (subject, record) in subjects.iter().zip(records) {
        let mut row = vec![subject.label().to_owned()];
        if record.per_second.is_empty() {
            row.resize(header.len(), "-".into());
        } else {
            let to_nginx = ratios(record, &records[0]);
            row.extend([format!("{:.2}", stats::median(&to_nginx)), span(&to_nginx, 2)]);
            if case.bare {
                row.push(format!("{:.2}", stats::median(&ratios(record, &records[1]))));
            }
            row.push(text::rate(stats::median(&record.per_second)));
            row.push(match subject {
                Subject::Ours(variant) if !variant.reaps_children() => "-".into(),
                _ => format!("{:.1}", stats::median(&record.cpu_micros)),
            });
        }
        shown.add_row(row);
        for error in &record.errors {
            notes += &format!("\n{}: {error}", subject.label());
        }
    }
    if !notes.is_empty() {
        notes.insert(0, '\n');
    }
    format!("{shown}{notes}")
}
