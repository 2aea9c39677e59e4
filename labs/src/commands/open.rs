//! Opening labs, and how far each of them is.

use super::{Cli, CliError, progress_line, report_swept};
use labs::lab::Lab;
use labs::machine::{self, Requirement, State};
use labs::manifest::Language;
use std::process::ExitCode;

impl Cli {
    pub(super) fn start(&self) -> Result<ExitCode, CliError> {
        let first = self.labs.first();
        let first = first.ok_or_else(|| CliError::GraderError("there are no labs here".into()))?;
        report_swept();
        let mut new = false;
        let mut found = machine::inspect(self.folder.path());
        found.iter().for_each(print_requirement);
        let missing = |found: &[Requirement]| found.iter().any(|f| f.state == State::Missing);
        if !missing(&found) {
            for lab in &self.labs {
                self.migrate(lab)?;
            }
            new = self.folder.open(first)?;
            progress_line("building the first lab's program");
            found.push(machine::builds(&self.folder.package(first), &self.folder.target()));
            progress_line("");
            found.last().into_iter().for_each(print_requirement);
        }
        if missing(&found) {
            let why =
                "this machine lacks what the labs need, see above; the labs begin when it is there";
            return Err(CliError::GraderError(why.into()));
        }
        println!("\nYour folder is {}.", self.folder.path().display());
        Ok(self.print_opened(first, new))
    }

    pub(super) fn next(&self) -> Result<ExitCode, CliError> {
        let progress = self.folder.progress(&self.labs)?;
        let unfinished = |lab: &&Lab| {
            progress.labs.get(&lab.name()).is_none_or(|known| known.best < lab.points())
        };
        match self.labs.iter().find(unfinished) {
            Some(lab) => self.open(lab),
            None => {
                println!("All labs are done.");
                Ok(ExitCode::SUCCESS)
            }
        }
    }

    pub(super) fn open(&self, lab: &Lab) -> Result<ExitCode, CliError> {
        self.prepare(lab)?;
        let new = self.folder.open(lab)?;
        Ok(self.print_opened(lab, new))
    }

    fn print_opened(&self, lab: &Lab, new: bool) -> ExitCode {
        let guide = match self.language {
            Language::En => "guide.en.md",
            Language::Zh => "guide.zh.md",
        };
        let package = self.folder.package(lab);
        let number = lab.number();
        let what =
            if new { "is laid out" } else { "was open already; nothing of yours was changed" };
        println!("Lab {number}, {}, {what}.", lab.manifest.title.get(self.language));
        println!("  read   {}", package.join(guide).display());
        println!("  write  {}", package.join("src").display());
        println!("  then   cargo lab test {number}");
        ExitCode::SUCCESS
    }

    pub(super) fn reset(&self, lab: &Lab) -> Result<ExitCode, CliError> {
        self.opened(lab)?;
        self.prepare(lab)?;
        let backup = self.folder.reset(lab)?;
        println!("Lab {} begins anew; what you had is in {}", lab.number(), backup.display());
        Ok(ExitCode::SUCCESS)
    }

    pub(super) fn list(&self) -> Result<ExitCode, CliError> {
        let progress = self.folder.progress(&self.labs)?;
        let (mut got, mut of) = (0, 0);
        for lab in &self.labs {
            let best = progress.labs.get(&lab.name()).map_or(0, |known| known.best);
            let state = match (self.folder.has(lab), best == lab.points()) {
                (_, true) => "done",
                (true, false) => "open",
                (false, false) => "",
            };
            let title = lab.manifest.title.get(self.language);
            println!("{}  {state:<4}  {best:>3}/{:<3}  {title}", lab.number(), lab.points());
            (got, of) = (got + best, of + lab.points());
        }
        println!("          {got:>3}/{of:<3}");
        Ok(ExitCode::SUCCESS)
    }
}

/// One line on what this machine has.
fn print_requirement(found: &Requirement) {
    let word = match found.state {
        State::Met => "ok",
        State::Degraded => "less",
        State::Missing => "LACKS",
    };
    println!(" {word:<6} {:<10} {}", found.what, found.text);
}
