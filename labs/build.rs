//! Makes a module of the `checks.rs` of every lab's directory, and the table of them: so a lab is one directory.

use std::path::PathBuf;
use std::{env, fs, io};

fn main() -> io::Result<()> {
    let home = PathBuf::from(env::var_os("CARGO_MANIFEST_DIR").ok_or(io::ErrorKind::NotFound)?);
    let out = PathBuf::from(env::var_os("OUT_DIR").ok_or(io::ErrorKind::NotFound)?);
    println!("cargo::rerun-if-changed={}", home.display());
    let mut directories: Vec<PathBuf> = fs::read_dir(&home)?.flatten().map(|e| e.path()).collect();
    directories.retain(|directory| directory.join("checks.rs").is_file());
    directories.sort();
    let (mut modules, mut rows) = (String::new(), String::new());
    for directory in directories {
        let name = directory.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let checks = directory.join("checks.rs");
        modules += &format!("#[path = {checks:?}]\nmod lab_{name};\n");
        rows += &format!("    ({name:?}, lab_{name}::CHECKS),\n");
    }
    let table = format!("pub(crate) const LABS: &[(&str, &[(&str, Check)])] = &[\n{rows}];\n");
    fs::write(out.join("labs.rs"), modules + &table)
}
