//! The README's table of models is what the models say of themselves.

use benches::MODELS;
use std::fs;
use std::path::Path;

#[test]
fn every_model_has_its_row() {
    let readme = Path::new(env!("CARGO_MANIFEST_DIR")).join("../README.md");
    let readme = fs::read_to_string(readme).expect("a README.md at the root of the workspace");
    for entry in MODELS {
        let row = entry.model.readme_row();
        assert!(readme.lines().any(|line| line == row), "README.md lacks this line:\n{row}");
    }
}
