//! A directory for people and for programs.
//!
//! The page is `page.html`, a whole document with its style and its script, and placeholders such as `{{rows}}`
//! where the directory goes. It works without the script for everything but uploads, and loads nothing.

use std::borrow::Cow;
use std::cmp::Ordering;
use std::sync::LazyLock;

use base64::prelude::{BASE64_STANDARD, Engine};
use serde::Serialize;
use sha2::{Digest, Sha256};

use super::request::{Sort, View};
use super::text::{push_name, push_text, write_to};
use crate::human::{UtcDateTime, format_size};
use crate::protocol::{RelPath, push_url};
use crate::store::{Entry, Kind, Listing};

/// The media type of [`page`].
pub(super) const PAGE_TYPE: &str = "text/html; charset=utf-8";

/// The media type of [`json`].
pub(super) const JSON_TYPE: &str = "application/json";

/// The page, with placeholders for what changes.
const TEMPLATE: &str = include_str!("page.html");

/// What of it comes before the rows and what after them.
static TEMPLATE_ENDS: LazyLock<(&str, &str)> =
    LazyLock::new(|| TEMPLATE.split_once("{{rows}}").unwrap_or((TEMPLATE, "")));

/// What the page may do: run its own script and use its own style, which are identified by their hashes, and
/// talk to this server. Whatever a file name could smuggle into it is neither. A form may only lead to this server,
/// which a form can ask for what a link can: `POST` is refused, and no form sends a `PUT`.
pub(super) static PAGE_POLICY: LazyLock<String> = LazyLock::new(|| {
    format!(
        "default-src 'none'; script-src '{}'; style-src '{}'; img-src data:; connect-src 'self'; \
         base-uri 'none'; form-action 'self'; frame-ancestors 'none'",
        source_hash(between(TEMPLATE, "<script>", "</script>")),
        source_hash(between(TEMPLATE, "<style>", "</style>")),
    )
});

/// What the pages of a server show of it.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct ServerInfo<'a> {
    /// The name of the model that serves, and its unit of concurrency.
    pub(crate) model: Option<(&'a str, &'a str)>,
    /// The largest upload in bytes; `None` where uploads are not taken.
    pub(crate) upload_limit: Option<u64>,
    /// The `Host` by which the browser addressed the server, if it is known.
    pub(crate) host: Option<&'a [u8]>,
}

/// A directory as an HTML page, which is written in parts: the head, a row for each entry, the foot.
///
/// Links to entries are absolute, so that they hold whether or not the address of the page ends with a
/// slash. A program that follows every link fetches each entry once: other orders and downloads are behind
/// buttons of forms.
pub(crate) struct Page<'a> {
    path: &'a RelPath,
    view: View,
    server: ServerInfo<'a>,
    /// The address of the directory, with a slash at its end.
    base: String,
}

