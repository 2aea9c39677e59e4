//! One large file each way, beside the least that could move it: a loop of sendfile, a loop of recv and
//! write.

use super::speed::start_bare;
use super::{Failure, Models, folder, progress, rotated, span, start, table};
use benches::load::stats;
use benches::{Placement, Server, Variant, files, text};
use rustix::net::{RecvFlags, recv};
use std::fs;
use std::io::{self, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// What one call sends or receives at most.
const PIECE: usize = 1 << 20;

/// A server that moves nothing for so long has failed.
const PATIENCE: Duration = Duration::from_secs(60);

/// What `versus bulk` takes.
#[derive(clap::Args)]
pub struct Options {
    /// How often everything is measured; the median counts
    #[arg(long, value_name = "N", default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..))]
    rounds: u32,
    /// The size of the file
    #[arg(long, value_name = "MIB", default_value_t = 1024, value_parser = clap::value_parser!(u64).range(1..=1 << 20))]
    mib: u64,
    /// Where the folder that is served is made, and so on which file system
    #[arg(long, value_name = "DIR", default_value = ".")]
    root: PathBuf,
    #[command(flatten)]
    models: Models,
}

#[derive(Clone, Copy)]
enum Direction {
    Get,
    Put,
}

/// Measures and prints.
pub fn run(options: &Options) -> Result<(), Failure> {
    let folder = folder(options.root.clone())?;
    let root = folder.path().canonicalize()?;
    let length = options.mib << 20;
    progress(&format!("making a file of {} MiB", options.mib));
    files::make_file(&root.join("huge"), length)?;
    let placement = Placement::choose();
    let models = options.models.chosen();
    progress("");
    println!("{}; {placement}", text::machine());
    println!(
        "{} MiB in {}; medians of {} rounds\n",
        options.mib,
        options.root.canonicalize()?.display(),
        options.rounds
    );
    for direction in [Direction::Get, Direction::Put] {
        let seconds = measure(&root, length, direction, &models, options.rounds, placement)?;
        progress("");
        println!("{}\n", details(direction, length, &models, &seconds));
    }
    Ok(())
}

/// The seconds of each round: first the bare loop's, then each model's.
fn measure(
    root: &Path,
    length: u64,
    direction: Direction,
    models: &[&'static Variant],
    rounds: u32,
    placement: Placement,
) -> Result<Vec<Vec<f64>>, Failure> {
    let subjects: Vec<Option<&Variant>> =
        std::iter::once(None).chain(models.iter().map(|&model| Some(model))).collect();
    let everybody: Vec<usize> = (0..subjects.len()).collect();
    let mut seconds = vec![Vec::new(); subjects.len()];
    for round in 0..rounds {
        for at in rotated(&everybody, round as usize) {
            let label = subjects[at].map_or("bare", |model| model.label);
            progress(&format!("{}, round {} of {rounds}: {label}", direction.name(), round + 1));
            let server = start_subject(root, length, subjects[at], placement)?;
            let took = placement.on_client_core(|| match direction {
                Direction::Get => get(server.addr(), length),
                Direction::Put => put(server.addr(), length),
            });
            let took = took.map_err(|error| Failure::Broken(format!("{label}: {error}")))?;
            seconds[at].push(took.as_secs_f64());
            drop(server);
            match fs::remove_file(root.join("upload")) {
                Err(error) if error.kind() != ErrorKind::NotFound => return Err(error.into()),
                _ => {}
            }
        }
    }
    Ok(seconds)
}

fn start_subject(
    root: &Path,
    length: u64,
    subject: Option<&Variant>,
    placement: Placement,
) -> io::Result<Server> {
    match subject {
        None => start_bare(root, placement),
        Some(model) => start(model, root, &["--max-file-size", &length.to_string()], placement),
    }
}

impl Direction {
    fn name(self) -> &'static str {
        match self {
            Direction::Get => "GET",
            Direction::Put => "PUT",
        }
    }

    fn yardstick(self) -> &'static str {
        match self {
            Direction::Get => "bare sendfile loop",
            Direction::Put => "bare recv-write loop",
        }
    }
}

fn connect(addr: SocketAddr) -> io::Result<TcpStream> {
    let stream = TcpStream::connect(addr)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    Ok(stream)
}

/// From the request to the last byte. The kernel throws the bytes away: a reader that copied them would be
/// the slower of the two.
fn get(addr: SocketAddr, length: u64) -> io::Result<Duration> {
    let mut stream = connect(addr)?;
    let mut scratch = vec![0u8; PIECE];
    let begin = Instant::now();
    stream.write_all(b"GET huge\n")?;
    expect(&stream, &format!("OK {length}\n"))?;
    let mut left = length;
    while left > 0 {
        let room = usize::try_from(left).map_or(PIECE, |left| left.min(PIECE));
        match recv(&stream, &mut scratch[..room], RecvFlags::TRUNC)? {
            (_, 0) => return Err(ErrorKind::UnexpectedEof.into()),
            (_, n) => left -= n as u64,
        }
    }
    Ok(begin.elapsed())
}

/// From the request to the reply that says the file is in place.
fn put(addr: SocketAddr, length: u64) -> io::Result<Duration> {
    let mut stream = connect(addr)?;
    let piece = vec![b'x'; PIECE];
    let begin = Instant::now();
    stream.write_all(format!("PUT upload {length}\n").as_bytes())?;
    let mut left = length;
    while left > 0 {
        let size = usize::try_from(left).map_or(PIECE, |left| left.min(PIECE));
        stream.write_all(&piece[..size])?;
        left -= size as u64;
    }
    expect(&stream, "OK 0\n")?;
    Ok(begin.elapsed())
}

fn expect(mut stream: &TcpStream, line: &str) -> io::Result<()> {
    let mut got = vec![0; line.len()];
    stream.read_exact(&mut got)?;
    if got == line.as_bytes() {
        return Ok(());
    }
    Err(io::Error::other(format!("answered {:?}...", got.escape_ascii().to_string())))
}

fn details(direction: Direction, length: u64, models: &[&Variant], seconds: &[Vec<f64>]) -> String {
    let mut shown = table(&[direction.name(), "rate", "of bare", "min-max"], 1);
    let labels = std::iter::once(direction.yardstick()).chain(models.iter().map(|m| m.label));
    for (label, times) in labels.zip(seconds) {
        let shares: Vec<f64> =
            times.iter().zip(&seconds[0]).map(|(ours, bare)| 100.0 * bare / ours).collect();
        shown.add_row([
            label.to_owned(),
            text::byte_rate(length as f64 / stats::median(times)),
            format!("{:.0}%", stats::median(&shares)),
            span(&shares, 0),
        ]);
    }
    shown.to_string()
}
