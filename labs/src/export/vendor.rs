//! The crates that a student's copy needs.

use crate::error::LabError;
use std::path::Path;
use std::process::{Command, Stdio};
use std::{fs, io};

/// Puts the source of every crate that is needed into the copy.
pub(super) fn vendor(copy: &Path) -> Result<(), LabError> {
    cargo(copy, &["vendor", "--quiet", "vendor"])?;
    let vendored = copy.join("vendor");
    shrink(&vendored).map_err(|error| LabError::new(vendored.display(), error))
}

/// Cargo vendors for every system, and more than half of it is for Windows, where nothing of this runs. It must find
/// the packages, but never looks into them.
fn shrink(vendored: &Path) -> io::Result<()> {
    for entry in fs::read_dir(vendored)? {
        let package = entry?.path();
        let name = package.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if !["windows", "winapi"].iter().any(|system| name.starts_with(system)) {
            continue;
        }
        for entry in fs::read_dir(&package)? {
            let path = entry?.path();
            if path.is_dir() {
                fs::remove_dir_all(path)?;
            } else if !path.ends_with("Cargo.toml") && !path.ends_with(".cargo-checksum.json") {
                fs::remove_file(path)?;
            }
        }
        fs::create_dir(package.join("src"))?;
        fs::write(package.join("src/lib.rs"), "")?;
        fs::write(package.join("build.rs"), "fn main() {}\n")?;
    }
    Ok(())
}

/// Runs Cargo in `directory`, without the network where that is enough.
pub(super) fn cargo(directory: &Path, args: &[&str]) -> Result<(), LabError> {
    // What lies in Cargo's own store needs no network.
    let mut errors = String::new();
    for offline in [&["--offline"][..], &[]] {
        let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
        let output = Command::new(cargo)
            .args(args)
            .args(offline)
            .current_dir(directory)
            .env_remove("CARGO_MANIFEST_DIR")
            .env_remove("CARGO_TARGET_DIR")
            .stdin(Stdio::null())
            .output()
            .map_err(|error| LabError::new("cargo", error))?;
        if output.status.success() {
            return Ok(());
        }
        errors = String::from_utf8_lossy(&output.stderr).trim().to_owned();
    }
    Err(LabError::new(format!("cargo {}", args.join(" ")), errors))
}
