//! What a lab says of itself: its folder, and `lab.toml` in it.
//!
//! | in the folder | what |
//! |---|---|
//! | `lab.toml` | titles, holes with their hints, checks with their points and meanings |
//! | `guide.en.md`, `guide.zh.md` | what the student reads |
//! | `reference/` | a package: the program, with its holes marked (see [`crate::splice`]) |
//! | `starter/` | in a copy that was given away: what the student begins with, generated from the reference |
//! | `wrong/*.rs`, `alternative/*.rs` | fillings: what must be caught, and what must pass |
//! | `checks.rs` | the checks' code |
//!
//! A lab with a `library` in its `lab.toml` has one beside its programs, called `lab` and its number. Labs whose
//! `builds_on` names it depend on that package, which lies next to their own: in the student's folder it is what the
//! student has written, and in `verify` it is the reference.

use crate::splice::{Filling, Template};
use serde::Deserialize;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::{fmt, fs, io};

/// A text in the languages of the guides.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Eq)]
#[serde(deny_unknown_fields)]
pub struct Text {
    /// English.
    pub en: String,
    /// Chinese.
    pub zh: String,
}

/// The language of what is printed for the student.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Language {
    /// English
    #[default]
    En,
    /// Chinese
    Zh,
}

impl Text {
    /// In this language.
    pub fn get(&self, language: Language) -> &str {
        match language {
            Language::En => &self.en,
            Language::Zh => &self.zh,
        }
    }
}

/// A lab.
#[derive(Clone, Debug)]
pub struct Lab {
    /// Its folder.
    pub folder: PathBuf,
    /// What its `lab.toml` says.
    pub manifest: Manifest,
}

/// `lab.toml`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// What it is called in a table.
    pub title: Text,
    /// The programs that the student builds, with the files that they begin in.
    pub programs: BTreeMap<String, PathBuf>,
    /// The file in which the library begins that other labs use.
    pub library: Option<PathBuf>,
    /// The labs whose libraries this one uses, by the names of their folders.
    #[serde(default)]
    pub builds_on: Vec<String>,
    /// The options with which the program `server` takes part in a comparison, if it speaks the file protocol.
    pub bench: Option<Vec<String>>,
    /// What the student writes.
    #[serde(rename = "hole")]
    pub holes: Vec<Hole>,
    /// How it is graded.
    #[serde(rename = "check")]
    pub checks: Vec<CheckInfo>,
}

/// The files of a package, by their paths in it.
pub type Files = BTreeMap<PathBuf, String>;

/// Something that the student writes.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Hole {
    /// Its name in the source.
    pub name: String,
    /// The name that it had once, which a student's folder may still have.
    pub formerly: Option<String>,
    /// Three levels of help, from a question to nearly the answer.
    pub hints: [Text; 3],
}

/// What is known of a check without running it.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CheckInfo {
    /// `group.name`.
    pub id: String,
    /// How many points it is worth.
    pub points: u32,
    /// What a pass shows.
    pub title: Text,
    /// What it means when it fails, whatever was observed.
    pub meaning: Text,
    /// How to see it without the grader.
    pub look: Text,
    /// The hole that most likely has the fault.
    pub hole: Option<String>,
    /// How long it may take in all, in seconds: a fail-safe, since each wait of it has its own bound.
    #[serde(default = "fail_safe")]
    pub deadline: u64,
}

fn fail_safe() -> u64 {
    20
}

impl CheckInfo {
    /// What stands before the dot.
    pub fn group(&self) -> &str {
        self.id.split('.').next().unwrap_or_default()
    }
}

/// Why a lab cannot be used: it, and not its student, is at fault.
#[derive(Clone, Debug)]
pub struct Broken {
    place: String,
    why: String,
}

impl Broken {
    pub(crate) fn new(place: impl fmt::Display, why: impl fmt::Display) -> Broken {
        Broken { place: place.to_string(), why: why.to_string() }
    }
}

impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.place, self.why)
    }
}

impl std::error::Error for Broken {}

impl Lab {
    /// All labs below `home`, by their numbers.
    ///
    /// # Errors
    ///
    /// The folder cannot be read, or a `lab.toml` is wrong.
    pub fn all(home: &Path) -> Result<Vec<Lab>, Broken> {
        let mut folders: Vec<PathBuf> = read_dir(home)?;
        folders.retain(|folder| folder.join("lab.toml").is_file());
        folders.into_iter().map(|folder| Lab::load(&folder)).collect()
    }

