//! Which names a pattern means, and which names are safe to use on this machine.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

use file_service::client::{self, Entry, Kind};
use glob::{MatchOptions, Pattern};

use crate::failure::Failure;
use crate::remote::Remote;
use crate::text::printable;

/// As in a shell: a wildcard matches no leading dot.
const MATCHING: MatchOptions = MatchOptions {
    case_sensitive: true,
    require_literal_separator: true,
    require_literal_leading_dot: true,
};

/// The files on the server that `names` mean, in order. A name that is not a pattern means itself,
/// unasked; so does one that is a pattern, if the server has a file of that name.
///
/// Every name or match that is no use stands as its own failure, so that the others go ahead.
pub(crate) fn on_server(remote: &mut Remote, names: &[OsString]) -> Vec<Result<OsString, Failure>> {
    let mut found = Vec::new();
    for name in names {
        match name.to_str().filter(|name| is_pattern(name)) {
            None => found.push(Ok(name.clone())),
            Some(pattern) => match is_on_server(remote, name) {
                Ok(true) => found.push(Ok(name.clone())),
                Ok(false) => {
                    let result = match_on_server(remote, pattern, &mut found);
                    found.extend(result.err().map(Err));
                }
                Err(failure) => found.push(Err(failure)),
            },
        }
        if matches!(found.last(), Some(Err(failure)) if failure.is_final()) {
            break;
        }
    }
    found
}

/// The local files that `files` mean; a name that exists means itself, whatever it looks like.
pub(crate) fn on_this_machine(files: &[PathBuf]) -> Vec<Result<PathBuf, Failure>> {
    let mut found = Vec::new();
    for file in files {
        match file.to_str().filter(|name| is_pattern(name) && !file.exists()) {
            None => found.push(Ok(file.clone())),
            Some(pattern) => match_on_this_machine(pattern, &mut found),
        }
    }
    found
}

/// The local name under which a file of the server is saved: the last component, if it is one that
/// stays in its folder and shows as what it is.
pub(crate) fn local_name(remote_name: &OsStr) -> Result<&OsStr, Failure> {
    let name = remote_name.as_bytes().rsplit(|&b| b == b'/').next().unwrap_or_default();
    if is_safe(name) {
        return Ok(OsStr::from_bytes(name));
    }
    Err(Failure::Usage(format!("'{}' does not name a file", show(remote_name))))
}

/// A name between quotes, harmless to the terminal.
pub(crate) fn show(name: impl AsRef<OsStr>) -> String {
    printable(name.as_ref().as_bytes())
}

/// `folder` and `name` as one path of the server.
pub(crate) fn join(directory: &OsStr, name: &OsStr) -> OsString {
    let mut path = directory.as_bytes().to_vec();
    while path.ends_with(b"/") {
        path.pop();
    }
    if !path.is_empty() {
        path.push(b'/');
    }
    path.extend_from_slice(name.as_bytes());
    OsString::from_vec(path)
}

/// Whether a name that the server claims can be one component of a path, here and there.
pub(crate) fn is_safe(name: &[u8]) -> bool {
    !matches!(name, b"" | b"." | b"..") && name.iter().all(|b| !b.is_ascii_control() && *b != b'/')
}

/// Whether a path has a component that is a pattern.
fn is_pattern(path: &str) -> bool {
    path.split('/').any(|component| parse(component).is_some())
}

/// The component of a path as a pattern. One with a wildcard that makes no valid pattern, such as
/// `[draft`, is a plain name.
fn parse(component: &str) -> Option<Pattern> {
    component.contains(['*', '?', '[']).then(|| Pattern::new(component).ok()).flatten()
}

fn is_on_server(remote: &mut Remote, name: &OsStr) -> Result<bool, Failure> {
    match remote.source()?.find(name) {
        Ok(()) => Ok(true),
        // Some small servers know no `GET` of a part of a file. Then the listing decides.
        Err(client::Error::Refused { .. } | client::Error::Protocol(_)) => Ok(false),
        Err(error) => Err(Failure::of_server(&show(name), error)),
    }
}

fn match_on_server(
    remote: &mut Remote,
    pattern: &str,
    found: &mut Vec<Result<OsString, Failure>>,
) -> Result<(), Failure> {
    let before = found.len();
    let components: Vec<&str> = pattern.split('/').filter(|c| !c.is_empty()).collect();
    // Level by level: the paths that match the components so far.
    let mut paths = vec![OsString::new()];
    for (level, component) in components.iter().enumerate() {
        let Some(glob) = parse(component) else {
            paths.iter_mut().for_each(|path| *path = join(path, component.as_ref()));
            continue;
        };
        let kind = if level + 1 == components.len() { Kind::File } else { Kind::Directory };
        let mut matched = Vec::new();
        for path in &paths {
            let what = format!("{}/", show(path));
            let entries = remote
                .source()?
                .list_dir(path)
                .map_err(|error| Failure::of_server(&what, error))?;
            for entry in matches(entries, component, &glob, kind) {
                match is_safe(entry.name.as_bytes()) {
                    true => matched.push(join(path, &entry.name)),
                    false => found.push(Err(Failure::Broken(format!(
                        "the server lists '{}', which is not a name; skipped",
                        show(&entry.name)
                    )))),
                }
            }
        }
        paths = matched;
    }
    found.extend(paths.into_iter().map(Ok));
    if found.len() == before {
        return Err(Failure::Refused(format!("no file on the server matches '{pattern}'")));
    }
    Ok(())
}

