//! Which checks catch which mutants.

use crate::lab::Lab;
use std::collections::BTreeMap;
use std::fmt::Write;

/// Whether a check caught a mutant, by the names of both.
pub type Matrix = BTreeMap<(String, String), bool>;

/// The matrix of a lab's checks and mutants as Markdown.
pub fn matrix_table(lab: &Lab, matrix: &Matrix) -> String {
    let mut text = String::new();
    let _ = writeln!(text, "## {} {}\n", lab.number(), lab.manifest.title.en);
    let _ = writeln!(text, "| mutant | the mistake | caught by |\n|---|---|---|");
    let Ok(fillings) = lab.mutants() else { return text };
    for (name, filling) in fillings {
        let note = |key: &str| filling.notes.get(key).cloned().unwrap_or_default();
        let caught = |id: &&str| matrix.get(&((*id).to_owned(), name.clone())) == Some(&true);
        let declared = note("check");
        let ids = lab.manifest.checks.iter().map(|check| &check.id[..]).filter(caught);
        let cells: Vec<String> = ids
            .map(|id| if id == declared { format!("**{id}**") } else { id.to_owned() })
            .collect();
        let _ = writeln!(text, "| {name} | {} | {} |", note("mistake"), cells.join(", "));
    }
    text
}
