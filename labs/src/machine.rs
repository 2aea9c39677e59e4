//! Whether a machine has what the labs need, and what it means where it has not.

use crate::build::{BuildError, build};
use harness::proc;
use rustix::fs::inotify::{CreateFlags, init};
use std::fs;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Stdio};

/// How much room the builds of all labs take, in bytes.
const ROOM: u64 = 1 << 30;

/// One requirement, and whether this machine meets it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Requirement {
    /// What.
    pub what: &'static str,
    /// How it stands.
    pub state: State,
    /// What was found, or what it means that it was not.
    pub text: String,
}

/// How something stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// It is there.
    Met,
    /// It is not, and the labs do without.
    Degraded,
    /// It is not, and nothing will work.
    Missing,
}

/// Inspects this machine; programs will be built in `folder`.
pub fn inspect(folder: &Path) -> Vec<Requirement> {
    vec![
        cargo(),
        rustc(),
        linker(),
        processes(),
        loopback(),
        temporary(),
        room(folder),
        cores(),
        cgroup(),
        events(),
        tools(),
    ]
}

fn requirement(
    what: &'static str,
    result: Result<String, String>,
    otherwise: State,
) -> Requirement {
    match result {
        Ok(text) => Requirement { what, state: State::Met, text },
        Err(text) => Requirement { what, state: otherwise, text },
    }
}

/// The first line that a program prints.
fn first_line(program: &str, arguments: &[&str]) -> Result<String, String> {
    let output = Command::new(program).args(arguments).stdin(Stdio::null()).output();
    let output = output.map_err(|error| format!("`{program}`: {error}"))?;
    let text = String::from_utf8_lossy(&output.stdout);
    Ok(text.lines().next().unwrap_or_default().trim().to_owned())
}

/// Whether `shown`, as in `cargo 1.95.0 (...)`, is at least the version that the workspace asks for.
fn new_enough(shown: &str) -> Result<String, String> {
    let wanted = env!("CARGO_PKG_RUST_VERSION");
    let number = |text: &str| -> Vec<u32> {
        text.split(['.', '-']).map_while(|part| part.parse().ok()).collect()
    };
    let version = shown.split(' ').nth(1).unwrap_or_default();
    if number(version) >= number(wanted) {
        return Ok(shown.to_owned());
    }
    Err(format!("`{shown}` is too old: the labs need {wanted} (rustup update)"))
}

fn cargo() -> Requirement {
    let cargo = std::env::var("CARGO").unwrap_or_else(|_| "cargo".into());
    let result = first_line(&cargo, &["--version"]).and_then(|shown| new_enough(&shown));
    let result = result.map_err(|why| format!("{why}; nothing can be built"));
    requirement("cargo", result, State::Missing)
}

fn rustc() -> Requirement {
    let rustc = std::env::var("RUSTC").unwrap_or_else(|_| "rustc".into());
    let result = first_line(&rustc, &["--version"]).and_then(|shown| new_enough(&shown));
    let result = result.map_err(|why| format!("{why}; nothing can be built"));
    requirement("rustc", result, State::Missing)
}

fn linker() -> Requirement {
    let result = first_line("cc", &["--version"]);
    let result = result.map_err(|why| {
        format!("{why}: Rust needs a C compiler to link programs (Debian: apt install gcc)")
    });
    requirement("cc", result, State::Missing)
}

fn processes() -> Requirement {
    let own = std::process::id() as i32;
    let readable = proc::process(own).is_some()
        && proc::started(own).is_some()
        && fs::read_to_string("/proc/self/schedstat").is_ok_and(|text| !text.is_empty());
    let result = if readable {
        Ok("readable".to_owned())
    } else {
        Err("no /proc, or no schedstat in it: the graders cannot see what processes do".to_owned())
    };
    requirement("/proc", result, State::Missing)
}

fn loopback() -> Requirement {
    let exchange = || -> std::io::Result<()> {
        let listener = rustix::net::socket(
            rustix::net::AddressFamily::INET,
            rustix::net::SocketType::STREAM,
            None,
        )?;
        let any = std::net::SocketAddrV4::new(Ipv4Addr::LOCALHOST, 0);
        rustix::net::bind(&listener, &any)?;
        rustix::net::listen(&listener, 1)?;
        let address: std::net::SocketAddrV4 = rustix::net::getsockname(&listener)?.try_into()?;
        let mut client = TcpStream::connect(address)?;
        let mut server = TcpStream::from(rustix::net::accept(&listener)?);
        client.write_all(b"x")?;
        server.read_exact(&mut [0])
    };
    let result = match exchange() {
        Ok(()) => Ok("127.0.0.1 answers".to_owned()),
        Err(error) => {
            Err(format!("127.0.0.1: {error}; the servers cannot be reached (ip link set lo up)"))
        }
    };
    requirement("loopback", result, State::Missing)
}