impl<'a> Page<'a> {
    pub(crate) fn new(path: &'a RelPath, view: View, server: ServerInfo<'a>) -> Page<'a> {
        let mut base = String::from("/");
        if !path.is_root() {
            push_url(&mut base, path.as_bytes());
            base.push('/');
        }
        Page { path, view, server, base }
    }

    /// Appends all that comes before the first entry.
    pub(crate) fn push_head(&self, html: &mut String, entries: &Listing) {
        self.fill(TEMPLATE_ENDS.0, html, entries);
        if let Some((parent, _)) = self.path.split() {
            html.push_str("<tr class=\"up\"><th scope=\"row\"><a href=\"/");
            if !parent.is_empty() {
                push_url(html, parent);
                html.push('/');
            }
            html.push_str(query(self.view));
            html.push_str("\">Parent folder</a></th><td></td><td></td><td></td></tr>\n");
        }
    }

    /// Appends the row of an entry.
    pub(crate) fn push_row(&self, html: &mut String, entry: Entry<'_>) {
        let is_directory = entry.kind == Kind::Directory;
        html.push_str(if is_directory { "<tr class=\"d\">" } else { "<tr>" });
        html.push_str("<th scope=\"row\"><a href=\"");
        html.push_str(&self.base);
        push_url(html, entry.name);
        if is_directory {
            html.push('/');
            html.push_str(query(self.view));
        }
        html.push_str("\"><bdi>");
        push_name(html, entry.name);
        html.push_str("</bdi></a></th>");
        if is_directory {
            html.push_str("<td></td>");
        } else {
            html.push_str("<td title=\"");
            html.push_str(&exact(entry.size));
            html.push_str("\">");
            html.push_str(&format_size(entry.size));
            html.push_str("</td>");
        }
        let UtcDateTime { year, month, day, hour, minute, second, .. } =
            UtcDateTime::from_unix(entry.mtime);
        write_to(
            html,
            format_args!(
                "<td><time datetime=\"{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z\">\
                 {year:04}-{month:02}-{day:02} {hour:02}:{minute:02}</time></td><td>"
            ),
        );
        if !is_directory {
            html.push_str("<button form=\"get\" name=\"download\" formaction=\"");
            html.push_str(&self.base);
            push_url(html, entry.name);
            html.push_str("\" aria-label=\"Download ");
            push_text(html, entry.name);
            html.push_str("\"></button>");
        }
        html.push_str("</td></tr>\n");
    }

    /// Appends all that comes after the last entry.
    pub(crate) fn push_foot(&self, html: &mut String, entries: &Listing) {
        self.fill(TEMPLATE_ENDS.1, html, entries);
    }

    fn fill(&self, template: &str, html: &mut String, entries: &Listing) {
        let Page { path, view, server, base } = self;
        fill(template, html, |placeholder, html| match placeholder {
            "path" => {
                html.push('/');
                if !path.is_root() {
                    push_text(html, path.as_bytes());
                    html.push('/');
                }
            }
            "crumbs" => push_crumbs(html, path, query(*view)),
            "model" => {
                if let Some((name, unit)) = server.model {
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
            "noscript" if server.upload_limit.is_some() => {
                push_upload_hint(html, base, server.host);
            }
            "summary" => html.push_str(&summary(entries)),
            "columns" => push_columns(html, *view),
            "empty" if entries.is_empty() => {
                html.push_str("<p class=\"none\">This folder is empty.</p>\n");
            }
            _ => {}
        });
    }
}

/// Directories first, then by what is asked for, and among equals by name.
pub(crate) fn sort(entries: &mut Listing, view: View) {
    entries.sort_by(|a, b| {
        let directories_first = (a.kind == Kind::File).cmp(&(b.kind == Kind::File));
        let wanted = match view.sort {
            Sort::Name => natural(a.name, b.name),
            Sort::Size => a.size.cmp(&b.size),
            Sort::Date => a.mtime.cmp(&b.mtime),
        };
        let wanted = if view.descending { wanted.reverse() } else { wanted };
        directories_first.then(wanted).then_with(|| natural(a.name, b.name))
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

/// Takes the digits at the beginning of `text`, and returns them without leading zeros: `0` for nothing but
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

/// Returns the query of a link to another directory, which keeps the order; ready for an attribute.
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

/// The breadcrumbs from the root to the directory: links to all but the last.
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
        push_name(html, name);
        html.push_str("</bdi></a></li>");
    }
    html.push_str("<li aria-current=\"page\"><bdi>");
    push_name(html, if path.is_empty() { ROOT } else { &path[start..] });
    html.push_str("</bdi></li>");
}

/// The heads of the columns; a button sorts by its column, and the other way round if it is so already.
fn push_columns(html: &mut String, view: View) {
    for (sort, key, title, descends) in [
        (Sort::Name, "name", "Name", false),
        // The first click on these sorts the largest and the latest first.
        (Sort::Size, "size", "Size", true),
        (Sort::Date, "date", "Modified<span id=\"zone\"> (UTC)</span>", true),
    ] {
        let (is_current, next_descends) = match view.sort == sort {
            true => (true, !view.descending),
            false => (false, descends),
        };
        // A browser need not look for the name of a column in a form.
        write_to(html, format_args!("<th scope=\"col\" aria-labelledby=\"by-{key}\""));
        if is_current {
            let word = if view.descending { "descending" } else { "ascending" };
            write_to(html, format_args!(" aria-sort=\"{word}\""));
        }
        let order = if next_descends { "desc" } else { "asc" };
        write_to(
            html,
            format_args!(
                "><form><input type=\"hidden\" name=\"sort\" value=\"{key}\">\
                 <button id=\"by-{key}\" name=\"order\" value=\"{order}\">{title}</button></form></th>"
            ),
        );
    }
}

/// Appends how to upload where no script runs: a command with the address of the directory.
fn push_upload_hint(html: &mut String, base: &str, host: Option<&[u8]>) {
    // A person may paste the command into a shell, which must find nothing to expand in it.
    let is_plain = |b: &u8| b.is_ascii_alphanumeric() || b".-_:[]".contains(b);
    let host = host.filter(|host| !host.is_empty() && host.iter().all(is_plain));
    html.push_str("<noscript><p class=\"hint\">Without scripts, this page cannot upload. To upload a file into this folder: <code>curl -T FILE &quot;http://");
    push_text(html, host.unwrap_or(b"HOST:PORT"));
    write_to(html, format_args!("{base}&quot;</code></p></noscript>"));
}

/// `3 folders, 1 file, 4.5 MiB`.
fn summary(entries: &Listing) -> String {
    let directories = entries.iter().filter(|entry| entry.kind == Kind::Directory).count();
    let files = entries.len() - directories;
    let bytes = entries.iter().fold(0u64, |sum, entry| sum.saturating_add(entry.size));
    let counted = |count: usize, what: &str| {
        format!("{} {what}{}", grouped(count as u64), if count == 1 { "" } else { "s" })
    };
    match (directories, files) {
        (0, 0) => counted(0, "file"),
        (_, 0) => counted(directories, "folder"),
        (0, _) => format!("{}, {}", counted(files, "file"), format_size(bytes)),
        _ => format!(
            "{}, {}, {}",
            counted(directories, "folder"),
            counted(files, "file"),
            format_size(bytes)
        ),
    }
}

/// Copies `template`, and calls `put` with the name of each `{{placeholder}}` to write what replaces it.
fn fill(template: &str, out: &mut String, mut put: impl FnMut(&str, &mut String)) {
    let mut parts = template.split("{{");
    out.push_str(parts.next().unwrap_or_default());
    for part in parts {
        let (placeholder, text) = part.split_once("}}").unwrap_or((part, ""));
        put(placeholder, out);
        out.push_str(text);
    }
}

/// What stands between two tags; nothing where they are missing.
fn between<'a>(text: &'a str, start: &str, end: &str) -> &'a str {
    let inner = text.split_once(start).and_then(|(_, rest)| rest.split_once(end));
    inner.map_or("", |(inner, _)| inner)
}

