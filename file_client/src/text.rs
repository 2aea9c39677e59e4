//! Names and dates for people.

use file_service::human::UtcDateTime;
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
                c if c.is_control() || is_bidi_control(c) => {
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

fn is_bidi_control(c: char) -> bool {
    matches!(c,
        '\u{061c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// Formats Unix seconds as date and time of day in UTC, marked with the Z of ISO 8601.
pub(crate) fn date(mtime: i64) -> String {
    let UtcDateTime { year, month, day, hour, minute, .. } = UtcDateTime::from_unix(mtime);
    format!("{year:04}-{month:02}-{day:02} {hour:02}:{minute:02}Z")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn control_characters_are_escaped() {
        assert_eq!(printable(b"plain \xc3\xa9 \\ '"), "plain é \\ '");
        assert_eq!(printable(b"\x1b[2J\n\x7f\xff"), "\\x1b[2J\\x0a\\x7f\\xff");
        assert_eq!(printable("a\u{9b}b\u{202e}c".as_bytes()), "a\\u{9b}b\\u{202e}c");
    }

    #[test]
    fn date_is_iso_8601() {
        for (mtime, text) in [
            (0, "1970-01-01 00:00Z"),
            (-1, "1969-12-31 23:59Z"),
            (1_700_000_000, "2023-11-14 22:13Z"),
        ] {
            assert_eq!(date(mtime), text);
        }
        // No moment that a server may claim overflows.
        date(i64::MIN);
        date(i64::MAX);
    }
}