    /// The lab in this folder.
    ///
    /// # Errors
    ///
    /// Its `lab.toml` cannot be read or says what cannot be.
    pub fn load(folder: &Path) -> Result<Lab, Broken> {
        let path = folder.join("lab.toml");
        let manifest: Manifest =
            toml::from_str(&read(&path)?).map_err(|error| Broken::new(path.display(), error))?;
        let lab = Lab { folder: folder.to_owned(), manifest };
        let mut ids = BTreeSet::new();
        for check in &lab.manifest.checks {
            let wrong =
                |why: &str| Err(Broken::new(path.display(), format!("{}: {why}", check.id)));
            if !ids.insert(&check.id) {
                return wrong("there are two of it");
            }
            if check.id.split('.').count() != 2 {
                return wrong("a check is called `group.name`");
            }
            if check.hole.as_ref().is_some_and(|hole| lab.hole(hole).is_none()) {
                return wrong("its hole is not in the list of holes");
            }
        }
        Ok(lab)
    }

    /// The folder's name, as in `08_fork_server`.
    pub fn name(&self) -> String {
        self.folder.file_name().unwrap_or_default().to_string_lossy().into_owned()
    }

    /// The number, as in `08`.
    pub fn number(&self) -> String {
        self.name().chars().take_while(char::is_ascii_digit).collect()
    }

    /// All points together.
    pub fn points(&self) -> u32 {
        self.manifest.checks.iter().map(|check| check.points).sum()
    }

    /// The hole of this name, or that had it once.
    pub fn hole(&self, name: &str) -> Option<&Hole> {
        let mut holes = self.manifest.holes.iter();
        holes
            .clone()
            .find(|hole| hole.name == name)
            .or_else(|| holes.find(|hole| hole.formerly.as_deref() == Some(name)))
    }

    /// The check of this name.
    pub fn check(&self, id: &str) -> Option<&CheckInfo> {
        self.manifest.checks.iter().find(|check| check.id == id)
    }

    /// The labs whose libraries this one uses.
    ///
    /// # Errors
    ///
    /// One of them cannot be used.
    pub fn builds_on(&self) -> Result<Vec<Lab>, Broken> {
        let names = self.manifest.builds_on.iter();
        names.map(|name| Lab::load(&self.folder.with_file_name(name))).collect()
    }

    /// The reference's sources with their paths below the package, taken apart.
    ///
    /// # Errors
    ///
    /// They cannot be read, or a mark in them is wrong.
    pub fn templates(&self) -> Result<BTreeMap<PathBuf, Template>, Broken> {
        let home = self.folder.join("reference");
        let mut templates = BTreeMap::new();
        let mut folders = vec![home.join("src")];
        while let Some(folder) = folders.pop() {
            for path in read_dir(&folder)? {
                if path.is_dir() {
                    folders.push(path);
                    continue;
                }
                let relative = path.strip_prefix(&home).unwrap_or(&path).to_owned();
                let shown = relative.display().to_string();
                let template = Template::parse(&shown, &read(&path)?)
                    .map_err(|fault| Broken::new(self.folder.display(), fault))?;
                templates.insert(relative, template);
            }
        }
        Ok(templates)
    }

    /// The fillings in `wrong` or `alternative`, with their names.
    ///
    /// # Errors
    ///
    /// They cannot be read, or are no fillings.
    pub fn fillings(&self, kind: &str) -> Result<BTreeMap<String, Filling>, Broken> {
        let folder = self.folder.join(kind);
        if !folder.is_dir() {
            return Ok(BTreeMap::new());
        }
        let templates = self.templates()?;
        let bodies = templates.values().flat_map(Template::bodies);
        let bodies = bodies.map(|(hole, body)| (hole.to_owned(), body.to_owned())).collect();
        let mut fillings = BTreeMap::new();
        for path in read_dir(&folder)? {
            let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
            let shown = format!("{kind}/{name}.rs");
            let filling = Filling::parse(&shown, &read(&path)?, &bodies)
                .map_err(|fault| Broken::new(self.folder.display(), fault))?;
            fillings.insert(name, filling);
        }
        Ok(fillings)
    }

