//! What is given away: to students without the solutions, to instructors with all.

use labs::build::build;
use labs::export::{Plan, instructor, leaks, student};
use labs::lab::{Lab, files_below};
use labs::{labs_directory, skeleton, workspace_root};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

fn all() -> Vec<Lab> {
    Lab::all(&labs_directory()).unwrap()
}

/// Exports these labs without the crates that they need.
fn exported(all: &[Lab], place: &Path) -> PathBuf {
    let chosen: Vec<&Lab> = all.iter().filter(|lab| !lab.manifest.checks.is_empty()).collect();
    let copy = place.join("copy");
    student(
        &Plan { root: &workspace_root(), all, chosen: &chosen, bare: true, vendor: false },
        &copy,
    )
    .unwrap();
    copy
}

/// The command, as if it had been built in the copy.
fn lab(copy: &Path, args: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_lab"));
    command.env("CARGO_MANIFEST_DIR", copy.join("labs")).args(["--lang", "en"]).args(args);
    command.output().unwrap()
}

#[test]
fn student_copy_has_no_solution() {
    let (labs, place) = (all(), tempfile::tempdir().unwrap());
    let copy = exported(&labs, place.path());
    let files = files_below(&copy).unwrap();
    let mut canaries = 0;
    for lab in &labs {
        for template in lab.templates().unwrap().values() {
            for canary in template.canaries() {
                canaries += 1;
                for (path, text) in &files {
                    assert!(!text.contains(canary), "{canary} is in {}", path.display());
                }
            }
        }
    }
    assert!(canaries >= 4, "{canaries}");
    for path in files.keys() {
        let shown = path.display().to_string();
        let forbidden = ["/reference/", "/wrong/", "/alternative/"];
        assert!(!forbidden.iter().any(|part| shown.contains(part)), "{shown}");
    }
    assert_eq!(leaks(&copy, &labs).unwrap(), Vec::<String>::new());
}

#[test]
fn full_copy_has_what_guides_use() {
    let (labs, place) = (all(), tempfile::tempdir().unwrap());
    let copy = place.path().join("copy");
    let chosen: Vec<&Lab> = labs.iter().filter(|lab| lab.name() == "06_processes").collect();
    let plan =
        Plan { root: &workspace_root(), all: &labs, chosen: &chosen, bare: false, vendor: false };
    student(&plan, &copy).unwrap();
    for path in ["file_client/Cargo.toml", "benches/src/bin/loadgen/main.rs", "labs/06_processes"] {
        assert!(copy.join(path).exists(), "{path}");
    }
    for path in ["labs/00_layers", "labs/tests", "thread_server/tests", "benches/benches"] {
        assert!(!copy.join(path).exists(), "{path}");
    }
    assert_eq!(leaks(&copy, &labs).unwrap(), Vec::<String>::new());
    // Every program that a manifest names is there.
    let mut metadata = Command::new(env!("CARGO"));
    metadata.args(["metadata", "--offline", "--no-deps", "--format-version=1"]);
    let output = metadata.current_dir(&copy).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let metadata: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let sources: Vec<&str> = metadata["packages"]
        .as_array()
        .unwrap()
        .iter()
        .flat_map(|package| package["targets"].as_array().unwrap())
        .map(|target| target["src_path"].as_str().unwrap())
        .collect();
    assert!(sources.len() > 20, "{sources:?}");
    for source in sources {
        assert!(Path::new(source).is_file(), "{source}");
    }
}

#[test]
fn planted_leak_is_found() {
    let (labs, place) = (all(), tempfile::tempdir().unwrap());
    let copy = exported(&labs, place.path());
    let lab = labs.iter().find(|lab| lab.name() == "06_processes").unwrap();
    let reference = fs::read_to_string(lab.directory.join("reference/src/children.rs")).unwrap();
    let canary = reference.lines().find(|line| line.contains("lab:canary")).unwrap();
    let planted = |path: &str, text: &str| {
        let path = copy.join(path);
        let before = fs::read_to_string(&path).unwrap();
        fs::write(&path, format!("{before}\n{text}\n")).unwrap();
        let found = leaks(&copy, &labs).unwrap();
        fs::write(&path, before).unwrap();
        found.join("\n")
    };
    for path in ["labs/06_processes/lab.toml", "labs/06_processes/guide.zh.md", "README.md"] {
        assert!(planted(path, canary).contains("has the canary"), "{path}");
    }
    // The body of a hole, indented in another way.
    let body = reference.split("lab:hole wait").nth(1).unwrap();
    let body = body.split("// lab:stub").next().unwrap().replace("    ", "  ");
    let found = planted("labs/06_processes/starter/src/children.rs", &body);
    assert!(found.contains("lines of the hole `wait` of 06_processes"), "{found}");
    let found = planted("labs/00_layers/checks.rs", &body);
    assert!(found.contains("lines of the hole `wait` of 06_processes"), "{found}");
    fs::create_dir_all(copy.join("labs/06_processes/wrong")).unwrap();
    fs::write(copy.join("labs/06_processes/wrong/x.rs"), "").unwrap();
    assert!(leaks(&copy, &labs).unwrap()[0].contains("is not for students"));
}

