//! Every model answers the same recorded bytes with the same bytes.

use benches::MODELS;
use harness::Subject;

#[test]
fn every_model_gives_the_same_replies() {
    let subjects: Vec<Subject> = MODELS
        .iter()
        .map(|entry| Subject::new(env!("CARGO_BIN_EXE_serve")).args([entry.model.name]))
        .collect();
    harness::equality(&subjects);
}
