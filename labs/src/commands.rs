//! What the subcommands do.

use crate::{Arguments, Command, Format};
use labs::build::NotBuilt;
use labs::grader::{Graded, adopt_orphans, grade, work};
use labs::manifest::{Broken, Lab, Language};
use labs::report::{self, Sum};
use labs::student::{Folder, Progress};
use labs::verify::{Matrix, consistency, table, verify};
use std::collections::BTreeMap;
use std::fmt;
use std::fs::{self, File, TryLockError};
use std::io::{self, IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{SystemTime, UNIX_EPOCH};

/// Why a command did nothing.
#[derive(Debug)]
pub enum Problem {
    /// It was used wrongly: what to do.
    Usage(String),
    /// Something that is not the student's fault.
    Trouble(String),
}

impl Problem {
    /// The exit code.
    pub fn code(&self) -> ExitCode {
        match self {
            Problem::Usage(_) => ExitCode::from(2),
            Problem::Trouble(_) => ExitCode::from(3),
        }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Problem::Usage(text) | Problem::Trouble(text) => f.write_str(text),
        }
    }
}

impl From<Broken> for Problem {
    fn from(broken: Broken) -> Problem {
        Problem::Trouble(broken.to_string())
    }
}

impl From<io::Error> for Problem {
    fn from(error: io::Error) -> Problem {
        Problem::Trouble(error.to_string())
    }
}

struct Desk {
    labs: Vec<Lab>,
    folder: Folder,
    language: Language,
}

pub fn run(arguments: Arguments) -> Result<ExitCode, Problem> {
    if let Command::Check { lab, check, seed, binaries, folder } = arguments.command {
        let code = labs::code(&lab, &check)
            .ok_or_else(|| Problem::Trouble(format!("{lab} has no check {check}")))?;
        work(code, binaries, folder, seed)?;
        return Ok(ExitCode::SUCCESS);
    }
    let desk = Desk {
        labs: Lab::all(&labs::home())?,
        folder: Folder::at(arguments.folder.unwrap_or_else(|| labs::root().join("my-labs"))),
        language: arguments.lang.unwrap_or_else(language_of_the_environment),
    };
    match arguments.command {
        Command::Start => desk.start(),
        Command::List => desk.list(),
        Command::Next => desk.next(),
        Command::Open { lab } => desk.open(desk.find(&lab)?),
        Command::Test { lab, only, seed, repeat } => {
            desk.test(lab.as_deref(), only.as_deref(), seed, repeat)
        }
        Command::Hint { lab, hole, level } => desk.hint(desk.find(&lab)?, hole.as_deref(), level),
        Command::Explain { lab, check } => desk.explain(desk.find(&lab)?, &check),
        Command::Reset { lab } => desk.reset(desk.find(&lab)?),
        Command::Grade { all, format } => desk.grade(all, format),
        Command::Progress => desk.list(),
        Command::Verify { labs, repeat, matrix } => desk.verify(&labs, repeat, matrix.as_deref()),
        Command::Starters { check } => desk.starters(check),
        Command::Check { .. } => Ok(ExitCode::SUCCESS),
    }
}

fn language_of_the_environment() -> Language {
    let value = ["LC_ALL", "LC_MESSAGES", "LANG"]
        .iter()
        .find_map(|name| std::env::var(name).ok().filter(|value| !value.is_empty()));
    if value.is_some_and(|value| value.starts_with("zh")) { Language::Zh } else { Language::En }
}

impl Desk {
    fn find(&self, number: &str) -> Result<&Lab, Problem> {
        let wanted = format!("{number:0>2}");
        let matches = |lab: &&Lab| lab.number() == wanted || lab.name() == number;
        self.labs.iter().find(matches).ok_or_else(|| {
            let numbers: Vec<String> = self.labs.iter().map(Lab::number).collect();
            Problem::Usage(format!("there is no lab {number}; there are {}", numbers.join(", ")))
        })
    }

    fn opened(&self, lab: &Lab) -> Result<(), Problem> {
        if self.folder.has(lab) {
            return Ok(());
        }
        let number = lab.number();
        Err(Problem::Usage(format!("lab {number} is not open yet: cargo lab open {number}")))
    }

    fn start(&self) -> Result<ExitCode, Problem> {
        println!("Your folder: {}", self.folder.path().display());
        match self.labs.first() {
            Some(lab) => self.open(lab),
            None => Err(Problem::Trouble("there are no labs here".into())),
        }
    }

