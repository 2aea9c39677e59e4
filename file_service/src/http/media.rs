//! What a file is by its name, and whether a browser may show it.

use super::text::{end_line, field};
use crate::protocol::{RelPath, push_url};

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
/// The list has the harmless types: a browser saves what is missing here instead of showing it. XML is missing in
/// every form, since a document of any XML type may hold elements of XHTML or SVG and their scripts.
pub(super) fn is_harmless(media: &str) -> bool {
    const EXACT: &[&str] = &[
        UNKNOWN_TYPE,
        "application/gzip",
        "application/json",
        "application/pdf",
        "application/sql",
        "application/toml",
        "application/vnd.rar",
        "application/wasm",
        "application/yaml",
        "application/zip",
        "application/zstd",
        "image/apng",
        "image/avif",
        "image/bmp",
        "image/gif",
        "image/heic",
        "image/heif",
        "image/jpeg",
        "image/jxl",
        "image/png",
        "image/tiff",
        "image/vnd.microsoft.icon",
        "image/webp",
        "text/calendar",
        "text/css",
        "text/csv",
        "text/javascript",
        "text/markdown",
        "text/plain",
        "text/tab-separated-values",
        "text/vcard",
        "text/vtt",
        "text/x-c",
        "text/x-rust",
    ];
    EXACT.contains(&media)
        || media.starts_with("audio/")
        || media.starts_with("font/")
        || media.starts_with("video/")
        || (media.starts_with("application/") && media.ends_with("+json"))
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

/// By the extension of the name, in any case; a leading dot begins none.
pub(super) fn media_type(path: &RelPath) -> &'static str {
    let name = path.split().map_or(&b""[..], |(_, name)| name);
    memchr::memrchr(b'.', name)
        .filter(|&dot| dot > 0)
        .and_then(|dot| std::str::from_utf8(&name[dot + 1..]).ok())
        .and_then(|extension| {
            registered_type(extension).or_else(|| mime_guess::from_ext(extension).first_raw())
        })
        .unwrap_or(UNKNOWN_TYPE)
}

/// Looks an extension up in [`TYPES`].
fn registered_type(extension: &str) -> Option<&'static str> {
    let mut lower = [0; LONGEST_EXTENSION];
    let lower = lower.get_mut(..extension.len())?;
    lower.copy_from_slice(extension.as_bytes());
    lower.make_ascii_lowercase();
    let at = TYPES.binary_search_by(|(known, _)| known.as_bytes().cmp(lower)).ok()?;
    Some(TYPES[at].1)
}

pub(super) const UNKNOWN_TYPE: &str = "application/octet-stream";

/// The length of the longest extension in [`TYPES`].
pub(super) const LONGEST_EXTENSION: usize = 7;

/// Types that precede those of mime_guess, sorted by extension.
///
/// Two kinds stand here. One is what the registry of media types (<https://www.iana.org/assignments/media-types>)
/// lists for an extension where mime_guess has an older name or none. The other is the commonest extensions,
/// since the search of mime_guess takes half as long as everything else about a header.
pub(super) const TYPES: &[(&str, &str)] = &[
    ("3mf", "model/3mf"),
    ("arrow", "application/vnd.apache.arrow.file"),
    ("bin", UNKNOWN_TYPE),
    ("cbor", "application/cbor"),
    ("cbz", "application/vnd.comicbook+zip"),
    ("cjs", "application/node"),
    ("css", "text/css"),
    ("dcm", "application/dicom"),
    ("deb", "application/vnd.debian.binary-package"),
    ("dwg", "image/vnd.dwg"),
    ("dxf", "image/vnd.dxf"),
    ("emf", "image/emf"),
    ("gpkg", "application/geopackage+sqlite3"),
    ("hif", "image/avif"),
    ("html", "text/html"),
    ("ico", "image/vnd.microsoft.icon"),
    ("jpg", "image/jpeg"),
    ("jph", "image/jph"),
    ("js", "text/javascript"),
    ("json", "application/json"),
    ("jxr", "image/jxr"),
    ("jxs", "image/jxs"),
    ("ktx2", "image/ktx2"),
    ("m3u8", "application/vnd.apple.mpegurl"),
    ("m4a", "audio/mp4"),
    ("m4b", "audio/mp4"),
    ("m4v", "video/mp4"),
    ("mjs", "text/javascript"),
    ("mk3d", "video/matroska-3d"),
    ("mka", "audio/matroska"),
    ("mkv", "video/matroska"),
    ("mml", "application/mathml+xml"),
    ("numbers", "application/vnd.apple.numbers"),
    ("obj", "model/obj"),
    ("otf", "font/otf"),
    ("p12", "application/pkcs12"),
    ("pages", "application/vnd.apple.pages"),
    ("pfx", "application/pkcs12"),
    ("png", "image/png"),
    ("rar", "application/vnd.rar"),
    ("sarif", "application/sarif+json"),
    ("spdx", "text/spdx"),
    ("sql", "application/sql"),
    ("sqlite", "application/vnd.sqlite3"),
    ("sqlite3", "application/vnd.sqlite3"),
    ("step", "model/step"),
    ("stl", "model/stl"),
    ("stp", "model/step"),
    ("swf", "application/vnd.adobe.flash.movie"),
    ("toml", "application/toml"),
    ("ts", "video/mp2t"),
    ("ttml", "application/ttml+xml"),
    ("txt", "text/plain"),
    ("usdz", "model/vnd.usdz+zip"),
    ("vcf", "text/vcard"),
    ("wgsl", "text/wgsl"),
    ("wmf", "image/wmf"),
    ("woff", "font/woff"),
    ("xlf", "application/xliff+xml"),
    ("yaml", "application/yaml"),
    ("yml", "application/yaml"),
    ("zst", "application/zstd"),
];
