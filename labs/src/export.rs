//! Copies of the course to give away: one for students, with no solution in it, and one for instructors, with
//! everything.
//!
//! | in a student's copy | why |
//! |---|---|
//! | `labs/`, `harness/` | the source of the `lab` command, which is built there |
//! | the other packages | the client, the load generator and the servers, which the guides use; a *bare* copy is without |
//! | `labs/NN_name/` | `lab.toml`, the guides, `checks.rs`, `starter/`; no reference, no wrong or alternative programs |
//! | `labs/dependencies/` | an empty package that depends on what students' programs may use, so that it is vendored |
//! | `vendor/`, `.cargo/config.toml` | every crate that is needed: it builds without a network |
//!
//! The copy is made beside its place and looked through for every canary and for the bodies of the holes. It only
//! gets its name when nothing was found, so a copy with a solution in it never exists.

use crate::error::LabError;
use crate::lab::{DEPENDENCIES, Lab};
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// The packages of the workspace that the command is made of: all that a bare copy has.
const PACKAGES: [&str; 2] = ["harness", "labs"];

/// Files of the workspace's root that students get as they are.
const DOCUMENTS: [&str; 4] = ["PROTOCOL.md", "LICENSE-APACHE", "LICENSE-MIT", ".gitignore"];

/// What stays behind of a package: it is there to be used, not to be worked on.
const LEFT_OUT: [&str; 3] = ["tests", "benches", "target"];

/// A line of a hole's body shorter than this gives nothing away.
const TELLING: usize = 20;

/// A line as long as this gives a hole away that has no other.
const TELLING_ALONE: usize = 32;

/// What a student's copy is to be.
#[derive(Clone, Copy, Debug)]
pub struct Plan<'a> {
    /// The root of the workspace that is copied.
    pub root: &'a Path,
    /// Every lab that there is: none of their solutions may be in the copy.
    pub all: &'a [Lab],
    /// The labs that the copy has.
    pub chosen: &'a [&'a Lab],
    /// Whether the workspace's other programs are left out.
    pub bare: bool,
    /// Whether the crates that are needed are put into the copy.
    pub vendor: bool,
}

/// Makes a student's copy at `place`, which must not exist or be empty.
///
/// # Errors
///
/// Something cannot be read or written, Cargo cannot vendor, or a solution is in the copy; then there is none.
pub fn student(plan: &Plan<'_>, place: &Path) -> Result<(), LabError> {
    let fault = |error: io::Error| LabError::new(place.display(), error);
    let unfinished = Unfinished::beside(place)?;
    let copy = &unfinished.0;
    for document in DOCUMENTS {
        let source = plan.root.join(document);
        if source.is_file() {
            write(&copy.join(document), &fs::read(source).map_err(fault)?)?;
        }
    }
    let packages = packages(plan)?;
    let mut used = BTreeSet::new();
    for package in &packages {
        let (source, target) = (plan.root.join(package), copy.join(package));
        let manifest = without_tests(&source.join("Cargo.toml"))?;
        used.extend(dependencies_of(&manifest));
        // The folder of `labs` has the labs in it.
        let parts = if package == "labs" { &["src", "build.rs"][..] } else { &["."] };
        for part in parts {
            copy_all(&source.join(part), &target.join(part)).map_err(fault)?;
        }
        write(&target.join("Cargo.toml"), shown(&manifest).as_bytes())?;
    }
    write(&copy.join("Cargo.toml"), workspace(plan.root, &packages, &used)?.as_bytes())?;
    // Cargo takes out of it what is not needed.
    let lock = fs::read(plan.root.join("Cargo.lock")).map_err(fault)?;
    write(&copy.join("Cargo.lock"), &lock)?;
    let dependencies = copy.join("labs/dependencies");
    write(&dependencies.join("src/lib.rs"), b"//! What the programs of the labs may use.\n")?;
    let manifest = format!(
        "[package]\nname = \"lab_dependencies\"\nversion = \"0.1.0\"\nedition = \"2024\"\npublish = false\n\n{DEPENDENCIES}"
    );
    write(&dependencies.join("Cargo.toml"), manifest.as_bytes())?;
    for lab in plan.chosen {
        copy_lab(lab, &copy.join("labs").join(lab.name()))?;
    }
    write(&copy.join("README.md"), README.as_bytes())?;
    let config = if plan.bare { CONFIG.to_owned() } else { format!("{CONFIG}{LOADGEN}") };
    write(&copy.join(".cargo/config.toml"), config.as_bytes())?;
    let found = leaks(copy, plan.all)?;
    if !found.is_empty() {
        let why = format!("a solution would be given away, so nothing is:\n{}", found.join("\n"));
        return Err(LabError::new(place.display(), why));
    }
    if plan.vendor {
        vendor(copy)?;
        let config = format!("{config}{VENDORED}");
        write(&copy.join(".cargo/config.toml"), config.as_bytes())?;
    } else {
        cargo(copy, &["update", "--workspace", "--quiet"])?;
    }
    unfinished.finish(place)
}

