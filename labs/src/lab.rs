//! A lab: one directory.
//!
//! | in the directory | what |
//! |---|---|
//! | `lab.toml` | titles, holes with their hints, checks with their points and meanings |
//! | `guide.en.md`, `guide.zh.md` | what the student reads |
//! | `reference/` | a package: the program, with its holes marked (see [`crate::splice`]) |
//! | `starter/` | in a copy that was given away: what the student begins with, generated from the reference |
//! | `wrong/*.rs`, `alternative/*.rs` | fillings: what must be caught, and what must pass |
//! | `checks.rs` | the checks' code |
//!
//! A lab with a `library` in its `lab.toml` has one next to its programs, called `lab` and its number. Labs whose
//! `builds_on` names it depend on that package, which lies next to their own: in the student's folder it is what the
//! student has written, and in `verify` it is the reference.

use crate::error::LabError;
use crate::manifest::{CheckInfo, Hole, Manifest};
use crate::splice::{Filling, Template};
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::{fs, io};

/// The files of a package, by their paths in it.
pub type Files = BTreeMap<PathBuf, String>;

/// A lab.
#[derive(Clone, Debug)]
pub struct Lab {
    /// Where it lies.
    pub directory: PathBuf,
    /// What its `lab.toml` says.
    pub manifest: Manifest,
}

impl Lab {
    /// All labs below `parent`, by their numbers.
    ///
    /// # Errors
    ///
    /// The directory cannot be read, or a `lab.toml` is wrong.
    pub fn all(parent: &Path) -> Result<Vec<Lab>, LabError> {
        let mut directories: Vec<PathBuf> = read_dir(parent)?;
        directories.retain(|directory| directory.join("lab.toml").is_file());
        directories.iter().map(|directory| Lab::load(directory)).collect()
    }

    /// The lab in this directory.
    ///
    /// # Errors
    ///
    /// Its `lab.toml` cannot be read or says what cannot be.
    pub fn load(directory: &Path) -> Result<Lab, LabError> {
        let path = directory.join("lab.toml");
        let manifest: Manifest =
            toml::from_str(&read(&path)?).map_err(|error| LabError::new(path.display(), error))?;
        let lab = Lab { directory: directory.to_owned(), manifest };
        let mut ids = BTreeSet::new();
        for check in &lab.manifest.checks {
            let invalid =
                |why: &str| Err(LabError::new(path.display(), format!("{}: {why}", check.id)));
            if !ids.insert(&check.id) {
                return invalid("there are two of it");
            }
            if check.id.split('.').count() != 2 {
                return invalid("a check is called `group.name`");
            }
            if check.hole.as_ref().is_some_and(|hole| lab.hole(hole).is_none()) {
                return invalid("its hole is not in the list of holes");
            }
        }
        Ok(lab)
    }

    /// The directory's name, as in `08_fork_server`.
    pub fn name(&self) -> String {
        self.directory.file_name().unwrap_or_default().to_string_lossy().into_owned()
    }

    /// The number, as in `08`.
    pub fn number(&self) -> String {
        self.name().chars().take_while(char::is_ascii_digit).collect()
    }

    /// All points together.
    pub fn points(&self) -> u32 {
        self.manifest.checks.iter().map(|check| check.points).sum()
    }

    /// The hole that has this name, or had it.
    pub fn hole(&self, name: &str) -> Option<&Hole> {
        let holes = &self.manifest.holes;
        let had = |hole: &&Hole| hole.formerly.iter().any(|old| old == name);
        holes.iter().find(|hole| hole.name == name).or_else(|| holes.iter().find(had))
    }

    /// The check that has this name, or had it.
    pub fn check(&self, id: &str) -> Option<&CheckInfo> {
        let checks = &self.manifest.checks;
        let had = |check: &&CheckInfo| check.formerly.iter().any(|old| old == id);
        checks.iter().find(|check| check.id == id).or_else(|| checks.iter().find(had))
    }

    /// The labs whose libraries this one uses.
    ///
    /// # Errors
    ///
    /// One of them cannot be used.
    pub fn builds_on(&self) -> Result<Vec<Lab>, LabError> {
        let names = self.manifest.builds_on.iter();
        names.map(|name| Lab::load(&self.directory.with_file_name(name))).collect()
    }

    /// The reference's sources with their paths below the package, taken apart.
    ///
    /// # Errors
    ///
    /// They cannot be read, or a mark in them is wrong.
    pub fn templates(&self) -> Result<BTreeMap<PathBuf, Template>, LabError> {
        let home = self.directory.join("reference");
        let mut templates = BTreeMap::new();
        let mut directories = vec![home.join("src")];
        while let Some(directory) = directories.pop() {
            for path in read_dir(&directory)? {
                if path.is_dir() {
                    directories.push(path);
                    continue;
                }
                let relative = path.strip_prefix(&home).unwrap_or(&path).to_owned();
                let shown = relative.display().to_string();
                let template = Template::parse(&shown, &read(&path)?)
                    .map_err(|fault| LabError::new(self.directory.display(), fault))?;
                templates.insert(relative, template);
            }
        }
        Ok(templates)
    }