/// Programs are copied below the directory for temporary files and run there.
fn temporary() -> Requirement {
    let shown = std::env::temp_dir().display().to_string();
    let attempt = || -> std::io::Result<bool> {
        let directory = tempfile::tempdir()?;
        let program = directory.path().join("program");
        fs::write(&program, "#!/bin/sh\nexit 0\n")?;
        fs::set_permissions(&program, fs::Permissions::from_mode(0o700))?;
        // By its shell, since a text that was just written may count as busy for a moment.
        Ok(rustix::fs::access(&program, rustix::fs::Access::EXEC_OK).is_ok())
    };
    let result = match attempt() {
        Ok(true) => Ok(shown),
        Ok(false) => Err(format!(
            "{shown}: programs cannot be run there (noexec?): set TMPDIR to another directory"
        )),
        Err(error) => Err(format!("{shown}: {error}: set TMPDIR to another directory")),
    };
    requirement("temporary", result, State::Missing)
}

fn room(folder: &Path) -> Requirement {
    let there = folder.ancestors().find(|folder| folder.is_dir());
    let free = there.and_then(|folder| rustix::fs::statvfs(folder).ok());
    let free = free.map(|found| found.f_bavail.saturating_mul(found.f_frsize));
    let result = match free {
        Some(free) if free < ROOM => Err(format!(
            "{} MiB free at {}: builds need up to {} MiB",
            free >> 20,
            folder.display(),
            ROOM >> 20
        )),
        Some(free) => Ok(format!("{} GiB free", free >> 30)),
        None => Ok("unknown".into()),
    };
    requirement("disk", result, State::Degraded)
}

fn cores() -> Requirement {
    let result = match std::thread::available_parallelism() {
        Ok(n) if n.get() >= 2 => Ok(n.to_string()),
        Ok(_) => {
            Err("one: threads and processes take turns here, and figures of speed mean little"
                .into())
        }
        Err(error) => Err(error.to_string()),
    };
    requirement("cores", result, State::Degraded)
}

fn cgroup() -> Requirement {
    let name = format!("{}look", crate::sweep::name());
    let made = crate::sweep::CGROUPS.iter().map(|home| Path::new(home).join(&name));
    let usable = |cgroup: &std::path::PathBuf| {
        let made = fs::create_dir(cgroup).is_ok();
        let usable = made && cgroup.join("pids.max").exists();
        if made {
            let _ = fs::remove_dir(cgroup);
        }
        usable
    };
    let result = match made.into_iter().find(usable) {
        Some(_) => Ok("writable: the kernel itself bounds how many processes a program may have".into()),
        None => Err("not writable: the grader counts a program's processes and kills above 64, which a fast \
                     fork bomb may outrun for a moment"
            .to_owned()),
    };
    requirement("cgroup", result, State::Degraded)
}

fn events() -> Requirement {
    let result = match init(CreateFlags::CLOEXEC) {
        Ok(_) => Ok("`cargo lab watch` is told of every save".into()),
        Err(error) => {
            Err(format!("{error}: `cargo lab watch` looks at the files again and again instead"))
        }
    };
    requirement("inotify", result, State::Degraded)
}

fn tools() -> Requirement {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let there =
        |tool: &&&str| std::env::split_paths(&path).any(|directory| directory.join(tool).is_file());
    let missing: Vec<&str> =
        ["ps", "ss", "strace", "nc"].iter().filter(|tool| !there(tool)).copied().collect();
    let result = if missing.is_empty() {
        Ok("ps, ss, strace, nc".into())
    } else {
        Err(format!(
            "no {}: the guides use them to look for yourself; grading does not",
            missing.join(", ")
        ))
    };
    requirement("tools", result, State::Degraded)
}

/// Whether a student's package can be built here, which needs more than the programs: every crate, too.
pub fn builds(package: &Path, target: &Path) -> Requirement {
    let result = match build(package, target) {
        Ok(_) | Err(BuildError::Compiler(_)) => Ok("the first lab's program is built".into()),
        Err(BuildError::Cargo(why)) => Err(why.trim().to_owned()),
    };
    requirement("build", result, State::Missing)
}
