//! Lines into words, as a shell does it: spaces part words, quotes and backslashes keep them
//! together. Nothing is expanded.

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;

/// A word and where it begins in its line.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Word {
    /// The offset of its first byte, the opening quote included.
    pub(crate) start: usize,
    /// What it says, quotes and backslashes resolved.
    pub(crate) text: Vec<u8>,
    /// Whether it has a quote anywhere.
    pub(crate) quoted: bool,
}

/// The words of a complete line; `None` if a quote is left open or nothing follows a backslash.
pub(crate) fn split(line: &[u8]) -> Option<Vec<OsString>> {
    let (words, complete) = scan(line);
    let words = words.into_iter().map(|word| OsString::from_vec(word.text)).collect();
    complete.then_some(words)
}

/// The words of a line that is still being typed; the last one is the word under the cursor,
/// empty after a space.
pub(crate) fn typed(line: &str) -> Vec<Word> {
    let (mut words, complete) = scan(line.as_bytes());
    if complete && (line.is_empty() || line.ends_with(is_space_char)) && !ends_in_word(line, &words)
    {
        words.push(Word { start: line.len(), text: Vec::new(), quoted: false });
    }
    words
}

/// `name` as one word. `force` asks for quotes where none are needed; `open` leaves them open, for
/// a name that will be typed on.
pub(crate) fn quote(name: &str, force: bool, open: bool) -> String {
    if !force && !needs_quotes(name) {
        return name.to_string();
    }
    let inside = name.replace('\'', r"'\''");
    format!("'{inside}{}", if open { "" } else { "'" })
}

/// Whether the name, typed plain, would be read as something else.
pub(crate) fn needs_quotes(name: &str) -> bool {
    name.is_empty()
        || name.starts_with('#')
        || name.contains([' ', '\t', '\'', '"', '\\', '*', '?', '['])
}

/// Splits as far as the line goes; the flag tells whether every quote was closed.
fn scan(line: &[u8]) -> (Vec<Word>, bool) {
    let mut words = Vec::new();
    let mut word: Option<Word> = None;
    let mut quote = None;
    let mut bytes = line.iter().copied().enumerate();
    while let Some((at, byte)) = bytes.next() {
        if quote.is_none() && is_space(byte) {
            words.extend(word.take());
            continue;
        }
        let word = word.get_or_insert(Word { start: at, text: Vec::new(), quoted: false });
        match (byte, quote) {
            (b'\'' | b'"', None) => {
                quote = Some(byte);
                word.quoted = true;
            }
            (byte, Some(open)) if byte == open => quote = None,
            (b'\\', None) => match bytes.next() {
                Some((_, escaped)) => word.text.push(escaped),
                None => quote = Some(b'\\'),
            },
            (b'\\', Some(b'"')) => match bytes.next() {
                Some((_, escaped @ (b'"' | b'\\'))) => word.text.push(escaped),
                Some((_, plain)) => word.text.extend([b'\\', plain]),
                None => {}
            },
            (byte, _) => word.text.push(byte),
        }
    }
    words.extend(word);
    (words, quote.is_none())
}

/// Whether the last word reaches to the end of the line: a trailing space may be escaped.
fn ends_in_word(line: &str, words: &[Word]) -> bool {
    // One more letter joins that word, or begins its own.
    scan(format!("{line}x").as_bytes()).0.len() == words.len()
}

fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\r' | b'\n')
}

fn is_space_char(c: char) -> bool {
    u8::try_from(c).is_ok_and(is_space)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_into_words() {
        for (line, words) in [
            ("", &[][..]),
            ("  get\ta  b ", &["get", "a", "b"]),
            ("get 'a b' \"c d\"", &["get", "a b", "c d"]),
            (r#"a\ b "q\"\\\x" 'q\'"#, &["a b", r#"q"\\x"#, r"q\"]),
            ("x'y z'w ''", &["xy zw", ""]),
            (r"'it'\''s'", &["it's"]),
            ("é 'ü ö'", &["é", "ü ö"]),
        ] {
            let expected: Vec<OsString> = words.iter().map(OsString::from).collect();
            assert_eq!(split(line.as_bytes()), Some(expected), "{line}");
        }
        for open in ["'a", "\"a", "a\\", "a 'b' \"", "\"a\\\""] {
            assert_eq!(split(open.as_bytes()), None, "{open}");
        }
    }

    #[test]
    fn split_undoes_quoting() {
        for name in ["a", "a b", "it's", "a\"b", "a\\b", "*", "#x", "", "é ü", "'"] {
            for force in [false, true] {
                let line = quote(name, force, false);
                assert_eq!(split(line.as_bytes()), Some(vec![name.into()]), "{line}");
            }
        }
        assert_eq!(quote("a b/", false, true), "'a b/");
    }

    #[test]
    fn typed_word_is_under_the_cursor() {
        for (line, count, start, text, quoted) in [
            ("", 1, 0, "", false),
            ("ge", 1, 0, "ge", false),
            ("get ", 2, 4, "", false),
            ("get a", 2, 4, "a", false),
            ("get 'a b", 2, 4, "a b", true),
            ("get 'a ", 2, 4, "a ", true),
            (r"get a\ ", 2, 4, "a ", false),
            ("get 'a b' ", 3, 10, "", false),
        ] {
            let words = typed(line);
            let last = Word { start, text: text.into(), quoted };
            assert_eq!((words.len(), words.last()), (count, Some(&last)), "{line}");
        }
    }
}