/// The hash by which a content security policy identifies a script or a style.
fn source_hash(source: &str) -> String {
    format!("sha256-{}", BASE64_STANDARD.encode(Sha256::digest(source)))
}

/// `1,536 bytes`, for a tooltip.
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

/// Appends an entry as a JSON object of `{"name", "encoded", "kind", "size", "mtime"}`.
///
/// A JSON string holds only Unicode, so `name` is for people: what is not UTF-8 is U+FFFD in it, and two entries may
/// share a name. `encoded` is the exact name for a path or a URL, and no two entries share it.
pub(crate) fn push_json(json: &mut Vec<u8>, entry: Entry<'_>) {
    #[derive(Serialize)]
    struct Item<'a> {
        name: Cow<'a, str>,
        encoded: String,
        kind: &'static str,
        size: u64,
        mtime: i64,
    }
    let (kind, size) = match entry.kind {
        Kind::File => ("file", entry.size),
        Kind::Directory => ("directory", 0),
    };
    let mut encoded = String::with_capacity(entry.name.len());
    push_url(&mut encoded, entry.name);
    let name = String::from_utf8_lossy(entry.name);
    // Strings and integers written to memory cannot fail.
    let _ = serde_json::to_writer(json, &Item { name, encoded, kind, size, mtime: entry.mtime });
}

#[cfg(test)]
mod tests;
