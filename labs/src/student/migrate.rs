//! Packages of an earlier version: what labs 08, 15 and 17 use of lab 04 was a link to its files, and is its library now.
//!
//! A file that the student has written is never changed. Lab 04 gets a library over the files that are there, and a link
//! becomes a file that takes its place: `mod session;` goes on working.

use crate::error::LabError;
use crate::lab::{Files, Lab};
use std::path::Path;
use std::{fs, io};

/// Over `session.rs` and `converse.rs`.
const LIBRARY: &str = "\
//! The server's side of the file protocol. The servers of labs 08, 15 and 17 use this library, too. There is nothing to do in
//! this file.

mod converse;
mod session;

pub use converse::converse as serve_blocking;
pub use session::Session;
";

/// In place of links to lab 04's files, by the names of these.
const INSTEAD_OF_LINKS: [(&str, &str); 2] = [
    ("src/session.rs", "//! Lab 04's session.\n\npub use lab04::Session;\n"),
    ("src/converse.rs", "//! Lab 04's function.\n\npub use lab04::serve_blocking as converse;\n"),
];

/// The files that the package needs for this version's layout, if it has not got it.
pub(super) fn changes(lab: &Lab, package: &Path) -> Result<Option<Files>, LabError> {
    let path = package.join("Cargo.toml");
    let fault = |why: &dyn std::fmt::Display| LabError::new(path.display(), why);
    let before = fs::read_to_string(&path).map_err(|error| fault(&error))?;
    let manifest: toml::Table = before.parse().map_err(|error| fault(&error))?;
    let mut text = before.clone();
    let mut files = Files::new();
    if let Some(target) = lab.library_target().filter(|_| !manifest.contains_key("lib")) {
        text += &format!("\n{target}");
        if !package.join("src/lib.rs").exists() {
            files.insert("src/lib.rs".into(), LIBRARY.into());
        }
    }
    for other in lab.builds_on()? {
        let dependencies = manifest.get("dependencies");
        if dependencies.is_some_and(|all| all.get(other.library_name()).is_some()) {
            continue;
        }
        let (library, name) = (other.library_name(), other.name());
        text +=
            &format!("\n[dependencies.{library}]\npackage = \"lab{name}\"\npath = \"../{name}\"\n");
        let links = INSTEAD_OF_LINKS.iter().filter(|(path, _)| package.join(path).is_symlink());
        files.extend(links.map(|(path, text)| (path.into(), (*text).to_owned())));
    }
    if text == before {
        return Ok(None);
    }
    files.insert("Cargo.toml".into(), text);
    Ok(Some(files))
}

/// Writes the files; a link is replaced, and what it leads to is not.
pub(super) fn apply(files: &Files, package: &Path) -> io::Result<()> {
    for (path, text) in files {
        let path = package.join(path);
        if path.is_symlink() {
            fs::remove_file(&path)?;
        }
        fs::write(path, text)?;
    }
    Ok(())
}

/// Copies a package; of a link, what it leads to.
pub(super) fn copy(package: &Path, backup: &Path) -> io::Result<()> {
    fs::create_dir_all(backup)?;
    for entry in fs::read_dir(package)? {
        let path = entry?.path();
        let Some(name) = path.file_name() else { continue };
        if path.is_dir() {
            copy(&path, &backup.join(name))?;
        } else {
            fs::copy(&path, backup.join(name))?;
        }
    }
    Ok(())
}
