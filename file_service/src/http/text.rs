//! Numbers and names as the text of a response, and the characters of a token in a request.

use crate::protocol::percent_encode;
use std::fmt::{Arguments, Write};

/// Whether `byte` may stand in a token: the name of a method, of a field or of a transfer coding.
pub(super) fn is_token_char(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

/// Without the machinery of `format!`, which would be a good part of the cost of a header.
pub(super) fn push_decimal(out: &mut Vec<u8>, number: u64) {
    out.extend_from_slice(itoa::Buffer::new().format(number).as_bytes());
}

/// Writes lower-case hex digits to the start of `out` and returns their number. `out` must have room for
/// 16, or for as many as the number needs.
pub(super) fn push_hex(number: u64, out: &mut [u8]) -> usize {
    let digits = (64 - (number | 1).leading_zeros()).div_ceil(4) as usize;
    for (at, digit) in out[..digits].iter_mut().rev().enumerate() {
        *digit = b"0123456789abcdef"[(number >> (4 * at) & 15) as usize];
    }
    digits
}

/// Ends a field that was begun by hand, or a header.
pub(super) fn end_line(out: &mut Vec<u8>) {
    out.extend_from_slice(b"\r\n");
}

/// One field. Control bytes are dropped from its value, so that none can end the field.
pub(super) fn field(out: &mut Vec<u8>, name: &str, value: &str) {
    out.extend_from_slice(name.as_bytes());
    out.extend_from_slice(b": ");
    out.extend(value.bytes().filter(|byte| !byte.is_ascii_control()));
    end_line(out);
}

/// Appends a name as HTML text, which may stand in an attribute. U+FFFD replaces bytes that are not UTF-8, invisible
/// characters and characters that change the order of the text around them.
pub(super) fn push_text(html: &mut String, name: &[u8]) {
    for char in String::from_utf8_lossy(name).chars() {
        push_char(html, if is_hidden(char) { char::REPLACEMENT_CHARACTER } else { char });
    }
}

/// Appends a name as the content of an HTML element, so that names which differ look different.
///
/// The text is that of [`push_text`]. `<i>`, which the style draws, marks each U+FFFD with what it stands for, and each
/// space that is not a single ASCII space between two other characters.
pub(super) fn push_name(html: &mut String, name: &[u8]) {
    // The ends of a name count as spaces: a space next to them is as hard to see as one of two.
    let mut after_space = true;
    for chunk in name.utf8_chunks() {
        let mut chars = chunk.valid().chars().peekable();
        while let Some(char) = chars.next() {
            let is_space = char.is_whitespace();
            let ends_name = chunk.invalid().is_empty();
            let before_space = chars.peek().map_or(ends_name, |next| next.is_whitespace());
            if is_hidden(char) {
                write_to(html, format_args!("<i data-is=\"U+{:04X}\">\u{fffd}</i>", char as u32));
            } else if is_space && char != ' ' {
                write_to(html, format_args!("<i title=\"U+{:04X}\">{char}</i>", char as u32));
            } else if is_space && (after_space || before_space) {
                html.push_str("<i> </i>");
            } else {
                push_char(html, char);
            }
            after_space = is_space;
        }
        if !chunk.invalid().is_empty() {
            html.push_str("<i data-is=\"");
            html.extend(
                chunk.invalid().iter().flat_map(|&byte| percent_encode(byte)).map(char::from),
            );
            html.push_str("\">\u{fffd}</i>");
            after_space = false;
        }
    }
}

fn push_char(html: &mut String, char: char) {
    match char {
        '&' => html.push_str("&amp;"),
        '<' => html.push_str("&lt;"),
        '>' => html.push_str("&gt;"),
        '"' => html.push_str("&quot;"),
        '\'' => html.push_str("&#39;"),
        char => html.push(char),
    }
}

/// Whether a character is invisible or changes the order of the text around it. Joiners and variation selectors are
/// not counted: scripts and emoji need them.
fn is_hidden(char: char) -> bool {
    char.is_control()
        || matches!(char,
            '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}' | '\u{180e}'
            | '\u{200b}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}'
            | '\u{2800}' | '\u{3164}' | '\u{feff}' | '\u{ffa0}' | '\u{fff9}'..='\u{fffb}'
            | '\u{e0000}'..='\u{e007f}')
}

/// Writing to a `String` cannot fail.
pub(super) fn write_to(text: &mut String, arguments: Arguments<'_>) {
    let _ = text.write_fmt(arguments);
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn hex_equals_that_of_format(number in any::<u64>(), shift in 0..64u32) {
            let number = number >> shift;
            let mut hex = [0; 16];
            let digits = push_hex(number, &mut hex);
            prop_assert_eq!(hex[..digits].to_vec(), format!("{number:x}").into_bytes());
        }
    }
}
