//! Solutions in files that are given away.

use super::PACKAGES;
use crate::error::LabError;
use crate::lab::Lab;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::{fs, io};

/// A line of a hole's body shorter than this reveals nothing.
const REVEALING: usize = 20;

/// A line as long as this reveals a hole that has no other.
const REVEALING_ALONE: usize = 32;

/// Where files below `directory` give a solution away: canaries, references, and the lines of holes.
///
/// A hint may be nearly the answer, so `lab.toml` is only searched for canaries; and so are the workspace's other
/// packages.
///
/// # Errors
///
/// A file or a lab cannot be read.
pub fn leaks(directory: &Path, labs: &[Lab]) -> Result<Vec<String>, LabError> {
    let fault = |error: io::Error| LabError::new(directory.display(), error);
    let (mut canaries, mut bodies) = (BTreeMap::new(), BTreeMap::new());
    for lab in labs {
        let templates = lab.templates()?;
        let given: String = templates.values().map(|template| template.starter()).collect();
        let given: BTreeSet<&str> = given.lines().map(str::trim).collect();
        for template in templates.values() {
            canaries.extend(template.canaries().map(|word| (word.to_owned(), lab.name())));
            for (hole, body) in template.bodies() {
                let lines = body.lines().map(str::trim);
                let lines = lines.filter(|line| line.len() >= REVEALING && !line.starts_with("//"));
                let lines: BTreeSet<String> =
                    lines.filter(|line| !given.contains(line)).map(str::to_owned).collect();
                bodies.insert((lab.name(), hole.to_owned()), lines);
            }
        }
    }
    let mut found = Vec::new();
    for (path, text) in texts_below(directory).map_err(fault)? {
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
        let package = path.components().next().map(|part| part.as_os_str().to_string_lossy());
        let own = package.is_some_and(|package| PACKAGES.contains(&&*package));
        if path.ends_with("lab.toml") || !(own || path.components().count() == 1) {
            continue;
        }
        let lines: BTreeSet<&str> = text.lines().map(str::trim).collect();
        for ((lab, hole), body) in &bodies {
            // One line by itself may be anybody's.
            let matches = body.iter().filter(|line| lines.contains(line.as_str()));
            let matches: Vec<&String> = matches.collect();
            let alone = |line: &String| body.len() == 1 && line.len() >= REVEALING_ALONE;
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

/// The contents of files below a directory, whatever they are.
fn texts_below(home: &Path) -> io::Result<BTreeMap<PathBuf, String>> {
    let mut texts = BTreeMap::new();
    let mut directories = vec![home.to_owned()];
    while let Some(directory) = directories.pop() {
        for entry in fs::read_dir(directory)? {
            let path = entry?.path();
            if path.is_dir() {
                directories.push(path);
            } else {
                let relative = path.strip_prefix(home).unwrap_or(&path).to_owned();
                texts.insert(relative, String::from_utf8_lossy(&fs::read(&path)?).into_owned());
            }
        }
    }
    Ok(texts)
}
