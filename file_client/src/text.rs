//! Names, sizes and dates for people.

use std::fmt::Write;

/// The text of a name or a message with everything that could steer a terminal escaped: control
/// bytes, bytes that are no UTF-8, and characters that turn the direction of the line.
pub(crate) fn printable(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len());
    for chunk in bytes.utf8_chunks() {
        for c in chunk.valid().chars() {
            match c {
                '\0'..='\x1f' | '\x7f' => {
                    let _ = write!(text, "\\x{:02x}", c as u32);
                }
                c if c.is_control() || turns_the_line(c) => {
                    let _ = write!(text, "{}", c.escape_unicode());
                }
                c => text.push(c),
            }
        }
        for byte in chunk.invalid() {
            let _ = write!(text, "\\x{byte:02x}");
        }
    }
    text
}

fn turns_the_line(c: char) -> bool {
    matches!(c,
        '\u{061c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// A count of bytes in at most four digits and a unit.
pub(crate) fn size(bytes: u64) -> String {
    const UNITS: [&str; 6] = ["KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];
    if bytes < 1024 {
        return format!("{bytes} B");
    }
    let mut value = bytes as f64 / 1024.0;
    let mut unit = 0;
    while value >= 1023.95 && unit + 1 < UNITS.len() {
        value /= 1024.0;
        unit += 1;
    }
    format!("{value:.1} {}", UNITS[unit])
}

/// A moment in Unix seconds as date and time of day in UTC, marked with the Z of ISO 8601.
pub(crate) fn date(mtime: i64) -> String {
    let (days, seconds) = (mtime.div_euclid(86_400), mtime.rem_euclid(86_400));
    let (year, month, day) = civil(days);
    let (hour, minute) = (seconds / 3600, seconds / 60 % 60);
    format!("{year:04}-{month:02}-{day:02} {hour:02}:{minute:02}Z")
}

/// The Gregorian date of a day counted from 1970-01-01, by Howard Hinnant's `civil_from_days`:
/// years begin in March, so that the leap day comes last.
fn civil(days: i64) -> (i64, i64, i64) {
    let days = days + 719_468;
    let era = days.div_euclid(146_097);
    let day_of_era = days.rem_euclid(146_097);
    let year_of_era =
        (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let march_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * march_month + 2) / 5 + 1;
    let month = if march_month < 10 { march_month + 3 } else { march_month - 9 };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    (year, month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_steers_the_terminal() {
        assert_eq!(printable(b"plain \xc3\xa9 \\ '"), "plain é \\ '");
        assert_eq!(printable(b"\x1b[2J\n\x7f\xff"), "\\x1b[2J\\x0a\\x7f\\xff");
        assert_eq!(printable("a\u{9b}b\u{202e}c".as_bytes()), "a\\u{9b}b\\u{202e}c");
    }

    #[test]
    fn sizes() {
        for (bytes, text) in [
            (0, "0 B"),
            (1023, "1023 B"),
            (1024, "1.0 KiB"),
            (1536, "1.5 KiB"),
            (1024 * 1024 - 1, "1.0 MiB"),
            (5 << 30, "5.0 GiB"),
            (u64::MAX, "16.0 EiB"),
        ] {
            assert_eq!(size(bytes), text);
        }
    }

    #[test]
    fn dates() {
        for (mtime, text) in [
            (0, "1970-01-01 00:00Z"),
            (-1, "1969-12-31 23:59Z"),
            (951_782_400, "2000-02-29 00:00Z"),
            (1_700_000_000, "2023-11-14 22:13Z"),
            (4_107_542_399, "2100-02-28 23:59Z"),
            (4_107_542_400, "2100-03-01 00:00Z"),
        ] {
            assert_eq!(date(mtime), text);
        }
        // No moment that a server may claim overflows.
        date(i64::MIN);
        date(i64::MAX);
    }
}
