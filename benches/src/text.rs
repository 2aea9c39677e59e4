//! Values as text for people, escaped where it becomes markup, and the machine in a line.

use rustix::termios::tcgetwinsize;
use std::fs;
use std::io::{self, IsTerminal, Write};
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

/// Events per second: `70.2 k/s`.
pub fn rate(per_second: f64) -> String {
    match per_second {
        r if r < 1e3 => format!("{} /s", three_digits(r)),
        r => format!("{} k/s", three_digits(r / 1e3)),
    }
}

/// Nanoseconds as people read them.
pub(crate) fn nanos(value: f64) -> String {
    duration(Duration::from_nanos(value as u64))
}

/// Bytes as people read them: `4.20 MiB`.
pub(crate) fn bytes(value: f64) -> String {
    match value {
        v if v < 1024.0 => format!("{v:.0} B"),
        v if v < 1024.0 * 1024.0 => format!("{} KiB", digits(v / 1024.0)),
        v if v < 1024.0 * 1024.0 * 1024.0 => format!("{} MiB", digits(v / 1024.0 / 1024.0)),
        v => format!("{} GiB", digits(v / 1024.0 / 1024.0 / 1024.0)),
    }
}

/// Three digits that mean something, and never an exponent.
pub(crate) fn digits(value: f64) -> String {
    match value.abs() {
        0.0 => "0".to_owned(),
        v if v < 0.0995 => format!("{value:.3}"),
        v if v < 9.995 => format!("{value:.2}"),
        v if v < 99.95 => format!("{value:.1}"),
        _ => whole(value),
    }
}

/// The same without zeros that say nothing, as it stands on an axis.
pub(crate) fn plain(value: f64) -> String {
    let digits = digits(value);
    match digits.contains('.') {
        true => digits.trim_end_matches('0').trim_end_matches('.').to_owned(),
        false => digits,
    }
}

/// A whole number in groups of three: `1,000`.
pub(crate) fn whole(value: f64) -> String {
    let plain = format!("{:.0}", value.abs());
    let mut grouped = String::new();
    for (at, digit) in plain.chars().enumerate() {
        if at > 0 && (plain.len() - at).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    if value <= -0.5 { format!("-{grouped}") } else { grouped }
}

/// Names in a sentence: `a, b and c`.
pub(crate) fn listed(names: &[impl AsRef<str>]) -> String {
    match names {
        [] => String::new(),
        [one] => one.as_ref().to_owned(),
        [first @ .., last] => {
            let first: Vec<&str> = first.iter().map(AsRef::as_ref).collect();
            format!("{} and {}", first.join(", "), last.as_ref())
        }
    }
}

/// Why the system refused something, without its number: `no such file or directory`.
pub fn error(error: &io::Error) -> String {
    let text = error.to_string();
    match text.split_once(" (os error") {
        Some((text, _)) => text.to_lowercase(),
        None if text == "stream did not contain valid UTF-8" => "it is not UTF-8 text".into(),
        None => text,
    }
}

/// A message without the numbers of errors of the system in it.
pub fn without_numbers(message: &str) -> String {
    let mut parts = message.split(" (os error ");
    let mut plain = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        plain += part.split_once(')').map_or(part, |(_, rest)| rest);
    }
    plain
}

/// Text that cannot be taken for markup, with what no XML may hold taken out.
pub(crate) fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            '\n' | '\t' => escaped.push(' '),
            c if c.is_control() || matches!(c, '\u{fffe}' | '\u{ffff}') => escaped.push('\u{fffd}'),
            c => escaped.push(c),
        }
    }
    escaped
}

fn three_digits(value: f64) -> String {
    match value {
        v if v < 9.995 => format!("{v:.2}"),
        v if v < 99.95 => format!("{v:.1}"),
        v => format!("{v:.0}"),
    }
}

/// How wide the terminal is that standard error goes to; none if it goes elsewhere.
pub fn terminal_width() -> Option<usize> {
    let stderr = io::stderr();
    let width = || tcgetwinsize(&stderr).map_or(80, |size| size.ws_col.into());
    stderr.is_terminal().then(width)
}

/// Shows what is being done, on one line of the terminal; nothing in a pipe.
pub fn progress(what: &str) {
    if let Some(width) = terminal_width() {
        // A line that is broken could not be taken back.
        let fitting: String = what.chars().take(width.saturating_sub(1)).collect();
        let _ = write!(io::stderr(), "\r\x1b[K{fitting}");
    }
}

/// Parses a number of bytes, with a suffix or without: `4096`, `4KiB` or `1M`.
///
/// # Errors
///
/// It is something else.
pub fn parse_size(text: &str) -> Result<u64, String> {
    let suffixes = [
        ("KiB", 1 << 10),
        ("MiB", 1 << 20),
        ("GiB", 1 << 30),
        ("K", 1 << 10),
        ("M", 1 << 20),
        ("G", 1 << 30),
        ("", 1),
    ];
    let (number, unit) = suffixes
        .into_iter()
        .find_map(|(suffix, unit)| text.strip_suffix(suffix).map(|number| (number, unit)))
        .unwrap_or((text, 1));
    let number: Option<u64> = number.parse().ok();
    number
        .and_then(|number| number.checked_mul(unit))
        .ok_or_else(|| format!("{text:?} is not a number of bytes, such as 4096, 4KiB or 1MiB"))
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
    fn values_have_three_digits() {
        assert_eq!(duration(Duration::from_nanos(28_149)), "28.1 µs");
        assert_eq!(duration(Duration::from_micros(999)), "999 µs");
        assert_eq!(duration(Duration::from_millis(1500)), "1.50 s");
        assert_eq!(rate(812.0), "812 /s");
        assert_eq!(rate(70_249.0), "70.2 k/s");
    }

    #[test]
    fn errors_have_no_numbers() {
        let refused = io::Error::from_raw_os_error(111);
        assert_eq!(error(&refused), "connection refused");
        assert_eq!(error(&io::Error::other("No room")), "No room");
        let message = format!("cannot connect: {refused}; later: {refused}.");
        assert_eq!(
            without_numbers(&message),
            "cannot connect: Connection refused; later: Connection refused."
        );
    }

    #[test]
    fn sizes_have_suffixes() {
        assert_eq!(parse_size("4KiB"), Ok(4096));
        assert_eq!(parse_size("7"), Ok(7));
        assert_eq!(parse_size("2M"), Ok(2 << 20));
        assert!(parse_size("4k").is_err() && parse_size("99999999999GiB").is_err());
    }

    #[test]
    fn markup_is_escaped() {
        assert_eq!(escape("<a href='x'>&\"\u{0}"), "&lt;a href=&#39;x&#39;&gt;&amp;&quot;\u{fffd}");
    }
}
