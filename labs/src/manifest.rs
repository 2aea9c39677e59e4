//! `lab.toml`: what is known of a lab without its programs.

use serde::Deserialize;
use std::collections::BTreeMap;
use std::path::PathBuf;

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
    /// The labs whose libraries this one uses, by the names of their directories.
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

/// Something that the student writes.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Hole {
    /// Its name in the source.
    pub name: String,
    /// Earlier names, which a student's source and progress may still have.
    #[serde(default)]
    pub formerly: Vec<String>,
    /// Three levels of help, from a question to nearly the answer.
    pub hints: [Text; 3],
}

/// What is known of a check without running it.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CheckInfo {
    /// `group.name`.
    pub id: String,
    /// Earlier names, which a student's progress may still have.
    #[serde(default)]
    pub formerly: Vec<String>,
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
