//! Two servers under the same load.

use super::{Cli, CliError, author, progress_line};
use labs::bench::{self, Contestant, Extent};
use labs::lab::Lab;
use std::process::ExitCode;

impl Cli {
    /// Compares the second with the first.
    pub(super) fn bench(
        &self,
        pair: [&Lab; 2],
        extent: Extent,
        references: bool,
    ) -> Result<ExitCode, CliError> {
        if !(0.1..=600.0).contains(&extent.seconds) {
            return Err(CliError::Usage("--seconds: between 0.1 and 600".into()));
        }
        for lab in pair {
            if lab.manifest.bench.is_none() {
                let able = self.labs.iter().filter(|lab| lab.manifest.bench.is_some());
                let able: Vec<String> = able.map(Lab::number).collect();
                return Err(CliError::Usage(format!(
                    "lab {} has no server of the file protocol; there are {}",
                    lab.number(),
                    able.join(", ")
                )));
            }
        }
        for lab in pair.iter().filter(|_| !references) {
            self.opened(lab)?;
            self.prepare(lab)?;
        }
        let name = format!("bench-{}-against-{}", pair[1].number(), pair[0].number());
        let place =
            if references { author::verify_directory() } else { self.folder.path().to_owned() };
        let place = place.join(name);
        progress_line("building the servers");
        let mut contestants = Vec::new();
        for (at, lab) in pair.into_iter().enumerate() {
            let program = place.join(format!("server-{at}-{}", lab.number()));
            if references {
                author::reference_server(lab, &program)?;
            } else {
                bench::build_server(&self.folder.package(lab), &self.folder.target(), &program)?;
            }
            // A server against itself needs two names.
            let again = if at == 1 && pair[0].name() == lab.name() { " again" } else { "" };
            let name = format!("lab {}{again}", lab.number());
            let options = lab.manifest.bench.clone().unwrap_or_default();
            contestants.push(Contestant { name, program, options });
        }
        progress_line("building the load generator (a minute or two, the first time)");
        let generator = bench::build_generator(&labs::workspace_root())?;
        progress_line("");
        let status = bench::compare(&generator, &contestants, extent, &place.join("index.html"))?;
        Ok(ExitCode::from(status.code().and_then(|code| code.try_into().ok()).unwrap_or(1)))
    }
}
