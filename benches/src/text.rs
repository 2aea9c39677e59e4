//! Figures as people read them, and the words about the machine that belong beside them.

use rustix::termios::tcgetwinsize;
use std::fs;
use std::io::{self, IsTerminal};
use std::time::Duration;

/// A duration with three digits: `28.1 µs`.
pub fn duration(duration: Duration) -> String {
    let seconds = duration.as_secs_f64();
    match seconds {
        s if s < 1e-3 => format!("{} µs", three_digits(s * 1e6)),
        s if s < 1.0 => format!("{} ms", three_digits(s * 1e3)),
        s => format!("{} s", three_digits(s)),
    }
}

/// Bytes per second: `3.41 GB/s`.
pub fn byte_rate(per_second: f64) -> String {
    match per_second {
        r if r < 1e6 => format!("{} kB/s", three_digits(r / 1e3)),
        r if r < 1e9 => format!("{} MB/s", three_digits(r / 1e6)),
        r => format!("{} GB/s", three_digits(r / 1e9)),
    }
}

/// Events per second: `70.2 k/s`.
pub fn rate(per_second: f64) -> String {
    match per_second {
        r if r < 1e3 => format!("{} /s", three_digits(r)),
        r => format!("{} k/s", three_digits(r / 1e3)),
    }
}

fn three_digits(value: f64) -> String {
    match value {
        v if v < 9.995 => format!("{v:.2}"),
        v if v < 99.95 => format!("{v:.1}"),
        v => format!("{v:.0}"),
    }
}

/// The value in the middle; of an even number of values the mean of the two. NaN of none.
pub fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    match sorted.len() {
        0 => f64::NAN,
        n if n % 2 == 1 => sorted[n / 2],
        n => f64::midpoint(sorted[n / 2 - 1], sorted[n / 2]),
    }
}

/// How wide the terminal is that standard error goes to; none if it goes elsewhere.
pub fn terminal_width() -> Option<usize> {
    let stderr = io::stderr();
    let width = || tcgetwinsize(&stderr).map_or(80, |size| size.ws_col.into());
    stderr.is_terminal().then(width)
}

/// The machine in a line: processor, cores, kernel.
pub fn machine() -> String {
    let cpu = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = cpu
        .lines()
        .find_map(|line| line.strip_prefix("model name")?.split_once(": "))
        .map_or("unknown processor", |(_, model)| model);
    let cores = cpu.lines().filter(|line| line.starts_with("processor")).count();
    let system = rustix::system::uname();
    format!("{model}, {cores} cores, Linux {}", system.release().to_string_lossy())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn three_digits_each() {
        assert_eq!(duration(Duration::from_nanos(28_149)), "28.1 µs");
        assert_eq!(duration(Duration::from_micros(999)), "999 µs");
        assert_eq!(duration(Duration::from_millis(1500)), "1.50 s");
        assert_eq!(byte_rate(3.406e9), "3.41 GB/s");
        assert_eq!(rate(812.0), "812 /s");
        assert_eq!(rate(70_249.0), "70.2 k/s");
    }

    #[test]
    fn the_middle() {
        assert_eq!(median(&[3.0, 1.0, 2.0]), 2.0);
        assert_eq!(median(&[4.0, 1.0, 2.0, 3.0]), 2.5);
        assert!(median(&[]).is_nan());
    }
}
