//! A folder for people and for programs.
//!
//! The page is `page.html`, a whole document with its style and its script, and marks such as `{{rows}}`
//! where the folder goes. It works without the script for everything but uploads, and loads nothing.

use std::borrow::Cow;
use std::cmp::Ordering;
use std::fmt::Write;
use std::sync::LazyLock;

use serde::Serialize;
use sha2::{Digest, Sha256};

use super::request::{Sort, View};
use super::response::Civil;
use crate::protocol::{RelPath, encode_byte, encode_name};
use crate::service::{Model, Service};
use crate::store::{Entry, Kind};

/// The media type of [`page`].
pub(super) const PAGE_TYPE: &str = "text/html; charset=utf-8";

/// The media type of [`json`].
pub(super) const JSON_TYPE: &str = "application/json";

/// The page, with marks for what changes.
const TEMPLATE: &str = include_str!("page.html");

/// What the page may do: run its own script and wear its own style, which are known by their hashes, and
/// talk to this server. Whatever a file name could smuggle into it is neither.
pub(super) static PAGE_POLICY: LazyLock<String> = LazyLock::new(|| {
    format!(
        "default-src 'none'; script-src '{}'; style-src '{}'; img-src data:; connect-src 'self'; \
         base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
        source_hash(between(TEMPLATE, "<script>", "</script>")),
        source_hash(between(TEMPLATE, "<style>", "</style>")),
    )
});

/// What is the same in the pages of all folders of a server.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Server<'a> {
    /// Who serves, if anybody does.
    model: Option<&'a Model>,
    /// The largest upload in bytes; none where uploads are not taken.
    upload_limit: Option<u64>,
}

impl Server<'_> {
    /// What the page shows of `service`.
    pub(crate) fn of(service: &Service) -> Server<'_> {
        let settings = service.settings();
        Server {
            model: settings.model.as_ref(),
            upload_limit: service.store().is_writable().then_some(settings.max_file_size),
        }
    }
}

/// A folder as an HTML page.
///
/// Links to entries are absolute, so that they hold whether or not the address of the page ends with a
/// slash.
pub(crate) fn page(
    path: &RelPath,
    mut entries: Vec<Entry>,
    view: View,
    server: Server<'_>,
) -> Vec<u8> {
    sort(&mut entries, view);
    let mut base = String::from("/");
    if !path.is_root() {
        push_url(&mut base, path.as_bytes());
        base.push('/');
    }
    let query = query(view);
    // A row's markup, a time, and a name that stands in it three times.
    let names: usize = entries.iter().map(|entry| 4 * entry.name.len() + 2 * base.len()).sum();
    let mut html = String::with_capacity(TEMPLATE.len() + 1024 + 280 * entries.len() + names);
    fill(TEMPLATE, &mut html, |mark, html| match mark {
        "path" => {
            html.push('/');
            if !path.is_root() {
                push_text(html, path.as_bytes());
                html.push('/');
            }
        }
        "crumbs" => push_crumbs(html, path, query),
        "model" => {
            if let Some(Model { name, unit, .. }) = server.model {
                html.push_str("<p id=\"model\"><span>served by </span><b>");
                push_text(html, name.as_bytes());
                html.push_str("</b><span>, ");
                push_text(html, unit.as_bytes());
                html.push_str("</span></p>");
            }
        }
        "upload" => {
            if let Some(limit) = server.upload_limit {
                write_to(html, format_args!(" data-to=\"{base}\" data-most=\"{limit}\""));
            }
        }
        "summary" => html.push_str(&summary(&entries)),
        "columns" => push_columns(html, view),
        "rows" => {
            if let Some((parent, _)) = path.split() {
                html.push_str("<tr class=\"up\"><th scope=\"row\"><a href=\"/");
                if !parent.is_empty() {
                    push_url(html, parent);
                    html.push('/');
                }
                html.push_str(query);
                html.push_str("\">Parent folder</a></th><td></td><td></td><td></td></tr>\n");
            }
            for entry in &entries {
                push_row(html, &base, query, entry);
            }
        }
        "empty" if entries.is_empty() => {
            html.push_str("<p class=\"none\">This folder is empty.</p>\n");
        }
        _ => {}
    });
    html.into_bytes()
}

