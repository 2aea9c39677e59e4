//! Lab 06: processes that are started, waited for and reaped. There is nothing to do in this file.
//!
//! ```sh
//! processes fates exit:3 kill:9 exit:0    # children that end like this, and how they ended
//! processes family 5                      # children that end when you press Enter; the parent lives on
//! processes orphan                        # a grandchild that another process adopts
//! ```

mod children;

use children::Outcome;
use std::io::{self, BufRead, Write};
use std::process::ExitCode;

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let outcome = match words.first().map(String::as_str) {
        Some("fates") => fates(&words[1..]),
        Some("family") if words.len() == 2 => family(&words[1]),
        Some("orphan") => orphan(),
        _ => Err(io::Error::other("usage: fates FATE..., family N, orphan")),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("processes: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Children that end like this, all at once, and then how each has ended.
fn fates(words: &[String]) -> io::Result<()> {
    // Without the end of a line it stays in the buffer of this process, and of every copy of it.
    print!("begun ");
    let mut children = Vec::new();
    for word in words {
        let outcome = match word.split_once(':') {
            Some(("exit", code)) => Outcome::Exit(number(code)?),
            Some(("kill", signal)) => Outcome::Killed(number(signal)?),
            _ => {
                return Err(io::Error::other(format!("{word}: expected exit:CODE or kill:SIGNAL")));
            }
        };
        children.push(children::spawn(move || end_as(outcome))?);
    }
    for child in children {
        println!("{}", children::wait_for(child)?);
    }
    Ok(())
}

/// What a child of `fates` does.
fn end_as(outcome: Outcome) -> i32 {
    match outcome {
        Outcome::Exit(code) => code,
        Outcome::Killed(signal) => {
            // SAFETY: these calls take integers.
            unsafe {
                libc::signal(signal, libc::SIG_DFL);
                libc::kill(libc::getpid(), signal);
            }
            255
        }
    }
}

/// Children that end all at once, of a parent that goes on without them.
fn family(count: &str) -> io::Result<()> {
    children::reap_automatically()?;
    let (read, write) = pipe()?;
    for _ in 0..number(count)? {
        children::spawn(move || {
            // Until the parent's end is closed: this copy of it must not keep it open.
            // SAFETY: the buffer is one byte long; the descriptors are this process's.
            unsafe {
                libc::close(write);
                let mut byte = 0u8;
                libc::read(read, (&raw mut byte).cast(), 1);
            }
            0
        })?;
    }
    print_line("ready")?;
    let mut lines = io::stdin().lock().lines();
    lines.next();
    // SAFETY: nothing else uses this descriptor.
    unsafe { libc::close(write) };
    print_line("closed")?;
    // The parent has other things to do than to wait for children.
    for line in lines {
        print_line(&format!("you said {}", line?))?;
    }
    Ok(())
}

/// A grandchild that prints its number and lives until its input ends.
fn orphan() -> io::Result<()> {
    children::orphan(|| {
        let _ = print_line(&format!("orphan {}", std::process::id()));
        let _ = io::stdin().lock().lines().next();
        0
    })?;
    print_line(&format!("parent {}", std::process::id()))?;
    // SAFETY: pause takes nothing.
    unsafe { libc::pause() };
    Ok(())
}

fn print_line(text: &str) -> io::Result<()> {
    let mut stdout = io::stdout().lock();
    writeln!(stdout, "{text}")?;
    stdout.flush()
}

fn number(text: &str) -> io::Result<i32> {
    text.parse().map_err(|_| io::Error::other(format!("{text}: expected a number")))
}

fn pipe() -> io::Result<(i32, i32)> {
    let mut ends = [0; 2];
    // SAFETY: the array has room for the two descriptors.
    match unsafe { libc::pipe(ends.as_mut_ptr()) } {
        0 => Ok((ends[0], ends[1])),
        _ => Err(io::Error::last_os_error()),
    }
}