/// Makes an instructor's copy at `place`: every file that is under version control or could be, and the starters.
///
/// # Errors
///
/// Something cannot be read or written, or `root` is not under Git.
pub fn instructor(root: &Path, place: &Path) -> Result<usize, LabError> {
    let fault = |error: io::Error| LabError::new(place.display(), error);
    let output = Command::new("git")
        .arg("-C")
        .arg(root)
        .args(["ls-files", "--cached", "--others", "--exclude-standard", "-z"])
        .stdin(Stdio::null())
        .output()
        .map_err(|error| LabError::new("git", error))?;
    if !output.status.success() {
        let why = String::from_utf8_lossy(&output.stderr).trim().to_owned();
        return Err(LabError::new(root.display(), why));
    }
    let unfinished = Unfinished::beside(place)?;
    let mut copied = 0;
    for name in output.stdout.split(|byte| *byte == 0).filter(|name| !name.is_empty()) {
        let name = String::from_utf8_lossy(name).into_owned();
        let (source, target) = (root.join(&name), unfinished.0.join(&name));
        let Ok(kind) = source.symlink_metadata() else { continue };
        fs::create_dir_all(target.parent().unwrap_or(place)).map_err(fault)?;
        if kind.is_symlink() {
            let leads = fs::read_link(&source).map_err(fault)?;
            std::os::unix::fs::symlink(leads, &target).map_err(fault)?;
        } else {
            fs::copy(&source, &target).map_err(fault)?;
        }
        copied += 1;
    }
    for lab in Lab::all(&unfinished.0.join("labs"))? {
        write_starter(&lab, &lab.directory)?;
    }
    unfinished.finish(place)?;
    Ok(copied)
}

/// The labs that these build on, and which are not among them.
pub fn earlier<'a>(all: &'a [Lab], chosen: &[&Lab]) -> Vec<&'a Lab> {
    let needed = |lab: &&Lab| {
        let name = lab.name();
        chosen.iter().any(|other| other.manifest.builds_on.contains(&name))
            && chosen.iter().all(|other| other.name() != name)
    };
    all.iter().filter(needed).collect()
}

/// Where files below `folder` give a solution away: canaries, references, and the lines of holes.
///
/// A hint may be nearly the answer, so `lab.toml` is only searched for canaries; and so are the workspace's other
/// packages.
///
/// # Errors
///
/// A file or a lab cannot be read.
pub fn leaks(folder: &Path, labs: &[Lab]) -> Result<Vec<String>, LabError> {
    let fault = |error: io::Error| LabError::new(folder.display(), error);
    let (mut canaries, mut bodies) = (BTreeMap::new(), BTreeMap::new());
    for lab in labs {
        let templates = lab.templates()?;
        let given: String = templates.values().map(|template| template.starter()).collect();
        let given: BTreeSet<&str> = given.lines().map(str::trim).collect();
        for template in templates.values() {
            canaries.extend(template.canaries().map(|word| (word.to_owned(), lab.name())));
            for (hole, body) in template.bodies() {
                let lines = body.lines().map(str::trim);
                let lines = lines.filter(|line| line.len() >= TELLING && !line.starts_with("//"));
                let lines: BTreeSet<String> =
                    lines.filter(|line| !given.contains(line)).map(str::to_owned).collect();
                bodies.insert((lab.name(), hole.to_owned()), lines);
            }
        }
    }
    let mut found = Vec::new();
    for (path, text) in texts_below(folder).map_err(fault)? {
        let shown = path.display();
        if path.components().any(|part| {
            ["reference", "wrong", "alternative"].contains(&&*part.as_os_str().to_string_lossy())
        }) {
            found.push(format!("{shown}: is not for students"));
        }
        for (word, lab) in &canaries {
            if text.contains(word.as_str()) {
                found.push(format!("{shown}: has the canary `{word}` of {lab}"));
            }
        }
        // The workspace's own servers do what some labs ask for, in another way; a line may be the same.
        let folder = path.components().next().map(|part| part.as_os_str().to_string_lossy());
        let own = folder.is_some_and(|folder| PACKAGES.contains(&&*folder));
        if path.ends_with("lab.toml") || !(own || path.components().count() == 1) {
            continue;
        }
        let lines: BTreeSet<&str> = text.lines().map(str::trim).collect();
        for ((lab, hole), body) in &bodies {
            // One line by itself may be anybody's.
            let matches = body.iter().filter(|line| lines.contains(line.as_str()));
            let matches: Vec<&String> = matches.collect();
            let alone = |line: &String| body.len() == 1 && line.len() >= TELLING_ALONE;
            // Nor are a few of many.
            let most = matches.len() >= 2 && matches.len() * 2 >= body.len();
            if most || matches.iter().any(|line| alone(line)) {
                found.push(format!(
                    "{shown}: has {} lines of the hole `{hole}` of {lab}, as in: {}",
                    matches.len(),
                    matches[0]
                ));
            }
        }
    }
    Ok(found)
}