/// Folders first, then by what is asked for, and among equals by name.
fn sort(entries: &mut [Entry], view: View) {
    entries.sort_by(|a, b| {
        let folders_first = (a.kind == Kind::File).cmp(&(b.kind == Kind::File));
        let wanted = match view.sort {
            Sort::Name => natural(&a.name, &b.name),
            Sort::Size => a.size.cmp(&b.size),
            Sort::Date => a.mtime.cmp(&b.mtime),
        };
        let wanted = if view.descending { wanted.reverse() } else { wanted };
        folders_first.then(wanted).then_with(|| natural(&a.name, &b.name))
    });
}

/// Names as people order them: without regard to case, and numbers in them as numbers. The bytes decide
/// between what is the same in this way.
fn natural(a: &[u8], b: &[u8]) -> Ordering {
    let (text_a, text_b) = (String::from_utf8_lossy(a), String::from_utf8_lossy(b));
    let (mut left, mut right) = (&*text_a, &*text_b);
    loop {
        let (number_a, number_b) = (take_number(&mut left), take_number(&mut right));
        // Without leading zeros the longer number is the larger one.
        let order = number_a.len().cmp(&number_b.len()).then_with(|| number_a.cmp(number_b));
        if order.is_ne() && !number_a.is_empty() && !number_b.is_empty() {
            return order;
        }
        if number_a.is_empty() != number_b.is_empty() {
            // A digit against another character, or against the end.
            let other = if number_a.is_empty() { left } else { right };
            let digit_first = other.chars().next().map_or(Ordering::Greater, |c| '0'.cmp(&c));
            let order = if number_a.is_empty() { digit_first.reverse() } else { digit_first };
            return order.then_with(|| a.cmp(b));
        }
        match (left.chars().next(), right.chars().next()) {
            (None, None) => return a.cmp(b),
            (None, _) => return Ordering::Less,
            (_, None) => return Ordering::Greater,
            (Some(c), Some(d)) => {
                let order = c.to_lowercase().cmp(d.to_lowercase());
                if order.is_ne() {
                    return order;
                }
                (left, right) = (&left[c.len_utf8()..], &right[d.len_utf8()..]);
            }
        }
    }
}

/// Takes the digits at the beginning of `text`, and gives them without leading zeros: `0` for nothing but
/// zeros, nothing where there is no digit.
fn take_number<'a>(text: &mut &'a str) -> &'a str {
    let end = text.bytes().position(|b| !b.is_ascii_digit()).unwrap_or(text.len());
    let (digits, rest) = text.split_at(end);
    *text = rest;
    match digits.trim_start_matches('0') {
        "" => &digits[..digits.len().min(1)],
        number => number,
    }
}

/// What a link to another folder carries along, so that it is sorted likewise; ready for an attribute.
fn query(view: View) -> &'static str {
    match (view.sort, view.descending) {
        (Sort::Name, false) => "",
        (Sort::Name, true) => "?sort=name&amp;order=desc",
        (Sort::Size, false) => "?sort=size&amp;order=asc",
        (Sort::Size, true) => "?sort=size&amp;order=desc",
        (Sort::Date, false) => "?sort=date&amp;order=asc",
        (Sort::Date, true) => "?sort=date&amp;order=desc",
    }
}

/// The way from the root to the folder: links to all but the last.
fn push_crumbs(html: &mut String, path: &RelPath, query: &str) {
    const ROOT: &[u8] = b"Files";
    let path = path.as_bytes();
    let ends = path.iter().enumerate().filter(|(_, b)| **b == b'/').map(|(at, _)| at);
    let mut start = 0;
    let mut name = ROOT;
    // A component ends where the next one begins, and the root before the first.
    let parents = (!path.is_empty()).then_some(0).into_iter().chain(ends);
    for end in parents {
        let parent = &path[..end];
        html.push_str("<li><a href=\"/");
        if end > 0 {
            name = &path[start..end];
            start = end + 1;
            push_url(html, parent);
            html.push('/');
        }
        html.push_str(query);
        html.push_str("\"><bdi>");
        push_text(html, name);
        html.push_str("</bdi></a></li>");
    }
    html.push_str("<li aria-current=\"page\"><bdi>");
    push_text(html, if path.is_empty() { ROOT } else { &path[start..] });
    html.push_str("</bdi></li>");
}