    fn next(&self) -> Result<ExitCode, Problem> {
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

    fn open(&self, lab: &Lab) -> Result<ExitCode, Problem> {
        let new = self.folder.open(lab)?;
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
        Ok(ExitCode::SUCCESS)
    }

    fn list(&self) -> Result<ExitCode, Problem> {
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
    ) -> Result<ExitCode, Problem> {
        let lab = match lab {
            Some(number) => self.find(number)?,
            None => self.latest().ok_or_else(|| {
                Problem::Usage("which lab? cargo lab start opens the first one".into())
            })?,
        };
        self.opened(lab)?;
        let mut last = Sum::Pass;
        for _ in 0..repeat.max(1) {
            let graded = self.grade_one(lab, only, seed.unwrap_or_else(fresh_seed))?;
            let result = report::Result { lab, graded };
            print!("{}", result.text(self.language));
            last = result.sum();
            if last != Sum::Pass {
                break;
            }
        }
        Ok(ExitCode::from(last as u8))
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

    fn grade_one(&self, lab: &Lab, only: Option<&str>, seed: u64) -> Result<Vec<Graded>, Problem> {
        let wanted: Vec<_> = lab
            .manifest
            .checks
            .iter()
            .filter(|check| only.is_none_or(|only| check.id.contains(only)))
            .collect();
        if wanted.is_empty() {
            let ids: Vec<&str> = lab.manifest.checks.iter().map(|check| &check.id[..]).collect();
            let only = only.unwrap_or_default();
            return Err(Problem::Usage(format!(
                "no check is called {only}; there are {}",
                ids.join(", ")
            )));
        }
        let _lock = lock(&self.folder, lab)?;
        let package = self.folder.package(lab);
        let built = match labs::build::build(&package, &self.folder.target()) {
            Ok(built) => built,
            Err(NotBuilt::Errors(text)) => {
                eprint!("{text}");
                eprintln!("lab: it does not compile yet, so nothing was graded");
                std::process::exit(1);
            }
            Err(NotBuilt::Trouble(why)) => return Err(Problem::Trouble(why)),
        };
        let binaries = built
            .programs
            .values()
            .next()
            .and_then(|program| program.parent())
            .ok_or_else(|| Problem::Trouble("the package has no program".into()))?
            .to_owned();
        // A copy: an editor may build while a check runs.
        let programs = tempfile::tempdir()?;
        for name in built.programs.keys() {
            fs::copy(binaries.join(name), programs.path().join(name))?;
        }
        adopt_orphans()?;
        let mut all = Vec::new();
        for (at, check) in wanted.iter().enumerate() {
            progress_line(&format!("{}/{} {}", at + 1, wanted.len(), check.id));
            all.push(grade(lab, check, programs.path(), seed));
        }
        progress_line("");
        self.remember(lab, &all)?;
        Ok(all)
    }

    fn remember(&self, lab: &Lab, graded: &[Graded]) -> Result<(), Problem> {
        let mut progress: Progress = self.folder.progress()?;
        let record = progress.labs.entry(lab.name()).or_default();
        for graded in graded {
            record.last.insert(graded.id.clone(), graded.clone());
        }
        let result = report::Result { lab, graded: graded.to_vec() };
        record.best = record.best.max(result.points().0);
        Ok(self.folder.keep(&progress)?)
    }

    fn hint(&self, lab: &Lab, hole: Option<&str>, level: Option<u8>) -> Result<ExitCode, Problem> {
        let names: Vec<&str> = lab.manifest.holes.iter().map(|hole| &hole.name[..]).collect();
        let Some(name) = hole else {
            println!("The holes of lab {}: {}", lab.number(), names.join(", "));
            return Ok(ExitCode::SUCCESS);
        };
        let hole = lab.hole(name).ok_or_else(|| {
            Problem::Usage(format!("there is no hole {name}; there are {}", names.join(", ")))
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

    fn explain(&self, lab: &Lab, id: &str) -> Result<ExitCode, Problem> {
        let check = lab.check(id).ok_or_else(|| {
            let ids: Vec<&str> = lab.manifest.checks.iter().map(|check| &check.id[..]).collect();
            Problem::Usage(format!("there is no check {id}; there are {}", ids.join(", ")))
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
                let result = report::Result { lab, graded: vec![graded.clone()] };
                let text = result.text(self.language);
                let lines: Vec<&str> = text.lines().skip(1).collect();
                println!("\nThe last time:\n{}", lines.join("\n"));
            }
        }
        Ok(ExitCode::SUCCESS)
    }

    fn reset(&self, lab: &Lab) -> Result<ExitCode, Problem> {
        self.opened(lab)?;
        let backup = self.folder.reset(lab)?;
        println!("Lab {} begins anew; what you had is in {}", lab.number(), backup.display());
        Ok(ExitCode::SUCCESS)
    }

    fn grade(&self, all: bool, format: Format) -> Result<ExitCode, Problem> {
        let mut results = Vec::new();
        for lab in &self.labs {
            if self.folder.has(lab) {
                let graded = self.grade_one(lab, None, fresh_seed())?;
                results.push(report::Result { lab, graded });
            } else if all {
                results.push(report::Result { lab, graded: report::unopened(lab) });
            }
        }
        match format {
            Format::Text => {
                results.iter().for_each(|result| print!("{}", result.text(self.language)))
            }
            Format::Json => print!("{}", report::json(&results)),
            Format::Junit => print!("{}", report::junit(&results)),
        }
        let sum = results.iter().map(report::Result::sum).max().unwrap_or(Sum::Pass);
        Ok(ExitCode::from(sum as u8))
    }

    fn verify(
        &self,
        numbers: &[String],
        repeat: u32,
        file: Option<&Path>,
    ) -> Result<ExitCode, Problem> {
        let chosen: Vec<&Lab> = match numbers {
            [] => self.labs.iter().collect(),
            numbers => numbers.iter().map(|number| self.find(number)).collect::<Result<_, _>>()?,
        };
        adopt_orphans()?;
        let workshop = workshop();
        fs::create_dir_all(&workshop)?;
        let _lock = lock_file(&workshop.join("lock"), "another `lab verify` is under way")?;
        let mut text = String::from(MATRIX_HEAD);
        let mut bad = false;
        for lab in chosen {
            let mut matrix = Matrix::new();
            let name = lab.name();
            let mut say = |what: &str| progress_line(&format!("{name}: {what}"));
            let complaints = verify(lab, &workshop, repeat, &mut matrix, &mut say)?;
            progress_line("");
            let wrong = lab.fillings("wrong")?.len();
            let alternatives = lab.fillings("alternative")?.len();
            let what = if complaints.is_empty() { "ok" } else { "BAD" };
            println!("{what:<4} {name}: {wrong} wrong, {alternatives} alternatives");
            complaints.iter().for_each(|complaint| println!("     {complaint}"));
            bad |= !complaints.is_empty();
            text += "\n";
            text += &table(lab, &matrix);
        }
        if let Some(file) = file {
            fs::write(file, text)?;
        }
        Ok(if bad { ExitCode::FAILURE } else { ExitCode::SUCCESS })
    }

    fn starters(&self, check: bool) -> Result<ExitCode, Problem> {
        let mut bad = false;
        for lab in &self.labs {
            for complaint in consistency(lab)? {
                println!("{}: {complaint}", lab.name());
                bad = true;
            }
            let wanted = lab.starter()?;
            let home = lab.folder.join("starter");
            if check {
                let found = files_below(&home)?;
                if found != wanted {
                    println!(
                        "{}: the starter is not what the reference makes it: cargo lab starters",
                        lab.name()
                    );
                    bad = true;
                }
            } else {
                let _ = fs::remove_dir_all(&home);
                for (path, text) in wanted {
                    let path = home.join(path);
                    fs::create_dir_all(path.parent().unwrap_or(&home))?;
                    fs::write(path, text)?;
                }
            }
        }
        Ok(if bad { ExitCode::FAILURE } else { ExitCode::SUCCESS })
    }
}

const MATRIX_HEAD: &str = "\
# What catches what

Written by `cargo lab verify --matrix labs/MATRIX.md`: every wrong program of every lab with the checks that caught it. The one
that is meant for it stands in bold.
";

fn workshop() -> PathBuf {
    labs::root().join("target/lab-verify")
}

fn files_below(home: &Path) -> io::Result<BTreeMap<PathBuf, String>> {
    let mut files = BTreeMap::new();
    let mut folders = vec![home.to_owned()];
    while let Some(folder) = folders.pop() {
        let entries = match fs::read_dir(&folder) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            entries => entries?,
        };
        for entry in entries {
            let path = entry?.path();
            if path.is_dir() {
                folders.push(path);
            } else {
                let relative = path.strip_prefix(home).unwrap_or(&path).to_owned();
                files.insert(relative, fs::read_to_string(&path)?);
            }
        }
    }
    Ok(files)
}

/// Two graders at once would meet in the same folder and take each other's processes for a student's.
fn lock(folder: &Folder, lab: &Lab) -> Result<File, Problem> {
    fs::create_dir_all(folder.target())?;
    let path = folder.target().join(format!("{}.lock", lab.name()));
    lock_file(
        &path,
        &format!("lab {} is being graded already, by another `cargo lab`", lab.number()),
    )
}

fn lock_file(path: &Path, otherwise: &str) -> Result<File, Problem> {
    let file = File::create(path)?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(Problem::Trouble(otherwise.into())),
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