#[test]
fn export_with_solution_is_refused() {
    let place = tempfile::tempdir().unwrap();
    let folder = skeleton::make(place.path(), "97", "leaky").unwrap();
    let reference = fs::read_to_string(folder.join("reference/src/main.rs")).unwrap();
    let canary = reference.lines().find(|line| line.contains("lab:canary")).unwrap();
    fs::write(folder.join("guide.en.md"), canary).unwrap();
    let labs = [Lab::load(&folder).unwrap()];
    let plan = Plan {
        root: &workspace_root(),
        all: &labs,
        chosen: &[&labs[0]],
        bare: true,
        vendor: false,
    };
    let copy = place.path().join("copy");
    let error = student(&plan, &copy).unwrap_err().to_string();
    assert!(error.contains("guide.en.md: has the canary"), "{error}");
    let left: Vec<_> = fs::read_dir(place.path()).unwrap().flatten().collect();
    assert_eq!(left.len(), 1, "{left:?}");
}

#[test]
fn student_copy_opens_dependent_labs() {
    let place = tempfile::tempdir().unwrap();
    let earlier = skeleton::make(place.path(), "97", "earlier").unwrap();
    let later = skeleton::make(place.path(), "98", "later").unwrap();
    let add = |folder: &Path, line: &str| {
        let path = folder.join("lab.toml");
        let text = fs::read_to_string(&path).unwrap();
        fs::write(path, format!("{line}\n{text}")).unwrap();
    };
    add(&earlier, "library = \"src/lib.rs\"");
    add(&later, "builds_on = [\"97_earlier\"]");
    fs::write(earlier.join("reference/src/lib.rs"), "//! Nothing.\n").unwrap();
    let labs = Lab::all(place.path()).unwrap();
    let copy = exported(&labs, place.path());
    let exported = Lab::all(&copy.join("labs")).unwrap();
    assert_eq!(exported[1].starter().unwrap(), labs[1].starter().unwrap());
    let early = lab(&copy, &["open", "98"]);
    let text = String::from_utf8_lossy(&early.stderr).into_owned();
    assert!(text.contains("cargo lab open 97"), "{text}");
    assert!(lab(&copy, &["open", "97"]).status.success());
    assert!(lab(&copy, &["open", "98"]).status.success());
    let package = |name: &str| {
        fs::read_to_string(copy.join("my-labs").join(name).join("Cargo.toml")).unwrap()
    };
    assert!(package("97_earlier").contains("[lib]\nname = \"lab97\""));
    let dependency = "lab97 = { package = \"lab97_earlier\", path = \"../97_earlier\" }";
    assert!(package("98_later").contains(dependency));
}

/// Compiles the command in a copy, without the network.
fn compiles(copy: &Path) {
    let mut cargo = Command::new(env!("CARGO"));
    cargo.args(["check", "--quiet", "--offline", "--bins", "-p", "labs"]).current_dir(copy);
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).join("exports");
    let output = cargo.env("CARGO_TARGET_DIR", target).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn student_copy_builds() {
    let (labs, place) = (all(), tempfile::tempdir().unwrap());
    let copy = exported(&labs, place.path());
    compiles(&copy);
    for number in ["04", "08"] {
        let opened = lab(&copy, &["open", number]);
        assert!(opened.status.success(), "{}", String::from_utf8_lossy(&opened.stderr));
    }
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).join("labs");
    let built = build(&copy.join("my-labs/08_fork_server"), &target).unwrap();
    assert!(built.programs.contains_key("server") && built.warnings.is_empty(), "{built:?}");
}

#[test]
fn author_commands_need_instructors_copy() {
    let (labs, place) = (all(), tempfile::tempdir().unwrap());
    let copy = exported(&labs, place.path());
    for args in [&["verify"][..], &["new", "99", "x"], &["export", "--student", "x"]] {
        let output = lab(&copy, args);
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(2), "{args:?}: {text}");
        assert!(text.contains("needs the instructor's copy"), "{args:?}: {text}");
    }
    assert!(lab(&copy, &["open", "06"]).status.success());
}

#[test]
fn export_never_overwrites() {
    let (labs, place) = (all(), tempfile::tempdir().unwrap());
    fs::write(place.path().join("mine"), "").unwrap();
    let plan = Plan { root: &workspace_root(), all: &labs, chosen: &[], bare: true, vendor: false };
    assert!(student(&plan, place.path()).unwrap_err().to_string().contains("is not empty"));
    assert!(
        instructor(&workspace_root(), place.path())
            .unwrap_err()
            .to_string()
            .contains("is not empty")
    );
}

#[test]
fn instructor_copy_has_everything() {
    let place = tempfile::tempdir().unwrap();
    let copy = place.path().join("copy");
    if let Err(error) = instructor(&workspace_root(), &copy) {
        eprintln!("SKIPPED: {error}");
        return;
    }
    let labs = Lab::all(&copy.join("labs")).unwrap();
    assert!(labs.iter().all(Lab::has_reference));
    assert_eq!(labs.len(), all().len());
    assert!(copy.join("labs/06_processes/starter/src/children.rs").is_file());
    compiles(&copy);
    assert!(copy.join("Cargo.lock").is_file() && !copy.join("target").exists());
}