    /// The programs that must be caught, by their names: fillings in `wrong/`.
    ///
    /// # Errors
    ///
    /// They cannot be read, or are not fillings.
    pub fn mutants(&self) -> Result<BTreeMap<String, Filling>, LabError> {
        self.fillings("wrong")
    }

    /// The programs that are different and right, by their names: fillings in `alternative/`.
    ///
    /// # Errors
    ///
    /// They cannot be read, or are not fillings.
    pub fn alternatives(&self) -> Result<BTreeMap<String, Filling>, LabError> {
        self.fillings("alternative")
    }

    fn fillings(&self, kind: &str) -> Result<BTreeMap<String, Filling>, LabError> {
        let directory = self.directory.join(kind);
        if !directory.is_dir() {
            return Ok(BTreeMap::new());
        }
        let templates = self.templates()?;
        let bodies = templates.values().flat_map(Template::bodies);
        let bodies = bodies.map(|(hole, body)| (hole.to_owned(), body.to_owned())).collect();
        let mut fillings = BTreeMap::new();
        for path in read_dir(&directory)? {
            let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
            let shown = format!("{kind}/{name}.rs");
            let filling = Filling::parse(&shown, &read(&path)?, &bodies)
                .map_err(|fault| LabError::new(self.directory.display(), fault))?;
            fillings.insert(name, filling);
        }
        Ok(fillings)
    }

    /// The files of this lab's package, as `sources` makes the program.
    fn package(&self, sources: impl Fn(&Template) -> String) -> Result<Files, LabError> {
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
    ) -> Result<BTreeMap<String, Files>, LabError> {
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
    pub fn reference(&self) -> Result<BTreeMap<String, Files>, LabError> {
        self.packages(|template| template.filled(&Filling::default()))
    }

    /// The files that the student begins with.
    ///
    /// # Errors
    ///
    /// The lab cannot be read.
    pub fn starter(&self) -> Result<Files, LabError> {
        if !self.has_reference() {
            let home = self.directory.join("starter");
            return files_below(&home).map_err(|error| LabError::new(home.display(), error));
        }
        self.package(Template::starter)
    }

    /// Whether this is an author's copy of the lab, and not a student's.
    pub fn has_reference(&self) -> bool {
        self.directory.join("reference").is_dir()
    }

    /// What the library is called in programs that use it.
    pub(crate) fn library_name(&self) -> String {
        format!("lab{}", self.number())
    }

    /// The library in the manifest of the student's package, if the lab has one.
    pub(crate) fn library_target(&self) -> Option<String> {
        let (library, path) = (self.library_name(), self.manifest.library.as_ref()?.display());
        Some(format!("[lib]\nname = \"{library}\"\npath = \"{path}\"\n"))
    }

    /// The manifest of the student's package, which has std, libc, nix, and the libraries of earlier labs. It allows what a
    /// stub leaves unused.
    fn cargo_toml(&self) -> Result<String, LabError> {
        let name = self.name();
        let mut targets = String::new();
        targets.extend(self.library_target().map(|target| target + "\n"));
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

/// The texts of the files below a directory, by their paths there; none if it does not exist.
///
/// # Errors
///
/// A file cannot be read as text.
pub fn files_below(home: &Path) -> io::Result<Files> {
    let mut files = Files::new();
    let mut directories = vec![home.to_owned()];
    while let Some(directory) = directories.pop() {
        let entries = match fs::read_dir(&directory) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            entries => entries?,
        };
        for entry in entries {
            let path = entry?.path();
            if path.is_dir() {
                directories.push(path);
            } else {
                let relative = path.strip_prefix(home).unwrap_or(&path).to_owned();
                files.insert(relative, fs::read_to_string(&path)?);
            }
        }
    }
    Ok(files)
}

fn read(path: &Path) -> Result<String, LabError> {
    fs::read_to_string(path).map_err(|error| LabError::new(path.display(), error))
}

fn read_dir(path: &Path) -> Result<Vec<PathBuf>, LabError> {
    let entries = || -> io::Result<Vec<PathBuf>> {
        fs::read_dir(path)?.map(|entry| Ok(entry?.path())).collect()
    };
    let mut entries = entries().map_err(|error| LabError::new(path.display(), error))?;
    entries.sort();
    Ok(entries)
}
