//! What is wrong with a lab and can be seen without running anything.

use super::Complaint;
use crate::error::LabError;
use crate::lab::Lab;
use crate::splice::Template;
use std::collections::BTreeSet;

/// Compares a lab's files with each other.
///
/// # Errors
///
/// The lab cannot be read.
pub fn consistency(lab: &Lab) -> Result<Vec<Complaint>, LabError> {
    let mut complaints = Vec::new();
    let templates = lab.templates()?;
    let holes: Vec<&str> = templates.values().flat_map(Template::holes).collect();
    let unique: BTreeSet<&str> = holes.iter().copied().collect();
    if unique.len() != holes.len() {
        complaints.push("two holes have one name".into());
    }
    let listed: BTreeSet<&str> = lab.manifest.holes.iter().map(|hole| &hole.name[..]).collect();
    for hole in unique.symmetric_difference(&listed) {
        complaints.push(format!("hole `{hole}` is not both in the reference and in lab.toml"));
    }
    for other in lab.builds_on()?.iter().filter(|other| other.manifest.library.is_none()) {
        complaints.push(format!("builds on {}, which has no library", other.name()));
    }
    if templates.values().all(|template| template.canaries().next().is_none()) {
        complaints.push("the reference has no canary".into());
    }
    // A lab that has no checks yet has no guides either.
    if !lab.manifest.checks.is_empty() {
        complaints.extend(crate::guides::complaints(lab)?);
    }
    let coded: BTreeSet<&str> = crate::coded_checks(&lab.name()).collect();
    let checks: BTreeSet<&str> = lab.manifest.checks.iter().map(|check| &check.id[..]).collect();
    for check in coded.symmetric_difference(&checks) {
        complaints.push(format!("check `{check}` is not both in checks.rs and in lab.toml"));
    }
    let kinds = [
        ("wrong", lab.mutants()?, &["check", "mistake"][..]),
        ("alternative", lab.alternatives()?, &["way"]),
    ];
    for (kind, fillings, notes) in kinds {
        for (name, filling) in fillings {
            for hole in filling.holes().filter(|hole| !listed.contains(hole)) {
                complaints.push(format!("{kind}/{name}: there is no hole `{hole}`"));
            }
            for note in notes.iter().filter(|note| !filling.notes.contains_key(**note)) {
                complaints.push(format!("{kind}/{name}: lacks `// {note}: ...`"));
            }
            if let Some(check) = filling.notes.get("check").filter(|id| lab.check(id).is_none()) {
                complaints.push(format!("{kind}/{name}: there is no check `{check}`"));
            }
        }
    }
    Ok(complaints)
}