/// What files below a folder hold, whatever it is.
fn texts_below(home: &Path) -> io::Result<BTreeMap<PathBuf, String>> {
    let mut texts = BTreeMap::new();
    let mut folders = vec![home.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder)? {
            let path = entry?.path();
            if path.is_dir() {
                folders.push(path);
            } else {
                let relative = path.strip_prefix(home).unwrap_or(&path).to_owned();
                texts.insert(relative, String::from_utf8_lossy(&fs::read(&path)?).into_owned());
            }
        }
    }
    Ok(texts)
}

/// A copy that has not got its name yet; it goes away unless it gets one.
struct Unfinished(PathBuf);

impl Unfinished {
    fn beside(place: &Path) -> Result<Unfinished, LabError> {
        let fault = |error: io::Error| LabError::new(place.display(), error);
        let taken = match fs::read_dir(place) {
            Ok(mut entries) => entries.next().is_some(),
            Err(error) if error.kind() == io::ErrorKind::NotFound => false,
            Err(error) => return Err(fault(error)),
        };
        if taken {
            return Err(LabError::new(place.display(), "is not empty"));
        }
        let place = std::path::absolute(place).map_err(fault)?;
        let parent =
            place.parent().ok_or_else(|| LabError::new(place.display(), "is no folder"))?;
        fs::create_dir_all(parent).map_err(fault)?;
        let name = place.file_name().unwrap_or_default().to_string_lossy();
        let copy = parent.join(format!(".{name}.unfinished-{}", std::process::id()));
        fs::create_dir(&copy).map_err(fault)?;
        Ok(Unfinished(copy))
    }

    fn finish(self, place: &Path) -> Result<(), LabError> {
        let fault = |error: io::Error| LabError::new(place.display(), error);
        // An empty folder may be there, which `rename` replaces.
        fs::rename(&self.0, std::path::absolute(place).map_err(fault)?).map_err(fault)
    }
}

impl Drop for Unfinished {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn write(path: &Path, bytes: &[u8]) -> Result<(), LabError> {
    let fault = |error: io::Error| LabError::new(path.display(), error);
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder).map_err(fault)?;
    }
    fs::write(path, bytes).map_err(fault)
}

/// What students get of a lab.
fn copy_lab(lab: &Lab, target: &Path) -> Result<(), LabError> {
    let text = |name: &str| {
        let path = lab.directory.join(name);
        fs::read_to_string(&path).map_err(|error| LabError::new(path.display(), error))
    };
    for name in ["lab.toml", "guide.en.md", "guide.zh.md", "checks.rs"] {
        write(&target.join(name), text(name)?.as_bytes())?;
    }
    write_starter(lab, target)
}

/// Writes what the student begins with to `starter/` below `target`.
fn write_starter(lab: &Lab, target: &Path) -> Result<(), LabError> {
    for (path, text) in lab.starter()? {
        write(&target.join("starter").join(path), text.as_bytes())?;
    }
    Ok(())
}

fn table(path: &Path) -> Result<toml::Table, LabError> {
    let fault = |error: &dyn std::fmt::Display| LabError::new(path.display(), error);
    let text = fs::read_to_string(path).map_err(|error| fault(&error))?;
    text.parse().map_err(|error| fault(&error))
}

fn shown(table: &toml::Table) -> String {
    toml::to_string_pretty(table).unwrap_or_default()
}

/// The packages of the copy, by their folders.
fn packages(plan: &Plan<'_>) -> Result<Vec<String>, LabError> {
    if plan.bare {
        return Ok(PACKAGES.map(str::to_owned).to_vec());
    }
    let manifest = table(&plan.root.join("Cargo.toml"))?;
    let members = manifest.get("workspace").and_then(|workspace| workspace.get("members"));
    let members = members.and_then(toml::Value::as_array).into_iter().flatten();
    let members = members.filter_map(|member| member.as_str().map(str::to_owned));
    // The others are the references.
    Ok(members.filter(|member| !member.contains('*')).collect())
}

