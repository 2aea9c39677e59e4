//! The packages of a student's copy, and its workspace.

use super::{PACKAGES, Plan};
use crate::error::LabError;
use std::collections::BTreeSet;
use std::path::Path;
use std::{fs, io};

/// What stays behind of a package: it is there to be used, not to be worked on.
const LEFT_OUT: [&str; 3] = ["tests", "benches", "target"];

fn table(path: &Path) -> Result<toml::Table, LabError> {
    let fault = |error: &dyn std::fmt::Display| LabError::new(path.display(), error);
    let text = fs::read_to_string(path).map_err(|error| fault(&error))?;
    text.parse().map_err(|error| fault(&error))
}

pub(super) fn to_text(table: &toml::Table) -> String {
    toml::to_string_pretty(table).unwrap_or_default()
}

/// The packages of the copy, by their directories.
pub(super) fn packages(plan: &Plan<'_>) -> Result<Vec<String>, LabError> {
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

/// Copies a file, or a directory with all that is in it and not [`LEFT_OUT`].
pub(super) fn copy_all(source: &Path, target: &Path) -> io::Result<()> {
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
pub(super) fn without_tests(path: &Path) -> Result<toml::Table, LabError> {
    let mut manifest = table(path)?;
    for key in ["dev-dependencies", "test", "bench"] {
        manifest.remove(key);
    }
    // A program may be one that only tests start.
    let stays = |program: &toml::Value| {
        let directory = program.get("path").and_then(|path| path.as_str()?.split('/').next());
        !directory.is_some_and(|directory| LEFT_OUT.contains(&directory))
    };
    for key in ["bin", "example"] {
        if let Some(programs) = manifest.get_mut(key).and_then(toml::Value::as_array_mut) {
            programs.retain(stays);
        }
    }
    Ok(manifest)
}

pub(super) fn dependencies_of(manifest: &toml::Table) -> Vec<String> {
    let tables = ["dependencies", "build-dependencies"];
    let tables = tables.iter().filter_map(|key| manifest.get(*key)?.as_table());
    tables.flat_map(|table| table.keys().cloned()).collect()
}

/// The manifest of the copy's workspace: as the original's, with fewer members and what these use.
pub(super) fn workspace(
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
    Ok(to_text(&manifest))
}