/// The entries of the kind asked for that match; an entry called just like the pattern alone.
fn matches(mut entries: Vec<Entry>, literal: &str, glob: &Pattern, kind: Kind) -> Vec<Entry> {
    entries.retain(|entry| entry.kind == kind);
    if let Some(exact) = entries.iter().position(|entry| entry.name == literal) {
        return vec![entries.swap_remove(exact)];
    }
    entries.retain(|entry| {
        glob.matches_with(&entry.name.to_string_lossy(), MATCHING)
        // A name with a slash would slip past: it is kept here to be reported.
        || (entry.name.as_bytes().contains(&b'/') && glob.matches(&entry.name.to_string_lossy()))
    });
    entries
}

fn match_on_this_machine(pattern: &str, found: &mut Vec<Result<PathBuf, Failure>>) {
    let before = found.len();
    match glob::glob_with(&escape_names(pattern), MATCHING) {
        Ok(paths) => {
            for path in paths {
                match path {
                    Ok(path) if path.is_file() => found.push(Ok(path)),
                    Ok(_) => {}
                    Err(error) => {
                        found.push(Err(Failure::of_file("read", error.path(), error.error())))
                    }
                }
            }
        }
        Err(error) => {
            found.push(Err(Failure::Usage(format!("pattern '{pattern}': {}", error.msg))));
        }
    }
    if found.len() == before {
        let message = format!("no local file matches '{}'", show(Path::new(pattern)));
        found.push(Err(Failure::Refused(message)));
    }
}

/// `pattern` with those components escaped that are names: because they are not valid patterns, or
/// because a local directory has this name.
fn escape_names(pattern: &str) -> String {
    // The path so far, as long as it means one directory only.
    let mut directory = Some(String::new());
    let components = pattern.split('/').map(|component| {
        let path = directory.take().map(|path| path + component);
        let is_name = parse(component).is_none()
            || path.as_ref().is_some_and(|path| Path::new(path).is_dir());
        directory = path.filter(|_| is_name).map(|path| path + "/");
        if is_name { Pattern::escape(component) } else { component.to_string() }
    });
    components.collect::<Vec<String>>().join("/")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unsafe_name_is_not_local() {
        for good in ["a", "sub/a b", "/x/y", "...", ".hidden", "a\\b"] {
            assert!(local_name(good.as_ref()).is_ok(), "{good}");
        }
        for bad in ["", "/", "a/", "..", "a/..", ".", "a\nb", "a\0b", "a\x7f"] {
            assert!(local_name(bad.as_ref()).is_err(), "{bad}");
        }
    }

    #[test]
    fn join_inserts_one_slash() {
        for (directory, name, path) in [
            ("", "a", "a"),
            ("/", "a", "a"),
            ("d", "a", "d/a"),
            ("d/", "a", "d/a"),
            ("/d/e//", "a", "/d/e/a"),
        ] {
            assert_eq!(join(directory.as_ref(), name.as_ref()), path);
        }
    }

    #[test]
    fn pattern_matches_as_in_shell() {
        let entries = |names: &[&str]| -> Vec<Entry> {
            names
                .iter()
                .map(|name| Entry { kind: Kind::File, size: 0, mtime: 0, name: name.into() })
                .collect()
        };
        let matched = |pattern: &str, names: &[&str]| -> Vec<OsString> {
            let glob = parse(pattern).unwrap();
            matches(entries(names), pattern, &glob, Kind::File)
                .into_iter()
                .map(|entry| entry.name)
                .collect()
        };
        assert_eq!(matched("*.txt", &["a.txt", ".b.txt", "c.md"]), ["a.txt"]);
        assert_eq!(matched("a[1]", &["a1", "a[1]"]), ["a[1]"]);
        assert_eq!(matched("a[1]", &["a1", "a2"]), ["a1"]);
        assert_eq!(matched("*", &["../x"]), ["../x"], "to be reported, not ignored");
    }

    #[test]
    fn invalid_pattern_is_a_name() {
        for name in ["[draft.txt", "a**b", "x[!.txt", "[].txt", "[d/in", "plain"] {
            assert!(!is_pattern(name), "{name}");
            assert_eq!(escape_names(name), Pattern::escape(name));
        }
        assert!(is_pattern("[d/*.txt") && is_pattern("a[1].txt"));
        assert_eq!(escape_names("[d/*.txt"), "[[]d/*.txt");
    }
}
