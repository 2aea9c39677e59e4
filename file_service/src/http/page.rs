//! A folder for people and for programs.

use std::borrow::Cow;

use serde::Serialize;

use super::response::Civil;
use crate::protocol::{RelPath, encode_byte, encode_name};
use crate::store::{Entry, Kind};

/// The media type of [`page`].
pub(super) const PAGE_TYPE: &str = "text/html; charset=utf-8";

/// The media type of [`json`].
pub(super) const JSON_TYPE: &str = "application/json";

/// The fields that belong beside a folder in either form: which one it is depends on `Accept`, and
/// nothing a file name could smuggle into the page may run or load.
pub(super) const FOLDER_FIELDS: &[(&str, &str)] = &[
    ("Vary", "Accept"),
    (
        "Content-Security-Policy",
        "default-src 'none'; style-src 'unsafe-inline'; img-src data:; base-uri 'none'; \
         form-action 'none'",
    ),
];

/// The beginning of every page. The empty icon keeps browsers from asking for `/favicon.ico`.
const HEAD: &str = r#"<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<link rel="icon" href="data:,">
<style>
:root { color-scheme: light dark; }
body { font: 1rem/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.3rem; overflow-wrap: anywhere; }
table { width: 100%; border-collapse: collapse; }
th { text-align: left; font-weight: 600; }
th, td { padding: .25rem .5rem; border-bottom: 1px solid #8884; }
td:first-child { overflow-wrap: anywhere; }
.n { text-align: right; white-space: nowrap; font-variant-numeric: tabular-nums; }
a { text-decoration: none; }
a:hover, a:focus { text-decoration: underline; }
</style>
"#;

/// A folder as an HTML page: no script, nothing loaded from elsewhere.
///
/// Links are absolute, so that they hold whether or not the address of the page ends with a slash.
pub(crate) fn page(path: &RelPath, entries: &[Entry]) -> Vec<u8> {
    let mut base = String::from("/");
    if !path.is_root() {
        push_url(&mut base, path.as_bytes());
        base.push('/');
    }
    let mut shown = String::from("/");
    if !path.is_root() {
        push_text(&mut shown, path.as_bytes());
        shown.push('/');
    }

    let mut html = String::with_capacity(HEAD.len() + 512 + 160 * entries.len());
    html.push_str(HEAD);
    for part in ["<title>", &shown, "</title>\n</head>\n<body>\n<h1><bdi>", &shown, "</bdi></h1>\n"]
    {
        html.push_str(part);
    }
    html.push_str("<table>\n<thead><tr><th>Name</th><th class=\"n\">Size</th>");
    html.push_str("<th class=\"n\">Modified (UTC)</th></tr></thead>\n<tbody>\n");
    if let Some((parent, _)) = path.split() {
        html.push_str("<tr><td><a href=\"/");
        if !parent.is_empty() {
            push_url(&mut html, parent);
            html.push('/');
        }
        html.push_str("\">../</a></td><td class=\"n\"></td><td class=\"n\"></td></tr>\n");
    }
    for entry in entries {
        push_row(&mut html, &base, entry);
    }
    html.push_str("</tbody>\n</table>\n");
    if entries.is_empty() {
        html.push_str("<p>This folder is empty.</p>\n");
    }
    html.push_str("</body>\n</html>\n");
    html.into_bytes()
}

fn push_row(html: &mut String, base: &str, entry: &Entry) {
    let (slash, size) = match entry.kind {
        Kind::Directory => ("/", String::new()),
        Kind::File => ("", size(entry.size)),
    };
    html.push_str("<tr><td><a href=\"");
    html.push_str(base);
    push_url(html, &entry.name);
    html.push_str(slash);
    html.push_str("\"><bdi>");
    push_text(html, &entry.name);
    html.push_str("</bdi>");
    html.push_str(slash);
    html.push_str("</a></td><td class=\"n\">");
    html.push_str(&size);
    html.push_str("</td><td class=\"n\">");
    html.push_str(&date(entry.mtime));
    html.push_str("</td></tr>\n");
}

/// Encodes a path for an URL: all but the unreserved characters of RFC 3986 and the slashes between
/// components, which also leaves nothing that means something in HTML.
fn push_url(url: &mut String, path: &[u8]) {
    let mut code = Vec::with_capacity(3);
    for &byte in path {
        if byte.is_ascii_alphanumeric() || b"-._~/".contains(&byte) {
            url.push(char::from(byte));
        } else {
            code.clear();
            encode_byte(byte, &mut code);
            url.extend(code.iter().copied().map(char::from));
        }
    }
}

/// Shows a name as HTML text. What is no UTF-8, what is invisible and what could change the order
/// of the text around it becomes U+FFFD.
fn push_text(html: &mut String, name: &[u8]) {
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

/// `17 B`, `1.5 KiB`, `3.0 GiB`.
fn size(bytes: u64) -> String {
    if bytes < 1024 {
        return format!("{bytes} B");
    }
    let mut value = bytes as f64 / 1024.0;
    let mut unit = 0;
    // Compared as it will be rounded, lest there be a `1024.0 KiB`.
    while value >= 1023.95 {
        value /= 1024.0;
        unit += 1;
    }
    // 2^64 bytes are 16 EiB, so the last letter is always enough.
    let letter = b"KMGTPEZ".get(unit).copied().map_or('?', char::from);
    format!("{value:.1} {letter}iB")
}

fn date(mtime: i64) -> String {
    let Civil { year, month, day, hour, minute, .. } = Civil::from_seconds(mtime);
    format!("{year:04}-{month:02}-{day:02} {hour:02}:{minute:02}")
}

/// A folder as a JSON array of `{"name", "kind", "size", "mtime"}`, in the order of `entries`.
///
/// A JSON string holds only Unicode. A name that is UTF-8 stands as it is; one that is not stands
/// percent-encoded as in the file protocol. A file whose name merely looks so encoded cannot be told
/// apart here: whoever must, asks `LIST`, which encodes every name.
pub(crate) fn json(entries: &[Entry]) -> Vec<u8> {
    #[derive(Serialize)]
    struct Item<'a> {
        name: Cow<'a, str>,
        kind: &'static str,
        size: u64,
        mtime: i64,
    }
    let items = entries.iter().map(|entry| {
        let (kind, size) = match entry.kind {
            Kind::File => ("file", entry.size),
            Kind::Directory => ("directory", 0),
        };
        let name = match std::str::from_utf8(&entry.name) {
            Ok(name) => Cow::Borrowed(name),
            Err(_) => {
                let mut encoded = Vec::with_capacity(3 * entry.name.len());
                encode_name(&entry.name, &mut encoded);
                Cow::Owned(String::from_utf8_lossy(&encoded).into_owned())
            }
        };
        Item { name, kind, size, mtime: entry.mtime }
    });
    let items: Vec<Item<'_>> = items.collect();
    // Strings and integers written to memory cannot fail.
    let mut json = serde_json::to_vec(&items).unwrap_or_default();
    json.push(b'\n');
    json
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn file(name: &[u8]) -> Entry {
        Entry { kind: Kind::File, size: 1536, mtime: 784_111_777, name: name.to_vec() }
    }

    fn folder(name: &[u8]) -> Entry {
        Entry { kind: Kind::Directory, size: 4096, mtime: 0, name: name.to_vec() }
    }

    fn shown(path: &str, entries: &[Entry]) -> String {
        let path = RelPath::decode(path.as_bytes()).unwrap().folder();
        String::from_utf8(page(&path, entries)).unwrap()
    }

    /// The targets of all links in the table.
    fn links(html: &str) -> Vec<&str> {
        html.split("<a href=\"").skip(1).map(|part| part.split('"').next().unwrap()).collect()
    }

    #[test]
    fn a_folder_is_a_table() {
        let html = shown("/d/e", &[file(b"a.txt"), folder(b"sub")]);
        assert_eq!(links(&html), ["/d/", "/d/e/a.txt", "/d/e/sub/"]);
        assert!(html.contains("<title>/d/e/</title>"));
        assert!(html.contains("<bdi>a.txt</bdi></a></td><td class=\"n\">1.5 KiB</td>"));
        assert!(html.contains("1994-11-06 08:49"));
        assert!(html.contains("<bdi>sub</bdi>/</a></td><td class=\"n\"></td>"));
        assert!(html.contains("name=\"viewport\"") && html.contains("color-scheme"));
        assert!(!html.contains("<script") && !html.contains("://"));
        assert!(!html.contains("empty."));
    }

    #[test]
    fn the_root_has_no_parent() {
        let html = shown("/", &[file(b"a")]);
        assert_eq!(links(&html), ["/a"]);
        assert!(html.contains("<title>/</title>"));
        assert_eq!(links(&shown("/d", &[])), ["/"]);
        assert!(shown("/", &[]).contains("This folder is empty."));
    }

    #[test]
    fn names_are_only_names() {
        let html = shown("/%3Cd%3E", &[file(br#"<b a="x'y">&?#%: .txt"#)]);
        assert_eq!(links(&html), ["/", "/%3Cd%3E/%3Cb%20a%3D%22x%27y%22%3E%26%3F%23%25%3A%20.txt"]);
        assert!(html.contains("<bdi>&lt;b a=&quot;x&#39;y&quot;&gt;&amp;?#%: .txt</bdi>"));
        assert!(html.contains("<title>/&lt;d&gt;/</title>"));
        assert!(!html.contains("<b a"));
    }

    #[test]
    fn strange_names_are_shown_harmless() {
        let html = shown("/", &[file("ä\u{202e}txt.exe\u{85}".as_bytes()), file(b"a\xffb\x1b")]);
        assert_eq!(links(&html), ["/%C3%A4%E2%80%AEtxt.exe%C2%85", "/a%FFb%1B"]);
        assert!(html.contains("<bdi>ä\u{fffd}txt.exe\u{fffd}</bdi>"));
        assert!(html.contains("<bdi>a\u{fffd}b\u{fffd}</bdi>"));
    }

    #[test]
    fn sizes_are_short() {
        for (bytes, text) in [
            (0, "0 B"),
            (1023, "1023 B"),
            (1024, "1.0 KiB"),
            (1536, "1.5 KiB"),
            (1024 * 1024 - 1, "1.0 MiB"),
            (1 << 30, "1.0 GiB"),
            (u64::MAX, "16.0 EiB"),
        ] {
            assert_eq!(size(bytes), text);
        }
    }

    #[test]
    fn json_has_four_members() {
        let json = json(&[file(b"a \"b\".txt"), folder("ä".as_bytes()), file(b"50%\xff")]);
        assert_eq!(
            String::from_utf8(json).unwrap(),
            concat!(
                r#"[{"name":"a \"b\".txt","kind":"file","size":1536,"mtime":784111777},"#,
                r#"{"name":"ä","kind":"directory","size":0,"mtime":0},"#,
                r#"{"name":"50%25%FF","kind":"file","size":1536,"mtime":784111777}]"#,
                "\n"
            )
        );
        assert_eq!(super::json(&[]), b"[]\n");
    }

    proptest! {
        #[test]
        fn every_link_leads_to_its_name(name in prop::collection::vec(any::<u8>(), 1..60)) {
            let html = shown("/d", &[file(&name)]);
            let links = links(&html);
            prop_assert_eq!(links.len(), 2);
            prop_assert!(links[1].bytes().all(|b| b.is_ascii_graphic() && !b"\"<>&'?#".contains(&b)));
            if let Ok(path) = RelPath::decode(links[1].as_bytes()).and_then(RelPath::file) {
                prop_assert_eq!(path.as_bytes(), [b"d/", &name[..]].concat());
            }
        }

        #[test]
        fn no_name_breaks_the_page(name in any::<String>(), mtime in any::<i64>(), size in any::<u64>()) {
            let entry = Entry { kind: Kind::File, size, mtime, name: name.into_bytes() };
            let plain = shown("/", &[Entry { name: b"a".to_vec(), kind: Kind::File, ..entry }]);
            let html = shown("/", &[entry]);
            prop_assert_eq!(html.matches('<').count(), plain.matches('<').count());
            prop_assert_eq!(html.matches('"').count(), plain.matches('"').count());
        }

        #[test]
        fn json_is_json(name in prop::collection::vec(any::<u8>(), 1..60), mtime in any::<i64>()) {
            let entry = Entry { kind: Kind::File, size: 1, mtime, name };
            let value: serde_json::Value = serde_json::from_slice(&json(&[entry])).unwrap();
            prop_assert_eq!(value[0]["mtime"].as_i64(), Some(mtime));
        }
    }
}
