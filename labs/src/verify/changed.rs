//! Which labs a change concerns.

use crate::error::LabError;
use crate::lab::Lab;
use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;

/// Which labs a change concerns.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Changed {
    /// Every one: why.
    All(String),
    /// Those of these names.
    Labs(BTreeSet<String>),
}

/// What the machinery consists of: a change of it may change what any lab's checks do.
const MACHINERY: [&str; 7] = [
    "labs/src/",
    "labs/build.rs",
    "labs/Cargo.toml",
    "harness/",
    "Cargo.toml",
    "Cargo.lock",
    ".cargo/",
];

/// The labs that differ from the commit `base`, together with those that build on them.
///
/// # Errors
///
/// A lab cannot be read.
pub fn changed(labs: &[Lab], root: &Path, base: &str) -> Result<Changed, LabError> {
    let git = |arguments: &[&str]| -> Result<String, String> {
        let output = Command::new("git").arg("-C").arg(root).args(arguments).output();
        let output = output.map_err(|error| format!("git: {error}"))?;
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim().to_owned();
        if output.status.success() { Ok(text(&output.stdout)) } else { Err(text(&output.stderr)) }
    };
    let paths = || -> Result<String, String> {
        // From where the two went different ways, to what lies here now, committed or not.
        let fork = git(&["merge-base", "--", base, "HEAD"])?;
        let committed = git(&["diff", "--name-only", "--no-renames", "--relative", &fork])?;
        Ok(committed + "\n" + &git(&["ls-files", "--others", "--exclude-standard"])?)
    };
    let paths = match paths() {
        Ok(paths) => paths,
        Err(why) => {
            return Ok(Changed::All(format!("cannot tell what differs from {base}: {why}")));
        }
    };
    let mut names = BTreeSet::new();
    for path in paths.lines() {
        if MACHINERY
            .iter()
            .any(|part| path == *part || (part.ends_with('/') && path.starts_with(part)))
        {
            return Ok(Changed::All(format!("{path} differs from {base}, and all rest on it")));
        }
        let name = path.strip_prefix("labs/").and_then(|rest| rest.split('/').next());
        names.extend(name.map(str::to_owned));
    }
    for lab in labs {
        if lab.manifest.builds_on.iter().any(|other| names.contains(other)) {
            names.insert(lab.name());
        }
    }
    names.retain(|name| labs.iter().any(|lab| lab.name() == *name));
    Ok(Changed::Labs(names))
}
