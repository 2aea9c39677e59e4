//! Lab 07: signals that wake, that limit, that stop. There is nothing to do in this file.
//!
//! ```sh
//! signals wait FILE                 # until there is such a file; who makes it sends SIGUSR1
//! signals read 5s                   # a line of standard input, if it comes in time
//! signals limit 2s sleep 60         # a command that may run for so long
//! signals limit 2s self             # the same for a copy of this program, which shows its signals
//! signals serve                     # requests from standard input; SIGUSR1 reports, SIGTERM stops
//! ```

mod limit;
mod service;
mod stop;
mod wait;

use nix::sys::signal::{SaFlags, SigAction, SigHandler, SigSet, Signal, sigaction};
use service::{Service, print_line};
use std::ffi::CString;
use std::fs;
use std::io;
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

#[global_allocator]
static HEAP: service::Heap = service::Heap;

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let outcome = match words[..] {
        ["wait", file] => wait_for(file),
        ["read", time] => read(time, 1),
        ["read", time, times] => {
            times.parse().map_err(io::Error::other).and_then(|n| read(time, n))
        }
        ["limit", time, ref command @ ..] if !command.is_empty() => limited(time, command),
        ["serve"] => serve(),
        _ => Err(io::Error::other(
            "usage: wait FILE, read TIME [TIMES], limit TIME COMMAND..., serve; a time is 5s, 200ms or 20us",
        )),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("signals: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Waits for a file, and shows each look.
fn wait_for(file: &str) -> io::Result<()> {
    print_line("begun")?;
    wait_for_enter();
    wait::wait_until(|| {
        let there = Path::new(file).exists();
        let _ = print_line(if there { "looked: there" } else { "looked: not there" });
        // Here is time for anything to happen: what was seen is already past. Enter goes on.
        wait_for_enter();
        there
    })?;
    print_line("come")?;
    wait_for_enter();
    Ok(())
}

/// Reads a line that may not come, so often, and then does work for which there is no limit.
fn read(time: &str, times: usize) -> io::Result<()> {
    let limit = duration(time)?;
    let mut late = 0;
    let mut buffer = [0; 256];
    for _ in 0..times {
        match limit::read_in_time(&mut buffer, limit)? {
            Some(count) => {
                print_line(&format!(
                    "read {}",
                    String::from_utf8_lossy(&buffer[..count]).trim_end()
                ))?;
            }
            None => late += 1,
        }
    }
    print_line(&format!("too late {late}"))?;
    // No more than one call: a signal that interrupts it is an error.
    let count = nix::unistd::read(io::stdin(), &mut buffer)?;
    print_line(&format!("later work {}", String::from_utf8_lossy(&buffer[..count]).trim_end()))
}

/// Runs a command that may take so long, and says what came of it.
fn limited(time: &str, command: &[&str]) -> io::Result<()> {
    let limit = duration(time)?;
    set_signal_dispositions()?;
    let outcome = limit::run(limit, || match command {
        ["self"] => show_signals(),
        _ => execute(command),
    })?;
    print_line(&outcome.to_string())?;
    wait_for_enter();
    Ok(())
}

/// As most programs, this one handles signals: it catches SIGTERM and SIGUSR1, which interrupt what it
/// waits for; it ignores SIGHUP (and SIGPIPE, as all programs in Rust do), and blocks SIGUSR2.
fn set_signal_dispositions() -> io::Result<()> {
    extern "C" fn on_signal(_: libc::c_int) {}
    let caught = SigHandler::Handler(on_signal);
    let dispositions = [
        (Signal::SIGTERM, caught),
        (Signal::SIGUSR1, caught),
        (Signal::SIGHUP, SigHandler::SigIgn),
    ];
    for (signal, handler) in dispositions {
        let action = SigAction::new(handler, SaFlags::empty(), SigSet::empty());
        // SAFETY: the handler does nothing.
        unsafe { sigaction(signal, &action) }?;
    }
    Ok(SigSet::from(Signal::SIGUSR2).thread_block()?)
}

/// Becomes this command. Comes back only if there is no such command.
fn execute(command: &[&str]) -> i32 {
    let words: Vec<CString> = command.iter().filter_map(|word| CString::new(*word).ok()).collect();
    let _ = nix::unistd::execvp(&words[0], &words);
    127
}

/// What the kernel knows of this process's signals: blocked, ignored, caught.
fn show_signals() -> i32 {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let lines = status.lines().filter(|line| line.starts_with("Sig") && !line.starts_with("SigQ"));
    for line in lines {
        let _ = print_line(line);
    }
    0
}

/// Serves requests until there are no more, or until SIGTERM.
fn serve() -> io::Result<()> {
    stop::install_handlers()?;
    print_line("ready")?;
    let mut service = Service::default();
    stop::serve(&mut service)?;
    print_line(&format!("bye {}", service.served()))
}

fn wait_for_enter() {
    let _ = io::stdin().read_line(&mut String::new());
}

fn duration(text: &str) -> io::Result<Duration> {
    let split = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(split);
    match (number.parse(), unit) {
        (Ok(n), "s") => Ok(Duration::from_secs(n)),
        (Ok(n), "ms") => Ok(Duration::from_millis(n)),
        (Ok(n), "us") => Ok(Duration::from_micros(n)),
        _ => Err(io::Error::other(format!("{text}: expected a time as 5s, 200ms or 20us"))),
    }
}
