//! Every lab's texts: two guides that say the same, and everything in both languages.

use labs::guides;
use labs::lab::Lab;

#[test]
fn guides_match_each_other_and_checks() {
    let mut found = Vec::new();
    for lab in Lab::all(&labs::labs_directory()).unwrap() {
        // A lab that has no checks yet has no guides either.
        if lab.manifest.checks.is_empty() {
            continue;
        }
        let complaints = guides::complaints(&lab).unwrap();
        found.extend(complaints.into_iter().map(|what| format!("{}: {what}", lab.name())));
    }
    assert!(found.is_empty(), "{}", found.join("\n"));
}
