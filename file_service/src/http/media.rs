//! What a file is by its name, and whether a browser may show it.

use super::text::{end_line, field, push_url};
use crate::protocol::RelPath;

/// The type of a file by its name, and whether a browser is to save it: `download`, or what it might run.
pub(super) fn content_type(out: &mut Vec<u8>, path: &RelPath, download: bool) {
    let media = media_type(path);
    out.extend_from_slice(b"Content-Type: ");
    out.extend_from_slice(media.as_bytes());
    if media.starts_with("text/") {
        out.extend_from_slice(b"; charset=utf-8");
    }
    end_line(out);
    let is_harmless = is_harmless(media);
    if download || !is_harmless {
        disposition(out, path);
    }
    if !is_harmless {
        // Where it is shown all the same, it has an origin of its own and runs nothing.
        field(out, "Content-Security-Policy", "sandbox");
    }
}

/// Whether a browser that follows the type runs nothing when it shows the file, or only ever saves it.
///
/// The list has the harmless types: a browser saves what is missing here instead of showing it.
pub(super) fn is_harmless(media: &str) -> bool {
    const EXACT: &[&str] = &[
        UNKNOWN_TYPE,
        "application/gzip",
        "application/json",
        "application/pdf",
        "application/zip",
        "image/avif",
        "image/bmp",
        "image/gif",
        "image/jpeg",
        "image/png",
        "image/webp",
        "image/x-icon",
        "text/css",
        "text/csv",
        "text/javascript",
        "text/markdown",
        "text/plain",
        "text/x-c",
        "text/x-rust",
        "text/x-toml",
        "text/x-yaml",
    ];
    EXACT.contains(&media) || media.starts_with("audio/") || media.starts_with("video/")
}

/// Offers the file for saving under its own name: RFC 6266, with a plainer name for old programs where
/// the own one is not plain.
fn disposition(out: &mut Vec<u8>, path: &RelPath) {
    let name = path.split().map_or(&b""[..], |(_, name)| name);
    let is_plain = |b: u8| b.is_ascii_alphanumeric() || b" ._-+,=@()[]".contains(&b);
    let mut plain = String::with_capacity(name.len());
    let text = String::from_utf8_lossy(name);
    plain.extend(text.chars().map(|c| match u8::try_from(c) {
        Ok(byte) if is_plain(byte) => c,
        _ => '_',
    }));
    let mut value = format!("attachment; filename=\"{plain}\"");
    if plain != text {
        value.push_str("; filename*=UTF-8''");
        push_url(&mut value, text.as_bytes());
    }
    field(out, "Content-Disposition", &value);
}

/// By the extension of the name; a leading dot begins none.
pub(super) fn media_type(path: &RelPath) -> &'static str {
    let name = path.split().map_or(&b""[..], |(_, name)| name);
    memchr::memrchr(b'.', name)
        .filter(|&dot| dot > 0)
        .and_then(|dot| std::str::from_utf8(&name[dot + 1..]).ok())
        .and_then(|extension| {
            COMMON_TYPES
                .iter()
                .find(|(common, _)| *common == extension)
                .map(|&(_, media)| media)
                .or_else(|| mime_guess::from_ext(extension).first_raw())
        })
        .unwrap_or(UNKNOWN_TYPE)
}

pub(super) const UNKNOWN_TYPE: &str = "application/octet-stream";

/// What mime_guess returns for the commonest extensions; its search through all of them
/// takes half as long as everything else about a header.
pub(super) const COMMON_TYPES: [(&str, &str); 8] = [
    ("txt", "text/plain"),
    ("html", "text/html"),
    ("bin", UNKNOWN_TYPE),
    ("css", "text/css"),
    ("js", "text/javascript"),
    ("json", "application/json"),
    ("png", "image/png"),
    ("jpg", "image/jpeg"),
];
