//! Help with a gap, and with a check.

use super::{Cli, CliError};
use labs::lab::Lab;
use labs::report::LabReport;
use std::process::ExitCode;

impl Cli {
    pub(super) fn hint(
        &self,
        lab: &Lab,
        gap: Option<&str>,
        level: Option<u8>,
    ) -> Result<ExitCode, CliError> {
        let names: Vec<&str> = lab.manifest.holes.iter().map(|hole| &hole.name[..]).collect();
        let Some(name) = gap else {
            println!("The gaps of lab {}: {}", lab.number(), names.join(", "));
            return Ok(ExitCode::SUCCESS);
        };
        let hole = lab.hole(name).ok_or_else(|| {
            CliError::Usage(format!("there is no gap {name}; there are {}", names.join(", ")))
        })?;
        let mut progress = self.folder.progress(&self.labs)?;
        let known = progress.labs.entry(lab.name()).or_default();
        let seen = known.hints.entry(hole.name.clone()).or_default();
        let level = level.map_or((*seen + 1).min(3), usize::from);
        *seen = level.max(*seen);
        println!(
            "{} ({level} of 3)\n{}",
            hole.name,
            hole.hints[level - 1].get(self.language).trim()
        );
        self.folder.save_progress(&progress)?;
        Ok(ExitCode::SUCCESS)
    }

    pub(super) fn explain(&self, lab: &Lab, id: &str) -> Result<ExitCode, CliError> {
        let check = lab.check(id).ok_or_else(|| {
            let ids: Vec<&str> = lab.manifest.checks.iter().map(|check| &check.id[..]).collect();
            CliError::Usage(format!("there is no check {id}; there are {}", ids.join(", ")))
        })?;
        println!("{} ({} points): {}", check.id, check.points, check.title.get(self.language));
        println!("\nmeaning   {}", check.meaning.get(self.language).trim());
        println!("look      {}", check.look.get(self.language).trim());
        let progress = self.folder.progress(&self.labs)?;
        let last = progress.labs.get(&lab.name()).and_then(|known| known.last.get(&check.id));
        match last {
            None => {
                println!(
                    "\nIt has not been run yet: cargo lab test {} --only {}",
                    lab.number(),
                    check.id
                )
            }
            Some(graded) => {
                let result = LabReport { lab, graded: vec![graded.clone()] };
                let text = result.text(self.language);
                let lines: Vec<&str> = text.lines().skip(1).collect();
                println!("\nThe last time:\n{}", lines.join("\n"));
            }
        }
        Ok(ExitCode::SUCCESS)
    }
}