/// Copies a file, or a folder with all that is in it and not [`LEFT_OUT`].
fn copy_all(source: &Path, target: &Path) -> io::Result<()> {
    if source.is_file() {
        fs::create_dir_all(target.parent().unwrap_or(target))?;
        return fs::copy(source, target).map(drop);
    }
    for entry in fs::read_dir(source)? {
        let name = entry?.file_name();
        if !LEFT_OUT.iter().any(|left| name == *left) {
            copy_all(&source.join(&name), &target.join(&name))?;
        }
    }
    Ok(())
}

/// A package's manifest without what its tests need, which stay behind.
fn without_tests(path: &Path) -> Result<toml::Table, LabError> {
    let mut manifest = table(path)?;
    for key in ["dev-dependencies", "test", "bench"] {
        manifest.remove(key);
    }
    // A program may be one that only tests start.
    let stays = |program: &toml::Value| {
        let folder = program.get("path").and_then(|path| path.as_str()?.split('/').next());
        !folder.is_some_and(|folder| LEFT_OUT.contains(&folder))
    };
    for key in ["bin", "example"] {
        if let Some(programs) = manifest.get_mut(key).and_then(toml::Value::as_array_mut) {
            programs.retain(stays);
        }
    }
    Ok(manifest)
}

fn dependencies_of(manifest: &toml::Table) -> Vec<String> {
    let tables = ["dependencies", "build-dependencies"];
    let tables = tables.iter().filter_map(|key| manifest.get(*key)?.as_table());
    tables.flat_map(|table| table.keys().cloned()).collect()
}

/// The manifest of the copy's workspace: as the original's, with fewer members and what these use.
fn workspace(
    root: &Path,
    packages: &[String],
    used: &BTreeSet<String>,
) -> Result<String, LabError> {
    let path = root.join("Cargo.toml");
    let mut manifest = table(&path)?;
    let workspace = manifest.get_mut("workspace").and_then(toml::Value::as_table_mut);
    let Some(workspace) = workspace else {
        return Err(LabError::new(path.display(), "has no workspace"));
    };
    let mut members: Vec<toml::Value> = packages.iter().map(|name| name.clone().into()).collect();
    members.push("labs/dependencies".into());
    workspace.insert("members".into(), members.into());
    // Students' own folder is a workspace of its own, wherever it lies.
    workspace.insert("exclude".into(), vec![toml::Value::from("my-labs")].into());
    if let Some(all) = workspace.get_mut("dependencies").and_then(toml::Value::as_table_mut) {
        all.retain(|name, _| used.contains(name));
    }
    Ok(shown(&manifest))
}

/// Puts the source of every crate that is needed into the copy.
fn vendor(copy: &Path) -> Result<(), LabError> {
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

fn cargo(folder: &Path, args: &[&str]) -> Result<(), LabError> {
    // What lies in Cargo's own store needs no network.
    let mut said = String::new();
    for offline in [&["--offline"][..], &[]] {
        let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
        let output = Command::new(cargo)
            .args(args)
            .args(offline)
            .current_dir(folder)
            .env_remove("CARGO_MANIFEST_DIR")
            .env_remove("CARGO_TARGET_DIR")
            .stdin(Stdio::null())
            .output()
            .map_err(|error| LabError::new("cargo", error))?;
        if output.status.success() {
            return Ok(());
        }
        said = String::from_utf8_lossy(&output.stderr).trim().to_owned();
    }
    Err(LabError::new(format!("cargo {}", args.join(" ")), said))
}

const CONFIG: &str = "\
[alias]
# The exercises: `cargo lab --help`.
lab = \"run --quiet -p labs --bin lab --\"
";

const LOADGEN: &str = "\
# The load generator: `cargo loadgen --help`.
loadgen = \"run --release --quiet -p benches --bin loadgen --\"
";

const VENDORED: &str = "
# Everything that is needed lies in `vendor`: no network is used.
[source.crates-io]
replace-with = \"vendored\"

[source.vendored]
directory = \"vendor\"
";

const README: &str = "\
# The labs

Concurrency models, by writing them. You need Linux, Rust and a C linker (`cc`); no network.

```sh
cargo lab start        # looks whether this machine has what it needs, and opens the first lab
cargo lab test 00      # builds and grades what you have written
cargo lab --help
```

You work in `my-labs/`, where each lab that you open has a guide in English and in Chinese. The protocol that the servers of the
labs speak is in `PROTOCOL.md`. Whatever else is here belongs to the tools: nothing of it has to be read.

## 实验

亲手写出各种并发模型。需要 Linux、Rust 和 C 链接器（`cc`），不需要网络。

```sh
cargo lab start        # 检查这台机器是否具备所需条件，并打开第一个实验
cargo lab test 00      # 构建并评分你写的程序
cargo lab --help
```

你在 `my-labs/` 里工作；打开的每个实验都有英文和中文指南。各实验的服务器所用的协议见 `PROTOCOL.md`。其余内容都是工具，
不必阅读。
";