/// The heads of the columns; a link sorts by its column, and the other way round if it is so already.
fn push_columns(html: &mut String, view: View) {
    for (sort, key, title, descends) in [
        (Sort::Name, "name", "Name", false),
        // Who asks for these wants the largest and the latest.
        (Sort::Size, "size", "Size", true),
        (Sort::Date, "date", "Modified<span id=\"zone\"> (UTC)</span>", true),
    ] {
        let (is_current, next_descends) = match view.sort == sort {
            true => (true, !view.descending),
            false => (false, descends),
        };
        html.push_str("<th scope=\"col\"");
        if is_current {
            let word = if view.descending { "descending" } else { "ascending" };
            write_to(html, format_args!(" aria-sort=\"{word}\""));
        }
        let order = if next_descends { "desc" } else { "asc" };
        write_to(html, format_args!("><a href=\"?sort={key}&amp;order={order}\">{title}</a></th>"));
    }
}

fn push_row(html: &mut String, base: &str, query: &str, entry: &Entry) {
    let is_folder = entry.kind == Kind::Directory;
    html.push_str(if is_folder { "<tr class=\"d\">" } else { "<tr>" });
    html.push_str("<th scope=\"row\"><a href=\"");
    html.push_str(base);
    push_url(html, &entry.name);
    if is_folder {
        html.push('/');
        html.push_str(query);
    }
    html.push_str("\"><bdi>");
    push_text(html, &entry.name);
    html.push_str("</bdi></a></th>");
    if is_folder {
        html.push_str("<td></td>");
    } else {
        html.push_str("<td title=\"");
        html.push_str(&exact(entry.size));
        html.push_str("\">");
        html.push_str(&size(entry.size));
        html.push_str("</td>");
    }
    let Civil { year, month, day, hour, minute, second, .. } = Civil::from_seconds(entry.mtime);
    write_to(
        html,
        format_args!(
            "<td><time datetime=\"{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z\">\
             {year:04}-{month:02}-{day:02} {hour:02}:{minute:02}</time></td><td>"
        ),
    );
    if !is_folder {
        html.push_str("<a class=\"get\" href=\"");
        html.push_str(base);
        push_url(html, &entry.name);
        html.push_str("?download\" download aria-label=\"Download ");
        push_text(html, &entry.name);
        html.push_str("\"></a>");
    }
    html.push_str("</td></tr>\n");
}

/// `3 folders, 1 file, 4.5 MiB`.
fn summary(entries: &[Entry]) -> String {
    let folders = entries.iter().filter(|entry| entry.kind == Kind::Directory).count();
    let files = entries.len() - folders;
    let bytes = entries.iter().fold(0u64, |sum, entry| sum.saturating_add(entry.size));
    let counted = |count: usize, what: &str| {
        format!("{} {what}{}", grouped(count as u64), if count == 1 { "" } else { "s" })
    };
    match (folders, files) {
        (0, 0) => counted(0, "file"),
        (_, 0) => counted(folders, "folder"),
        (0, _) => format!("{}, {}", counted(files, "file"), size(bytes)),
        _ => format!("{}, {}, {}", counted(folders, "folder"), counted(files, "file"), size(bytes)),
    }
}

/// Copies `template`, and calls `put` with the name of each `{{mark}}` for what stands in its place.
fn fill(template: &str, out: &mut String, mut put: impl FnMut(&str, &mut String)) {
    let mut parts = template.split("{{");
    out.push_str(parts.next().unwrap_or_default());
    for part in parts {
        let (mark, text) = part.split_once("}}").unwrap_or((part, ""));
        put(mark, out);
        out.push_str(text);
    }
}

