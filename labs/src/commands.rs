//! What the subcommands do: those of students. Authors' are in [`author`].

mod author;

use crate::{Arguments, Command, Format};
use labs::bench::{self, Contestant, Extent};
use labs::build::BuildError;
use labs::error::LabError;
use labs::grader::{CheckResult, become_subreaper, grade, interrupted, run_worker};
use labs::lab::Lab;
use labs::machine::{self, State};
use labs::manifest::Language;
use labs::report::{self, Status};
use labs::student::{Folder, Progress};
use labs::sweep::{self, sweep};
use labs::watch::Watch;
use labs::{build, formats};
use nix::sys::signal::Signal;
use std::fmt;
use std::fs::{self, File, TryLockError};
use std::io::{self, IsTerminal, Write};
use std::path::Path;
use std::process::ExitCode;
use std::time::{SystemTime, UNIX_EPOCH};

/// Why a command did nothing.
#[derive(Debug)]
pub enum CliError {
    /// It was used wrongly: what to do.
    Usage(String),
    /// Something that is not the student's fault.
    GraderError(String),
    /// Somebody asked it to end.
    Interrupted(Signal),
}

impl CliError {
    /// The exit code.
    pub fn code(&self) -> ExitCode {
        match self {
            CliError::Usage(_) => ExitCode::from(2),
            CliError::GraderError(_) => ExitCode::from(3),
            // As a shell has it.
            CliError::Interrupted(signal) => ExitCode::from(128 + *signal as u8),
        }
    }
}

impl fmt::Display for CliError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            CliError::Usage(text) | CliError::GraderError(text) => f.write_str(text),
            CliError::Interrupted(signal) => {
                write!(f, "ended by {signal}; nothing was left behind")
            }
        }
    }
}

impl From<LabError> for CliError {
    fn from(broken: LabError) -> CliError {
        CliError::GraderError(broken.to_string())
    }
}

impl From<io::Error> for CliError {
    fn from(error: io::Error) -> CliError {
        CliError::GraderError(error.to_string())
    }
}

struct Cli {
    labs: Vec<Lab>,
    folder: Folder,
    language: Language,
}

pub fn run(arguments: Arguments) -> Result<ExitCode, CliError> {
    if let Command::Check { lab, check, seed, binaries, folder } = arguments.command {
        let code = labs::check_fn(&lab, &check)
            .ok_or_else(|| CliError::GraderError(format!("{lab} has no check {check}")))?;
        run_worker(code, binaries, folder, seed)?;
        return Ok(ExitCode::SUCCESS);
    }
    let cli = Cli {
        labs: Lab::all(&labs::labs_directory())?,
        folder: Folder::at(
            arguments.folder.unwrap_or_else(|| labs::workspace_root().join("my-labs")),
        ),
        language: arguments.lang.unwrap_or_else(language_of_the_environment),
    };
    match arguments.command {
        Command::Start => cli.start(),
        Command::List => cli.list(),
        Command::Next => cli.next(),
        Command::Open { lab } => cli.open(cli.find(&lab)?),
        Command::Test { lab, only, seed, repeat } => {
            cli.test(lab.as_deref(), only.as_deref(), seed, repeat)
        }
        Command::Watch { lab, poll } => cli.watch(lab.as_deref(), poll),
        Command::Hint { lab, hole, level } => cli.hint(cli.find(&lab)?, hole.as_deref(), level),
        Command::Explain { lab, check } => cli.explain(cli.find(&lab)?, &check),
        Command::Reset { lab } => cli.reset(cli.find(&lab)?),
        Command::Bench { lab, against, rounds, seconds, reference } => {
            let extent = Extent { rounds, seconds };
            cli.bench([cli.find(&against)?, cli.find(&lab)?], extent, reference)
        }
        Command::Grade { all, format } => cli.grade(all, format),
        Command::Progress => cli.list(),
        Command::Verify { labs, changed, repeat, matrix } => {
            cli.verify(&labs, changed.as_deref(), repeat, matrix.as_deref())
        }
        Command::New { number, name } => cli.new_lab(&number, &name),
        Command::Export { student, instructor, labs, bare, no_vendor } => {
            cli.export(student.as_deref(), instructor.as_deref(), &labs, (bare, !no_vendor))
        }
        Command::Check { .. } => Ok(ExitCode::SUCCESS),
    }
}

fn language_of_the_environment() -> Language {
    let value = ["LC_ALL", "LC_MESSAGES", "LANG"]
        .iter()
        .find_map(|name| std::env::var(name).ok().filter(|value| !value.is_empty()));
    if value.is_some_and(|value| value.starts_with("zh")) { Language::Zh } else { Language::En }
}

