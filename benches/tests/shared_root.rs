//! All models on one root at once.

use benches::MODELS;
use harness::Subject;

#[test]
fn all_models_on_one_root_lose_no_update() {
    let subjects: Vec<Subject> = MODELS
        .iter()
        .map(|entry| Subject::new(env!("CARGO_BIN_EXE_serve")).args([entry.model.name]))
        .collect();
    for options in [&[][..], &["--no-tmpfile"]] {
        harness::counter(&subjects, options);
    }
}
