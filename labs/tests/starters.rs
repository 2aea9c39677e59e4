//! What students begin with. It is generated from the references, so only a build shows that it compiles.

use labs::build::build;
use labs::lab::Lab;
use labs::student::Folder;
use labs::verify::consistency;
use std::path::Path;

#[test]
fn starters_compile_without_warnings() {
    let place = tempfile::tempdir().unwrap();
    let folder = Folder::at(place.path().to_owned());
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).join("labs");
    let mut found = Vec::new();
    for lab in Lab::all(&labs::labs_directory()).unwrap() {
        folder.open(&lab).unwrap();
        match build(&folder.package(&lab), &target) {
            Ok(built) => found.extend(built.warnings),
            Err(error) => found.push(error.to_string()),
        }
    }
    assert!(found.is_empty(), "{}", found.join("\n"));
}

#[test]
fn references_and_manifests_are_consistent() {
    let mut found = Vec::new();
    for lab in Lab::all(&labs::labs_directory()).unwrap() {
        let complaints = consistency(&lab).unwrap();
        found.extend(complaints.into_iter().map(|what| format!("{}: {what}", lab.name())));
    }
    assert!(found.is_empty(), "{}", found.join("\n"));
}
