//! What an idle client costs: the memory of the server's processes with many of them, less that with
//! none, for each.

use super::{Failure, Models, folder, progress, start, table};
use benches::tree::{self, Memory};
use benches::{Placement, Server, Variant, files, text};
use rustix::process::{Resource, getrlimit};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::time::Duration;

const LENGTH: u64 = 4096;

/// A server that says nothing for so long has failed.
const PATIENCE: Duration = Duration::from_secs(30);

/// So often a server is looked at for a moment in which it does nothing.
const LOOKS: usize = 50;

/// Descriptors of this process that are not clients.
const RESERVED: u64 = 64;

/// What `versus memory` takes.
#[derive(clap::Args)]
pub struct Options {
    /// How many idle clients
    #[arg(long, value_name = "N", default_value_t = 1000, value_parser = clap::value_parser!(u32).range(1..))]
    clients: u32,
    #[command(flatten)]
    models: Models,
}

/// Measures and prints.
pub fn run(options: &Options) -> Result<(), Failure> {
    if getrlimit(Resource::Nofile)
        .current
        .is_some_and(|n| n < u64::from(options.clients) + RESERVED)
    {
        let why =
            format!("the descriptor limit allows no {} clients (ulimit -Hn)", options.clients);
        return Err(Failure::Unusable(why));
    }
    let root = folder(std::env::temp_dir())?;
    files::make_file(&root.path().join("small"), LENGTH)?;
    let placement = Placement::choose();
    println!("{}; {placement}", text::machine());
    println!(
        "{} clients, each of which has made one request; KiB for each, less the server without clients\n",
        options.clients
    );
    let header = ["server", "PSS", "page tables", "kernel stacks", "sum", "processes", "threads"];
    let mut shown = table(&header, 1);
    for variant in options.models.chosen() {
        progress(variant.label);
        let mut row = vec![variant.label.to_owned()];
        if options.clients as usize <= variant.capacity() {
            let (each, all) = measure(variant, options.clients, root.path(), placement)?;
            row.extend(each.map(|kib| format!("{kib:.1}")));
            row.extend([all.processes.to_string(), all.threads.to_string()]);
        } else {
            row.resize(header.len(), "-".into());
        }
        shown.add_row(row);
    }
    progress("");
    println!("{shown}\n\nKernel stacks are reckoned at 16 KiB for each thread.");
    Ok(())
}

/// Gives PSS, page tables, kernel stacks and their sum in KiB for each client, and the whole of it.
fn measure(
    variant: &Variant,
    clients: u32,
    root: &Path,
    placement: Placement,
) -> Result<([f64; 4], Memory), Failure> {
    let limit = (clients + 64).to_string();
    let server =
        start(variant, root, &["--max-connections", &limit, "--idle-timeout", "3600"], placement)?;
    let without = at_rest(&server);
    let connect = |_| client(server.addr());
    let held: Result<Vec<TcpStream>, _> =
        placement.on_client_core(|| (0..clients).map(connect).collect());
    let held = held.map_err(|error: std::io::Error| {
        Failure::Broken(format!("{} did not serve {clients} clients: {error}", variant.label))
    })?;
    let with = at_rest(&server);
    drop(held);
    let more = with - without;
    let each = |bytes: i64| bytes as f64 / 1024.0 / f64::from(clients);
    let columns = [more.pss, more.page_tables, more.kernel_stacks, more.total()];
    Ok((columns.map(each), with))
}

/// A client that has made one request.
fn client(addr: SocketAddr) -> std::io::Result<TcpStream> {
    let mut stream = TcpStream::connect(addr)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.write_all(b"GET small\n")?;
    let header = format!("OK {LENGTH}\n");
    let mut reply = vec![0; header.len() + LENGTH as usize];
    stream.read_exact(&mut reply)?;
    if !reply.starts_with(header.as_bytes()) {
        let line = reply.split(|&byte| byte == b'\n').next().unwrap_or_default();
        return Err(std::io::Error::other(line.escape_ascii().to_string()));
    }
    Ok(stream)
}

/// The memory at a moment in which the server does nothing.
fn at_rest(server: &Server) -> Memory {
    let mut before = tree::cpu_time(server.pid());
    for _ in 1..LOOKS {
        let memory = tree::memory(server.pid());
        let after = tree::cpu_time(server.pid());
        if before == after {
            return memory;
        }
        before = after;
    }
    tree::memory(server.pid())
}