impl Cli {
    fn find(&self, number: &str) -> Result<&Lab, CliError> {
        let wanted = format!("{number:0>2}");
        let matches = |lab: &&Lab| lab.number() == wanted || lab.name() == number;
        self.labs.iter().find(matches).ok_or_else(|| {
            let numbers: Vec<String> = self.labs.iter().map(Lab::number).collect();
            CliError::Usage(format!("there is no lab {number}; there are {}", numbers.join(", ")))
        })
    }

    fn opened(&self, lab: &Lab) -> Result<(), CliError> {
        if self.folder.has(lab) {
            return Ok(());
        }
        let number = lab.number();
        Err(CliError::Usage(format!("lab {number} is not open yet: cargo lab open {number}")))
    }

    /// The ratios are to the first.
    fn bench(
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

    fn start(&self) -> Result<ExitCode, CliError> {
        let first = self.labs.first();
        let first = first.ok_or_else(|| CliError::GraderError("there are no labs here".into()))?;
        report_swept();
        let mut new = false;
        let mut found = machine::look(self.folder.path());
        found.iter().for_each(show);
        let missing = |found: &[machine::Found]| found.iter().any(|f| f.state == State::Missing);
        if !missing(&found) {
            new = self.folder.open(first)?;
            progress_line("building the first lab's program");
            found.push(machine::builds(&self.folder.package(first), &self.folder.target()));
            progress_line("");
            found.last().into_iter().for_each(show);
        }
        if missing(&found) {
            let why =
                "this machine lacks what the labs need, see above; the labs begin when it is there";
            return Err(CliError::GraderError(why.into()));
        }
        println!("\nYour folder is {}.", self.folder.path().display());
        Ok(self.tell(first, new))
    }

    fn next(&self) -> Result<ExitCode, CliError> {
        let progress = self.folder.progress()?;
        let done = |lab: &&Lab| {
            progress.labs.get(&lab.name()).is_none_or(|record| record.best < lab.points())
        };
        match self.labs.iter().find(done) {
            Some(lab) => self.open(lab),
            None => {
                println!("All labs are done.");
                Ok(ExitCode::SUCCESS)
            }
        }
    }

    fn open(&self, lab: &Lab) -> Result<ExitCode, CliError> {
        let new = self.lay_out(lab)?;
        Ok(self.tell(lab, new))
    }

    /// A lab that builds on another one needs that one first.
    fn lay_out(&self, lab: &Lab) -> Result<bool, CliError> {
        for name in &lab.manifest.builds_on {
            let earlier = self.find(name)?;
            if !self.folder.has(earlier) {
                let (number, first) = (lab.number(), earlier.number());
                return Err(CliError::Usage(format!(
                    "lab {number} builds on the library that you write in lab {first}: cargo lab open {first}"
                )));
            }
        }
        Ok(self.folder.open(lab)?)
    }

    fn tell(&self, lab: &Lab, new: bool) -> ExitCode {
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

    fn list(&self) -> Result<ExitCode, CliError> {
        let progress = self.folder.progress()?;
        let (mut got, mut of) = (0, 0);
        for lab in &self.labs {
            let best = progress.labs.get(&lab.name()).map_or(0, |record| record.best);
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

    fn test(
        &self,
        lab: Option<&str>,
        only: Option<&str>,
        seed: Option<u64>,
        repeat: u32,
    ) -> Result<ExitCode, CliError> {
        let lab = match lab {
            Some(number) => self.find(number)?,
            None => self.latest().ok_or_else(|| {
                CliError::Usage("which lab? cargo lab start opens the first one".into())
            })?,
        };
        self.opened(lab)?;
        let mut last = Status::Pass;
        for _ in 0..repeat.max(1) {
            let graded = match self.grade_one(lab, only, seed.unwrap_or_else(fresh_seed))? {
                Ok(graded) => graded,
                Err(said) => {
                    eprint!("{said}");
                    eprintln!("lab: it does not compile yet, so nothing was graded");
                    return Ok(ExitCode::FAILURE);
                }
            };
            let result = report::LabReport { lab, graded };
            print!("{}", result.text(self.language));
            last = result.status();
            if last != Status::Pass {
                break;
            }
        }
        Ok(ExitCode::from(last as u8))
    }

    fn watch(&self, lab: Option<&str>, poll: bool) -> Result<ExitCode, CliError> {
        let lab = match lab {
            Some(number) => self.find(number)?,
            None => self.latest().ok_or_else(|| {
                CliError::Usage("which lab? cargo lab start opens the first one".into())
            })?,
        };
        self.opened(lab)?;
        let package = self.folder.package(lab);
        let mut watch = Watch::new(&package, poll);
        println!("Watching {}; Ctrl-C ends it.", package.join("src").display());
        if let Some(why) = watch.polls() {
            println!("The files are looked at again and again: {why}.");
        }
        let mut before: Option<Vec<CheckResult>> = None;
        loop {
            // What is saved from here on is in the next run.
            watch.look();
            match self.grade_one(lab, None, fresh_seed()) {
                Ok(Ok(graded)) => {
                    let result = report::LabReport { lab, graded };
                    match &before {
                        None => print!("{}", result.text(self.language)),
                        Some(before) => print!("{}", result.changes(before, self.language)),
                    }
                    before = Some(result.graded);
                }
                Ok(Err(said)) => {
                    eprint!("{said}");
                    println!("It does not compile; the next save is tried again.");
                }
                Err(CliError::GraderError(why)) => println!("Not graded: {why}"),
                Err(CliError::Interrupted(_)) => break,
                Err(problem) => return Err(problem),
            }
            io::stdout().flush()?;
            if !watch.changed()? {
                break;
            }
        }
        println!("\nThe watch has ended.");
        Ok(ExitCode::SUCCESS)
    }

    /// The lab whose files were changed last.
    fn latest(&self) -> Option<&Lab> {
        let changed = |lab: &&Lab| {
            let sources = fs::read_dir(self.folder.package(lab).join("src")).ok()?;
            let times = sources.flatten().filter_map(|file| file.metadata().ok()?.modified().ok());
            times.max()
        };
        self.labs.iter().filter(|lab| changed(lab).is_some()).max_by_key(changed)
    }

    /// Builds and grades; gives what the compiler says if it does not compile.
    fn grade_one(
        &self,
        lab: &Lab,
        only: Option<&str>,
        seed: u64,
    ) -> Result<Result<Vec<CheckResult>, String>, CliError> {
        let wanted: Vec<_> = lab
            .manifest
            .checks
            .iter()
            .filter(|check| only.is_none_or(|only| check.id.contains(only)))
            .collect();
        if wanted.is_empty() {
            let ids: Vec<&str> = lab.manifest.checks.iter().map(|check| &check.id[..]).collect();
            let only = only.unwrap_or_default();
            return Err(CliError::Usage(format!(
                "no check is called {only}; there are {}",
                ids.join(", ")
            )));
        }
        let _lock = lock(&self.folder, lab)?;
        report_swept();
        let package = self.folder.package(lab);
        let built = match build::build(&package, &self.folder.target()) {
            Ok(built) => built,
            Err(BuildError::Compiler(text)) => return Ok(Err(text)),
            Err(BuildError::Cargo(why)) => return Err(CliError::GraderError(why)),
        };
        let binaries = built
            .programs
            .values()
            .next()
            .and_then(|program| program.parent())
            .ok_or_else(|| CliError::GraderError("the package has no program".into()))?
            .to_owned();
        // A copy: an editor may build while a check runs.
        let programs = tempfile::Builder::new().prefix(&sweep::name()).tempdir()?;
        for name in built.programs.keys() {
            fs::copy(binaries.join(name), programs.path().join(name))?;
        }
        become_subreaper()?;
        let mut all = Vec::new();
        for (at, check) in wanted.iter().enumerate() {
            progress_line(&format!("{}/{} {}", at + 1, wanted.len(), check.id));
            all.push(grade(lab, check, programs.path(), seed));
            if let Some(signal) = interrupted() {
                progress_line("");
                return Err(CliError::Interrupted(signal));
            }
        }
        progress_line("");
        self.remember(lab, &all)?;
        Ok(Ok(all))
    }

    fn remember(&self, lab: &Lab, graded: &[CheckResult]) -> Result<(), CliError> {
        let mut progress: Progress = self.folder.progress()?;
        let record = progress.labs.entry(lab.name()).or_default();
        for graded in graded {
            record.last.insert(graded.id.clone(), graded.clone());
        }
        let result = report::LabReport { lab, graded: graded.to_vec() };
        record.best = record.best.max(result.points().0);
        Ok(self.folder.keep(&progress)?)
    }

    fn hint(&self, lab: &Lab, hole: Option<&str>, level: Option<u8>) -> Result<ExitCode, CliError> {
        let names: Vec<&str> = lab.manifest.holes.iter().map(|hole| &hole.name[..]).collect();
        let Some(name) = hole else {
            println!("The holes of lab {}: {}", lab.number(), names.join(", "));
            return Ok(ExitCode::SUCCESS);
        };
        let hole = lab.hole(name).ok_or_else(|| {
            CliError::Usage(format!("there is no hole {name}; there are {}", names.join(", ")))
        })?;
        let mut progress = self.folder.progress()?;
        let record = progress.labs.entry(lab.name()).or_default();
        let seen = record.hints.entry(name.to_owned()).or_default();
        let level = level.map_or((*seen + 1).min(3), usize::from);
        *seen = level.max(*seen);
        println!(
            "{} ({level} of 3)\n{}",
            hole.name,
            hole.hints[level - 1].get(self.language).trim()
        );
        self.folder.keep(&progress)?;
        Ok(ExitCode::SUCCESS)
    }

    fn explain(&self, lab: &Lab, id: &str) -> Result<ExitCode, CliError> {
        let check = lab.check(id).ok_or_else(|| {
            let ids: Vec<&str> = lab.manifest.checks.iter().map(|check| &check.id[..]).collect();
            CliError::Usage(format!("there is no check {id}; there are {}", ids.join(", ")))
        })?;
        println!("{} ({} points): {}", check.id, check.points, check.title.get(self.language));
        println!("\nmeaning   {}", check.meaning.get(self.language).trim());
        println!("look      {}", check.look.get(self.language).trim());
        let progress = self.folder.progress()?;
        let last = progress.labs.get(&lab.name()).and_then(|record| record.last.get(id));
        match last {
            None => {
                println!("\nIt has not been run yet: cargo lab test {} --only {id}", lab.number())
            }
            Some(graded) => {
                let result = report::LabReport { lab, graded: vec![graded.clone()] };
                let text = result.text(self.language);
                let lines: Vec<&str> = text.lines().skip(1).collect();
                println!("\nThe last time:\n{}", lines.join("\n"));
            }
        }
        Ok(ExitCode::SUCCESS)
    }

    fn reset(&self, lab: &Lab) -> Result<ExitCode, CliError> {
        self.opened(lab)?;
        let backup = self.folder.reset(lab)?;
        println!("Lab {} begins anew; what you had is in {}", lab.number(), backup.display());
        Ok(ExitCode::SUCCESS)
    }

    fn grade(&self, all: bool, format: Format) -> Result<ExitCode, CliError> {
        let mut results = Vec::new();
        for lab in &self.labs {
            let graded = match (self.folder.has(lab), all) {
                (true, _) => match self.grade_one(lab, None, fresh_seed()) {
                    Ok(Ok(graded)) => graded,
                    Ok(Err(said)) => {
                        eprint!("{said}");
                        report::not_compiled(lab, &said)
                    }
                    // A report with a hole in it says more than none.
                    Err(CliError::GraderError(why)) => report::ungraded(lab, &why),
                    Err(problem) => return Err(problem),
                },
                (false, true) => report::unopened(lab),
                (false, false) => continue,
            };
            results.push(report::LabReport { lab, graded });
        }
        if results.is_empty() {
            let why = "no lab is open: cargo lab start (with --all, those that were not opened count, too)";
            return Err(CliError::Usage(why.into()));
        }
        match format {
            Format::Text => {
                results.iter().for_each(|result| print!("{}", result.text(self.language)))
            }
            Format::Json => print!("{}", formats::json(&results)),
            Format::Junit => print!("{}", formats::junit(&results)),
            Format::Gradescope => print!("{}", formats::gradescope(&results)),
            Format::Classroom => print!("{}", formats::classroom(&results)),
        }
        Ok(ExitCode::from(formats::overall(&results) as u8))
    }
}

/// One line of what a machine has.
fn show(found: &machine::Found) {
    let word = match found.state {
        State::Good => "ok",
        State::Less => "less",
        State::Missing => "LACKS",
    };
    println!(" {word:<6} {:<10} {}", found.what, found.text);
}

/// A grader that was killed leaves things behind; whoever comes next removes them.
fn report_swept() {
    let swept = sweep();
    if !swept.is_empty() {
        eprintln!("lab: an earlier run was killed; removed what it left: {}", swept.join(", "));
    }
}

/// Two graders at once would meet in the same folder and take each other's processes for a student's.
fn lock(folder: &Folder, lab: &Lab) -> Result<File, CliError> {
    fs::create_dir_all(folder.target())?;
    let path = folder.target().join(format!("{}.lock", lab.name()));
    lock_file(
        &path,
        &format!("lab {} is being graded already, by another `cargo lab`", lab.number()),
    )
}

fn lock_file(path: &Path, otherwise: &str) -> Result<File, CliError> {
    let file = File::create(path)?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(CliError::GraderError(otherwise.into())),
        Err(TryLockError::Error(error)) => Err(error.into()),
    }
}

fn fresh_seed() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    (now.as_nanos() as u64 ^ u64::from(std::process::id()).rotate_left(32)) & 0xffff_ffff
}

/// What is under way, on a terminal; an empty one goes away.
fn progress_line(text: &str) {
    let mut stderr = io::stderr();
    if stderr.is_terminal() {
        let _ = write!(stderr, "\r\x1b[K{text}");
        let _ = stderr.flush();
    }
}
