//! Numbers and names as the text of a response, and the characters of a name in a request.

use crate::protocol::percent_encode;

/// Whether `byte` may stand in the name of a method, of a field or of a transfer coding.
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

/// Encodes a path for an URL: all but the unreserved characters of RFC 3986 and the slashes between
/// components, which also leaves nothing that means something in HTML.
pub(super) fn push_url(url: &mut String, path: &[u8]) {
    for &byte in path {
        if byte.is_ascii_alphanumeric() || b"-._~/".contains(&byte) {
            url.push(char::from(byte));
        } else {
            url.extend(percent_encode(byte).map(char::from));
        }
    }
}

/// Shows a name as HTML text. What is no UTF-8, what is invisible and what could change the order
/// of the text around it becomes U+FFFD.
pub(super) fn push_text(html: &mut String, name: &[u8]) {
    for char in String::from_utf8_lossy(name).chars() {
        match char {
            '&' => html.push_str("&amp;"),
            '<' => html.push_str("&lt;"),
            '>' => html.push_str("&gt;"),
            '"' => html.push_str("&quot;"),
            '\'' => html.push_str("&#39;"),
            '\u{61c}'
            | '\u{200b}'
            | '\u{200e}'
            | '\u{200f}'
            | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}'
            | '\u{feff}' => html.push(char::REPLACEMENT_CHARACTER),
            char if char.is_control() => html.push(char::REPLACEMENT_CHARACTER),
            char => html.push(char),
        }
    }
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
