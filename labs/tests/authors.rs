//! What authors of labs have: a new lab's folder, and which labs a change concerns.

use labs::lab::Lab;
use labs::skeleton;
use labs::verify::{Changed, changed, consistency};
use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::Command;

#[test]
fn new_lab_lacks_only_texts() {
    let place = tempfile::tempdir().unwrap();
    let folder = skeleton::make(place.path(), "97", "new_one").unwrap();
    let lab = Lab::load(&folder).unwrap();
    assert_eq!((lab.number(), lab.points()), ("97".to_owned(), 10));
    let complaints = consistency(&lab).unwrap();
    // Its checks are not built into this test.
    let expected = |what: &String| {
        what.ends_with("is still to be written") || what.contains("not both in checks.rs")
    };
    let odd: Vec<&String> = complaints.iter().filter(|what| !expected(what)).collect();
    assert!(odd.is_empty(), "{odd:?}");
    assert!(complaints.len() > 5, "{complaints:?}");
    assert_eq!(lab.mutants().unwrap().len(), 1);
    assert_eq!(lab.alternatives().unwrap().len(), 2);
    // Two labs never have the same canary.
    let other = Lab::load(&skeleton::make(place.path(), "98", "another").unwrap()).unwrap();
    let canaries = |lab: &Lab| -> BTreeSet<String> {
        let templates = lab.templates().unwrap();
        templates
            .values()
            .flat_map(|t| t.canaries().map(str::to_owned).collect::<Vec<_>>())
            .collect()
    };
    assert!(canaries(&lab).is_disjoint(&canaries(&other)));
    // An existing one is never written over.
    assert!(skeleton::make(place.path(), "97", "new_one").is_err());
}

fn git(root: &Path, args: &[&str]) {
    let mut command = Command::new("git");
    command.arg("-C").arg(root).args(["-c", "user.name=a", "-c", "user.email=a@b"]);
    let output = command.args(args).output().unwrap();
    assert!(output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn change_concerns_touched_and_dependent_labs() {
    let place = tempfile::tempdir().unwrap();
    let (root, home) = (place.path(), place.path().join("labs"));
    fs::create_dir_all(home.join("src")).unwrap();
    for (number, name) in [("95", "alone"), ("97", "earlier"), ("98", "later")] {
        skeleton::make(&home, number, name).unwrap();
    }
    let later = home.join("98_later/lab.toml");
    let text = fs::read_to_string(&later).unwrap();
    fs::write(later, format!("builds_on = [\"97_earlier\"]\n{text}")).unwrap();
    let labs = Lab::all(&home).unwrap();
    let concerned = || changed(&labs, root, "base").unwrap();
    // Without Git nothing can be told, so all are concerned.
    assert!(matches!(concerned(), Changed::All(why) if why.contains("cannot tell")));
    git(root, &["init", "-q"]);
    git(root, &["add", "-A"]);
    git(root, &["commit", "-qm", "one"]);
    assert!(matches!(concerned(), Changed::All(_)), "there is no commit `base`");
    git(root, &["branch", "base"]);
    let names =
        |names: &[&str]| Changed::Labs(names.iter().map(|name| (*name).to_owned()).collect());
    assert_eq!(concerned(), names(&[]));
    fs::write(home.join("95_alone/guide.en.md"), "changed").unwrap();
    assert_eq!(concerned(), names(&["95_alone"]));
    git(root, &["commit", "-qam", "two"]);
    assert_eq!(concerned(), names(&["95_alone"]));
    // A new file counts before it is known to Git.
    fs::write(home.join("97_earlier/wrong/new.rs"), "").unwrap();
    assert_eq!(concerned(), names(&["95_alone", "97_earlier", "98_later"]));
    fs::write(root.join("README.md"), "").unwrap();
    assert_eq!(concerned(), names(&["95_alone", "97_earlier", "98_later"]));
    fs::write(home.join("src/grader.rs"), "").unwrap();
    assert!(matches!(concerned(), Changed::All(why) if why.contains("labs/src/grader.rs")));
}