    /// The files of this lab's package, as `sources` makes the program.
    fn package(&self, sources: impl Fn(&Template) -> String) -> Result<Files, Broken> {
        let templates = self.templates()?.into_iter();
        let mut files: Files =
            templates.map(|(path, template)| (path, sources(&template))).collect();
        files.insert("Cargo.toml".into(), self.cargo_toml()?);
        Ok(files)
    }

    /// The package as `sources` makes the program, and the references of the labs that it builds on: by the labs' names.
    pub(crate) fn packages(
        &self,
        sources: impl Fn(&Template) -> String,
    ) -> Result<BTreeMap<String, Files>, Broken> {
        let mut packages = BTreeMap::from([(self.name(), self.package(sources)?)]);
        for lab in self.builds_on()? {
            packages.extend(lab.reference()?);
        }
        Ok(packages)
    }

    /// The reference without marks, and those of the labs that it builds on: by the labs' names.
    ///
    /// # Errors
    ///
    /// The lab cannot be read, as in a student's copy.
    pub fn reference(&self) -> Result<BTreeMap<String, Files>, Broken> {
        self.packages(|template| template.filled(&Filling::default()))
    }

    /// The files that the student begins with.
    ///
    /// # Errors
    ///
    /// The lab cannot be read.
    pub fn starter(&self) -> Result<Files, Broken> {
        if !self.has_reference() {
            let home = self.folder.join("starter");
            return files_below(&home).map_err(|error| Broken::new(home.display(), error));
        }
        self.package(Template::starter)
    }

    /// Whether this is an author's copy of the lab, and not a student's.
    pub fn has_reference(&self) -> bool {
        self.folder.join("reference").is_dir()
    }

    /// What the library is called in programs that use it.
    fn library_name(&self) -> String {
        format!("lab{}", self.number())
    }

    /// The student's own: std, libc, nix, and the libraries of earlier labs. What a stub leaves unused is no fault of theirs.
    fn cargo_toml(&self) -> Result<String, Broken> {
        let name = self.name();
        let mut targets = String::new();
        if let Some(path) = &self.manifest.library {
            let (library, path) = (self.library_name(), path.display());
            targets += &format!("[lib]\nname = \"{library}\"\npath = \"{path}\"\n\n");
        }
        for (name, path) in &self.manifest.programs {
            targets += &format!("[[bin]]\nname = \"{name}\"\npath = \"{}\"\n\n", path.display());
        }
        let mut dependencies = DEPENDENCIES.to_owned();
        for lab in self.builds_on()? {
            let (library, name) = (lab.library_name(), lab.name());
            dependencies +=
                &format!("{library} = {{ package = \"lab{name}\", path = \"../{name}\" }}\n");
        }
        Ok(format!(
            "[package]\nname = \"lab{name}\"\nversion = \"0.1.0\"\nedition = \"2024\"\npublish = false\n\n\
             {targets}{dependencies}\n\
             [lints.rust]\nunused = \"allow\"\nunreachable_code = \"allow\"\n"
        ))
    }
}

/// What a student's program may use; the same for all labs, so that it is built once.
pub(crate) const DEPENDENCIES: &str = "\
[dependencies]
libc = \"0.2\"
nix = { version = \"0.31\", features = [\"event\", \"fs\", \"net\", \"poll\", \"process\", \"signal\", \"socket\", \"uio\"] }
";

/// The texts of the files below a folder, by their paths there; none if there is no such folder.
///
/// # Errors
///
/// A file cannot be read as text.
pub fn files_below(home: &Path) -> io::Result<Files> {
    let mut files = Files::new();
    let mut folders = vec![home.to_owned()];
    while let Some(folder) = folders.pop() {
        let entries = match fs::read_dir(&folder) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            entries => entries?,
        };
        for entry in entries {
            let path = entry?.path();
            if path.is_dir() {
                folders.push(path);
            } else {
                let relative = path.strip_prefix(home).unwrap_or(&path).to_owned();
                files.insert(relative, fs::read_to_string(&path)?);
            }
        }
    }
    Ok(files)
}

fn read(path: &Path) -> Result<String, Broken> {
    fs::read_to_string(path).map_err(|error| Broken::new(path.display(), error))
}

fn read_dir(path: &Path) -> Result<Vec<PathBuf>, Broken> {
    let entries = || -> io::Result<Vec<PathBuf>> {
        fs::read_dir(path)?.map(|entry| Ok(entry?.path())).collect()
    };
    let mut entries = entries().map_err(|error| Broken::new(path.display(), error))?;
    entries.sort();
    Ok(entries)
}
