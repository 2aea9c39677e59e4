//! Reads what `/proc` knows of a process.
//!
//! Processes come and go while they are read: one that is gone has no figures.

use std::fs::File;
use std::io::{self, Read};
use std::time::Duration;

/// Kernel memory that every thread has for its stack, on the usual architectures.
pub(crate) const KERNEL_STACK: u64 = 16 * 1024;

/// Figures that add up, of one process or of many. Times are in clock ticks.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Usage {
    pub(crate) user: u64,
    pub(crate) system: u64,
    pub(crate) faults: u64,
}

impl Usage {
    pub(crate) fn plus(self, other: Usage) -> Usage {
        Usage {
            user: self.user + other.user,
            system: self.system + other.system,
            faults: self.faults + other.faults,
        }
    }

    /// What is in `self` and not in `other`; no figure is below 0.
    pub(crate) fn minus(self, other: Usage) -> Usage {
        Usage {
            user: self.user.saturating_sub(other.user),
            system: self.system.saturating_sub(other.system),
            faults: self.faults.saturating_sub(other.faults),
        }
    }

    /// The greater of the two, figure by figure.
    pub(crate) fn max(self, other: Usage) -> Usage {
        Usage {
            user: self.user.max(other.user),
            system: self.system.max(other.system),
            faults: self.faults.max(other.faults),
        }
    }
}

/// Clock ticks per second.
pub(crate) fn ticks_per_second() -> f64 {
    rustix::param::clock_ticks_per_second() as f64
}

/// The fields of `/proc/PID/stat` that are wanted here.
#[derive(Clone, Debug)]
pub(crate) struct Stat {
    pub(crate) pid: i32,
    pub(crate) name: Vec<u8>,
    pub(crate) zombie: bool,
    pub(crate) parent: i32,
    pub(crate) group: i32,
    /// Of the process itself.
    pub(crate) own: Usage,
    /// Of the children that it has waited for.
    pub(crate) reaped: Usage,
    pub(crate) threads: u64,
    pub(crate) start: u64,
    /// In pages.
    pub(crate) resident: u64,
}

impl Stat {
    /// Reads the fields of a process; `buffer` is for the text.
    pub(crate) fn read(pid: i32, buffer: &mut Vec<u8>) -> io::Result<Stat> {
        read(&format!("/proc/{pid}/stat"), buffer)?;
        Stat::parse(buffer).ok_or_else(|| io::Error::other("/proc is not as expected"))
    }

    fn parse(text: &[u8]) -> Option<Stat> {
        // The name is in parentheses and may hold anything, parentheses too; field 3 comes after it.
        let (open, close) =
            (text.iter().position(|&b| b == b'(')?, text.iter().rposition(|&b| b == b')')?);
        let pid = std::str::from_utf8(&text[..open]).ok()?.trim().parse().ok()?;
        let rest = std::str::from_utf8(&text[close + 1..]).ok()?;
        let mut fields = [""; 22];
        for (field, word) in fields.iter_mut().zip(rest.split_ascii_whitespace()) {
            *field = word;
        }
        let field = |number: usize| fields[number - 3];
        let number = |at: usize| field(at).parse::<u64>().ok();
        Some(Stat {
            pid,
            name: text[open + 1..close].to_vec(),
            zombie: matches!(field(3), "Z" | "X"),
            parent: field(4).parse().ok()?,
            group: field(5).parse().ok()?,
            own: Usage { user: number(14)?, system: number(15)?, faults: number(10)? },
            reaped: Usage { user: number(16)?, system: number(17)?, faults: number(11)? },
            threads: number(20)?,
            start: number(22)?,
            resident: number(24)?,
        })
    }
}

/// The numbers of all processes.
pub(crate) fn pids() -> impl Iterator<Item = i32> {
    let entries = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok())
}

/// The CPU time of a thread and the time that it was ready and had no core, as the scheduler counts them.
/// `directory` is that of the thread.
pub(crate) fn schedule_times(
    directory: &str,
    buffer: &mut Vec<u8>,
) -> Option<(Duration, Duration)> {
    read(&format!("{directory}/schedstat"), buffer).ok()?;
    let mut times = std::str::from_utf8(buffer).ok()?.split_whitespace();
    let mut time = || Some(Duration::from_nanos(times.next()?.parse().ok()?));
    Some((time()?, time()?))
}

/// Reads a small file whole, into a buffer that is used again.
pub(crate) fn read(path: &str, buffer: &mut Vec<u8>) -> io::Result<()> {
    buffer.clear();
    File::open(path)?.read_to_end(buffer).map(drop)
}

/// The number after `name`, which begins with the end of the line before.
pub(crate) fn number_after(text: &[u8], name: &[u8]) -> Option<u64> {
    let at = text.windows(name.len()).position(|window| window == name)? + name.len();
    let digits = text[at..].iter().copied().skip_while(|byte| !byte.is_ascii_digit());
    let number = digits.take_while(u8::is_ascii_digit);
    Some(number.fold(0, |sum, digit| sum * 10 + u64::from(digit - b'0')))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn process_name_may_contain_parentheses() {
        let text = b"12 (a) b (c) S 3 4 4 0 -1 0 5 6 0 0 7 8 9 10 20 0 11 0 12 4096 13 0";
        let stat = Stat::parse(text).unwrap();
        assert_eq!((stat.pid, stat.name.as_slice(), stat.parent), (12, &b"a) b (c"[..], 3));
        assert_eq!(stat.own, Usage { user: 7, system: 8, faults: 5 });
        assert_eq!(stat.reaped, Usage { user: 9, system: 10, faults: 6 });
        assert_eq!((stat.threads, stat.start, stat.resident), (11, 12, 13));
        assert!(Stat::parse(b"").is_none());
    }
}