/// What stands between two tags; nothing where they are missing.
fn between<'a>(text: &'a str, start: &str, end: &str) -> &'a str {
    let inner = text.split_once(start).and_then(|(_, rest)| rest.split_once(end));
    inner.map_or("", |(inner, _)| inner)
}

/// The hash by which a content security policy knows a script or a style.
fn source_hash(source: &str) -> String {
    format!("sha256-{}", base64(&Sha256::digest(source)))
}

/// RFC 4648, section 4.
fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for chunk in bytes.chunks(3) {
        let at = |place: usize| u32::from(chunk.get(place).copied().unwrap_or(0));
        let group = at(0) << 16 | at(1) << 8 | at(2);
        for place in 0..4 {
            if place <= chunk.len() {
                text.push(char::from(DIGITS[(group >> (18 - 6 * place) & 63) as usize]));
            } else {
                text.push('=');
            }
        }
    }
    text
}

/// Writing to a `String` cannot fail.
fn write_to(html: &mut String, text: std::fmt::Arguments<'_>) {
    let _ = html.write_fmt(text);
}

/// Encodes a path for an URL: all but the unreserved characters of RFC 3986 and the slashes between
/// components, which also leaves nothing that means something in HTML.
pub(super) fn push_url(url: &mut String, path: &[u8]) {
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

/// `1,536 bytes`, for who wants to know.
fn exact(bytes: u64) -> String {
    format!("{} byte{}", grouped(bytes), if bytes == 1 { "" } else { "s" })
}

/// `1,234,567`.
fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
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
        Entry { kind: Kind::Directory, size: 0, mtime: 0, name: name.to_vec() }
    }

    const MODEL: Model =
        Model { name: "a_server", unit: "a <unit> per client", strength: "", weakness: "" };
    const SERVER: Server<'_> = Server { model: Some(&MODEL), upload_limit: Some(1 << 20) };

    fn viewed(path: &str, entries: &[Entry], view: View, server: Server<'_>) -> String {
        let path = RelPath::decode(path.as_bytes()).unwrap().folder();
        String::from_utf8(page(&path, entries.to_vec(), view, server)).unwrap()
    }

    fn shown(path: &str, entries: &[Entry]) -> String {
        viewed(path, entries, View::default(), SERVER)
    }

    /// What changes from page to page: all but style and script.
    fn markup(html: &str) -> String {
        html.replace(between(html, "<style>", "</style>"), "")
            .replace(between(html, "<script>", "</script>"), "")
    }

    /// The targets of the links to entries.
    fn links(html: &str) -> Vec<&str> {
        let rows = between(html, "<tbody>", "</tbody>");
        rows.split("<a href=\"").skip(1).map(|part| part.split('"').next().unwrap()).collect()
    }

    /// The names in the order of the page.
    fn names(html: &str) -> Vec<&str> {
        let rows = between(html, "<tbody>", "</tbody>");
        rows.split("<bdi>").skip(1).map(|part| part.split("</bdi>").next().unwrap()).collect()
    }

    #[test]
    fn a_folder_is_a_table() {
        let html = shown("/d/e", &[file(b"a.txt"), folder(b"sub")]);
        assert_eq!(links(&html), ["/d/", "/d/e/sub/", "/d/e/a.txt"]);
        assert!(html.contains("<title>/d/e/</title>"));
        assert!(html.contains("<caption>1 folder, 1 file, 1.5 KiB</caption>"));
        assert!(html.contains("<bdi>a.txt</bdi></a></th><td title=\"1,536 bytes\">1.5 KiB</td>"));
        let time = "<time datetime=\"1994-11-06T08:49:37Z\">1994-11-06 08:49</time>";
        assert!(html.contains(time), "{html}");
        let link =
            "<a class=\"get\" href=\"/d/e/a.txt?download\" download aria-label=\"Download a.txt\">";
        assert!(html.contains(link), "{html}");
        assert!(
            html.contains("<tr class=\"d\"><th scope=\"row\"><a href=\"/d/e/sub/\"><bdi>sub</bdi>")
        );
        assert!(html.contains("name=\"viewport\"") && html.contains("color-scheme"));
        assert!(!html.contains("empty."));
    }

    #[test]
    fn nothing_is_loaded_from_elsewhere() {
        // The name of SVG's namespace is no address.
        let known = "xmlns='http://www.w3.org/2000/svg'";
        let rest = TEMPLATE.replace(known, "");
        assert!(!rest.contains("://"), "an address in the page");
        for foreign in
            ["@import", " src=", "<link rel=\"stylesheet", "<form", "<iframe", "innerHTML"]
        {
            assert!(!TEMPLATE.contains(foreign), "{foreign}");
        }
        // The policy allows neither of these.
        assert!(!markup(TEMPLATE).contains(" style=") && !markup(TEMPLATE).contains(" onclick="));
    }

    #[test]
    fn the_template_is_whole() {
        for mark in ["path", "crumbs", "model", "upload", "summary", "columns", "rows", "empty"] {
            assert!(TEMPLATE.contains(&format!("{{{{{mark}}}}}")), "{mark}");
        }
        assert_eq!(TEMPLATE.matches("{{").count(), 9);
        for tag in ["<script>", "</script>", "<style>", "</style>"] {
            assert_eq!(TEMPLATE.matches(tag).count(), 1, "{tag}");
        }
        // Their hashes must not change from page to page.
        let (script, style) =
            (between(TEMPLATE, "<script>", "</script>"), between(TEMPLATE, "<style>", "</style>"));
        assert!(!script.contains("{{") && !style.contains("{{"));
        let html = shown("/d", &[file(b"a"), file(b"{{rows}}"), file(b"</script><script>")]);
        assert_eq!(between(&html, "<script>", "</script>"), script);
        assert_eq!(between(&html, "<style>", "</style>"), style);
        assert!(!markup(&html).contains("{{path") && names(&html).contains(&"{{rows}}"));
        for source in [script, style] {
            assert!(PAGE_POLICY.contains(&source_hash(source)));
        }
        assert!(!PAGE_POLICY.contains("unsafe"));
    }

    #[test]
    fn marks_are_filled() {
        let filled = |template: &str| {
            let mut out = String::new();
            fill(template, &mut out, |mark, out| out.push_str(&mark.to_uppercase()));
            out
        };
        for (template, text) in
            [("", ""), ("a", "a"), ("{{a}}", "A"), ("x{{a}}y{{b}}z", "xAyBz"), ("{a}}}", "{a}}}")]
        {
            assert_eq!(filled(template), text);
        }
    }

    #[test]
    fn the_way_to_the_root_is_shown() {
        let crumbs = |path: &str, view: View| {
            between(&viewed(path, &[], view, SERVER), "<ol>", "</ol>").to_owned()
        };
        let plain = View::default();
        assert_eq!(crumbs("/", plain), "<li aria-current=\"page\"><bdi>Files</bdi></li>");
        assert_eq!(
            crumbs("/d%20d/e/f", View { descending: true, ..plain }),
            concat!(
                "<li><a href=\"/?sort=name&amp;order=desc\"><bdi>Files</bdi></a></li>",
                "<li><a href=\"/d%20d/?sort=name&amp;order=desc\"><bdi>d d</bdi></a></li>",
                "<li><a href=\"/d%20d/e/?sort=name&amp;order=desc\"><bdi>e</bdi></a></li>",
                "<li aria-current=\"page\"><bdi>f</bdi></li>"
            )
        );
        assert_eq!(links(&shown("/", &[file(b"a")])), ["/a"]);
        assert_eq!(links(&shown("/d", &[])), ["/"]);
        assert!(shown("/", &[]).contains("This folder is empty."));
    }

    #[test]
    fn the_model_is_named_and_uploads_are_offered() {
        let html = shown("/a%22b", &[]);
        assert!(html.contains(
            "<span>served by </span><b>a_server</b><span>, a &lt;unit&gt; per client</span>"
        ));
        assert!(html.contains("hidden data-to=\"/a%22b/\" data-most=\"1048576\">"));
        let bare = viewed("/", &[], View::default(), Server::default());
        assert!(!bare.contains("served by") && !markup(&bare).contains("data-to"));
    }

    #[test]
    fn names_are_only_names() {
        let html = shown("/%3Cd%3E", &[file(br#"<b a="x'y">&?#%: .txt"#)]);
        let link = "/%3Cd%3E/%3Cb%20a%3D%22x%27y%22%3E%26%3F%23%25%3A%20.txt";
        assert_eq!(links(&html), ["/", link]);
        assert!(html.contains("<bdi>&lt;b a=&quot;x&#39;y&quot;&gt;&amp;?#%: .txt</bdi>"));
        assert!(
            html.contains("aria-label=\"Download &lt;b a=&quot;x&#39;y&quot;&gt;&amp;?#%: .txt\"")
        );
        assert!(html.contains("<title>/&lt;d&gt;/</title>"));
        assert!(!html.contains("<b a"));
    }

    #[test]
    fn strange_names_are_shown_harmless() {
        let html = shown("/", &[file("ä\u{202e}txt.exe\u{85}".as_bytes()), file(b"a\xffb\x1b")]);
        assert_eq!(links(&html), ["/a%FFb%1B", "/%C3%A4%E2%80%AEtxt.exe%C2%85"]);
        assert!(html.contains("<bdi>ä\u{fffd}txt.exe\u{fffd}</bdi>"));
        assert!(html.contains("<bdi>a\u{fffd}b\u{fffd}</bdi>"));
        // Composed and decomposed are two names, and stay so.
        let html = shown("/", &[file("é".as_bytes()), file("e\u{301}".as_bytes())]);
        assert_eq!(links(&html), ["/e%CC%81", "/%C3%A9"]);
        assert_eq!(names(&html), ["e\u{301}", "é"]);
    }

    #[test]
    fn folders_come_first_and_the_rest_as_asked() {
        let entry = |name: &str, size, mtime| Entry { size, mtime, ..file(name.as_bytes()) };
        let entries = [
            Entry { mtime: 9, ..folder(b"z") },
            entry("b", 1, 5),
            entry("A", 3, 4),
            entry("a10", 2, 6),
            entry("a9", 2, 3),
            Entry { mtime: 1, ..folder(b"y") },
        ];
        let sorted = |sort, descending| {
            let view = View { sort, descending, download: false };
            let html = viewed("/", &entries, view, SERVER);
            names(&html).join(" ")
        };
        assert_eq!(sorted(Sort::Name, false), "y z A a9 a10 b");
        assert_eq!(sorted(Sort::Name, true), "z y b a10 a9 A");
        assert_eq!(sorted(Sort::Size, false), "y z b a9 a10 A");
        assert_eq!(sorted(Sort::Size, true), "y z A a9 a10 b");
        assert_eq!(sorted(Sort::Date, false), "y z a9 A b a10");
        assert_eq!(sorted(Sort::Date, true), "z y a10 b A a9");
    }

    #[test]
    fn a_column_tells_how_it_is_sorted() {
        let head = |sort, descending| {
            let html =
                viewed("/d", &[folder(b"e")], View { sort, descending, download: false }, SERVER);
            assert!(links(&html).iter().all(|link| link.ends_with(query(View {
                sort,
                descending,
                download: false
            }))));
            between(&html, "<thead>", "</thead>").to_owned()
        };
        let html = head(Sort::Name, false);
        assert_eq!(html.matches("aria-sort").count(), 1);
        assert!(html.contains(
            "<th scope=\"col\" aria-sort=\"ascending\"><a href=\"?sort=name&amp;order=desc\">Name</a></th>"
        ));
        assert!(
            html.contains("<th scope=\"col\"><a href=\"?sort=size&amp;order=desc\">Size</a></th>")
        );
        let html = head(Sort::Size, true);
        assert!(
            html.contains("aria-sort=\"descending\"><a href=\"?sort=size&amp;order=asc\">Size")
        );
        assert!(html.contains("<a href=\"?sort=name&amp;order=asc\">Name"));
        let html = head(Sort::Date, false);
        assert!(
            html.contains("aria-sort=\"ascending\"><a href=\"?sort=date&amp;order=desc\">Modified")
        );
    }

    #[test]
    fn names_are_ordered_as_people_do() {
        let mut names = [
            "b",
            "a",
            "B",
            "A",
            "a10",
            "a2",
            "a02",
            "a1b",
            "a1",
            "é",
            "É",
            "z",
            "",
            "9",
            "10",
            "a.txt",
            "a 1",
            "00",
            "0",
            "a18446744073709551616",
            "a18446744073709551615",
        ];
        names.sort_by(|a, b| natural(a.as_bytes(), b.as_bytes()));
        assert_eq!(
            names,
            [
                "",
                "0",
                "00",
                "9",
                "10",
                "A",
                "a",
                "a 1",
                "a.txt",
                "a1",
                "a1b",
                "a02",
                "a2",
                "a10",
                "a18446744073709551615",
                "a18446744073709551616",
                "B",
                "b",
                "z",
                "É",
                "é",
            ]
        );
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
        assert_eq!(exact(1), "1 byte");
        assert_eq!(exact(0), "0 bytes");
        assert_eq!(exact(999), "999 bytes");
        assert_eq!(exact(1000), "1,000 bytes");
        assert_eq!(exact(u64::MAX), "18,446,744,073,709,551,615 bytes");
    }

    #[test]
    fn a_folder_is_summed_up() {
        let text = |entries: &[Entry]| summary(entries);
        assert_eq!(text(&[]), "0 files");
        assert_eq!(text(&[file(b"a")]), "1 file, 1.5 KiB");
        assert_eq!(text(&[folder(b"a"), folder(b"b")]), "2 folders");
        assert_eq!(text(&[folder(b"a"), file(b"b"), file(b"c")]), "1 folder, 2 files, 3.0 KiB");
        let most = Entry { size: u64::MAX, ..file(b"a") };
        assert_eq!(text(&[most.clone(), most]), "2 files, 16.0 EiB");
    }

    #[test]
    fn base64_is_that_of_the_standard() {
        for (bytes, text) in [
            ("", ""),
            ("f", "Zg=="),
            ("fo", "Zm8="),
            ("foo", "Zm9v"),
            ("foob", "Zm9vYg=="),
            ("fooba", "Zm9vYmE="),
            ("foobar", "Zm9vYmFy"),
        ] {
            assert_eq!(base64(bytes.as_bytes()), text);
        }
        assert_eq!(base64(&[0xfb, 0xff, 0xfe]), "+//+");
        // As in the specification of content security policies.
        let hash = "sha256-qznLcsROx4GACP2dm0UCKCzCG+HiZ1guq6ZZDob/Tng=";
        assert_eq!(source_hash("alert('Hello, world.');"), hash);
    }

    #[test]
    fn a_large_folder_is_bounded_by_its_names() {
        let entries: Vec<Entry> =
            (0..10_000).map(|number| file(format!("file-{number:06}.txt").as_bytes())).collect();
        let html = shown("/", &entries);
        assert!(html.len() / entries.len() < 400, "{} bytes a row", html.len() / entries.len());
        // The page was made without growing its buffer.
        assert!(html.capacity() < 2 * html.len());
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
        fn the_order_of_names_is_one(names in prop::collection::vec("[aAbé019 .]{0,6}", 3)) {
            let names: Vec<&[u8]> = names.iter().map(|name| name.as_bytes()).collect();
            let (ab, bc, ac) =
                (natural(names[0], names[1]), natural(names[1], names[2]), natural(names[0], names[2]));
            prop_assert_eq!(ab, natural(names[1], names[0]).reverse());
            prop_assert_eq!(ab.is_eq(), names[0] == names[1]);
            if ab == bc {
                prop_assert_eq!(ac, ab);
            }
        }

        #[test]
        fn json_is_json(name in prop::collection::vec(any::<u8>(), 1..60), mtime in any::<i64>()) {
            let entry = Entry { kind: Kind::File, size: 1, mtime, name };
            let value: serde_json::Value = serde_json::from_slice(&json(&[entry])).unwrap();
            prop_assert_eq!(value[0]["mtime"].as_i64(), Some(mtime));
        }
    }
}
