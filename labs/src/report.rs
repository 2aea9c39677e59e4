//! Results, and what they amount to; as text for the student. For machines, see [`crate::formats`].

use crate::context::{Finding, UNWRITTEN};
use crate::grader::{CheckResult, Outcome};
use crate::lab::Lab;
use crate::manifest::{CheckInfo, Language};
use std::fmt::Write;

/// What came of a lab's checks.
#[derive(Clone, Debug)]
pub struct LabReport<'a> {
    /// The lab.
    pub lab: &'a Lab,
    /// Its checks, those that were run.
    pub graded: Vec<CheckResult>,
}

/// The checks of a lab that was never opened: none has passed.
pub fn unopened(lab: &Lab) -> Vec<CheckResult> {
    let observed = "the lab was never opened".to_owned();
    all_alike(lab, Outcome::Fail(Finding { expected: "a program".into(), observed }))
}

/// The checks of a lab whose program does not compile: none has passed. `errors` is what the compiler prints.
pub fn not_compiled(lab: &Lab, errors: &str) -> Vec<CheckResult> {
    let errors = plain(errors);
    let first = errors.lines().find(|line| line.starts_with("error")).unwrap_or("no reason given");
    let observed = format!("it does not compile: {first}");
    all_alike(lab, Outcome::Fail(Finding { expected: "a program that compiles".into(), observed }))
}

/// The checks of a lab that could not be graded at all: nothing is said about any of them.
pub fn ungraded(lab: &Lab, why: &str) -> Vec<CheckResult> {
    all_alike(lab, Outcome::GraderError(why.to_owned()))
}

fn all_alike(lab: &Lab, outcome: Outcome) -> Vec<CheckResult> {
    let graded = |check: &CheckInfo| CheckResult {
        id: check.id.clone(),
        outcome: outcome.clone(),
        seconds: 0.0,
        seed: 0,
        leftovers: Vec::new(),
    };
    lab.manifest.checks.iter().map(graded).collect()
}

/// Whether a student would call two results of a check the same: numbers of processes and ports may differ.
fn alike(one: &CheckResult, other: &CheckResult) -> bool {
    let without_long_numbers = |outcome: &Outcome| -> String {
        let text = format!("{outcome:?}");
        let words = text.split(|char: char| !char.is_alphanumeric());
        let long = |word: &&str| word.len() > 2 && word.bytes().all(|byte| byte.is_ascii_digit());
        words.filter(|word| !long(word)).collect::<Vec<_>>().join(" ")
    };
    without_long_numbers(&one.outcome) == without_long_numbers(&other.outcome)
}

/// Without the colours of a terminal.
fn plain(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    let mut chars = text.chars();
    while let Some(char) = chars.next() {
        if char == '\x1b' {
            chars.by_ref().find(char::is_ascii_alphabetic);
        } else {
            plain.push(char);
        }
    }
    plain
}

/// What a run of checks amounts to, as the exit code of the command.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Status {
    /// All passed.
    Pass = 0,
    /// Something is wrong with the student's program.
    Fail = 1,
    /// The grader could not do its work: nothing is said about the program.
    GraderError = 3,
}

impl LabReport<'_> {
    pub(crate) fn info(&self, graded: &CheckResult) -> Option<&CheckInfo> {
        self.lab.check(&graded.id)
    }

    /// The command that runs a check again, with the same random choices.
    pub(crate) fn replay(&self, graded: &CheckResult) -> String {
        let number = self.lab.number();
        format!("cargo lab test {number} --only {} --seed {:x}", graded.id, graded.seed)
    }

    /// The points of one check: what it brought, and what it is worth on this machine.
    pub fn points_of(&self, graded: &CheckResult) -> (u32, u32) {
        let worth = self.info(graded).map_or(0, |check| check.points);
        match graded.outcome {
            Outcome::Pass => (worth, worth),
            Outcome::Fail(_) | Outcome::Stopped(_) | Outcome::GraderError(_) => (0, worth),
            Outcome::Skip(_) => (0, 0),
        }
    }

    /// All points.
    pub fn points(&self) -> (u32, u32) {
        let points = self.graded.iter().map(|graded| self.points_of(graded));
        points.fold((0, 0), |(got, of), (more, worth)| (got + more, of + worth))
    }

    /// What it amounts to.
    pub fn status(&self) -> Status {
        let of = |graded: &CheckResult| match graded.outcome {
            Outcome::Pass | Outcome::Skip(_) => Status::Pass,
            Outcome::Fail(_) | Outcome::Stopped(_) => Status::Fail,
            Outcome::GraderError(_) => Status::GraderError,
        };
        self.graded.iter().map(of).max().unwrap_or(Status::Pass)
    }

    /// For the student.
    pub fn text(&self, language: Language) -> String {
        let mut text = String::new();
        let (got, of) = self.points();
        let title = format!("L{} {}", self.lab.number(), self.lab.manifest.title.get(language));
        // What could not be graded is not worth nothing: it is not known what it is worth.
        let unknown = self.status() == Status::GraderError;
        let got = if unknown { "?".to_owned() } else { got.to_string() };
        let _ = writeln!(text, "{title:<60} {got}/{of}");
        let width = self.graded.iter().map(|graded| graded.id.len()).max().unwrap_or(0).max(24);
        for graded in &self.graded {
            self.line(&mut text, graded, width, language);
        }
        if unknown {
            text += " The grader could not do its own work where a ? stands: that says nothing about your program. Try again.\n";
        }
        text
    }

    /// For the student, after another run: what is not as it was `before`.
    pub fn changes(&self, before: &[CheckResult], language: Language) -> String {
        let mut text = String::new();
        let (got, of) = self.points();
        let unknown = self.status() == Status::GraderError;
        let got = if unknown { "?".to_owned() } else { got.to_string() };
        let title = format!("L{} {}", self.lab.number(), self.lab.manifest.title.get(language));
        let _ = writeln!(text, "{title:<60} {got}/{of}");
        let width = self.graded.iter().map(|graded| graded.id.len()).max().unwrap_or(0).max(24);
        let (mut passed, mut others) = (0, 0);
        for graded in &self.graded {
            let earlier = before.iter().find(|earlier| earlier.id == graded.id);
            match (&graded.outcome, earlier.is_some_and(|earlier| alike(earlier, graded))) {
                (_, false) => self.line(&mut text, graded, width, language),
                (Outcome::Pass, true) => passed += 1,
                (_, true) => others += 1,
            }
        }
        let _ = writeln!(text, " as before: {passed} ok, {others} not");
        text
    }

    /// One check, with what was found.
    fn line(&self, text: &mut String, graded: &CheckResult, width: usize, language: Language) {
        let (got, of) = self.points_of(graded);
        let (word, rest) = match &graded.outcome {
            Outcome::Pass => ("ok", String::new()),
            Outcome::Fail(_) | Outcome::Stopped(_) => {
                ("FAIL", format!("   seed {:x}", graded.seed))
            }
            Outcome::Skip(why) => ("skip", format!("   {why}")),
            Outcome::GraderError(why) => ("?", format!("   {why}")),
        };
        let trouble = matches!(graded.outcome, Outcome::GraderError(_));
        let points = if trouble { format!("?/{of}") } else { format!("{got}/{of}") };
        let seconds = graded.seconds;
        let _ =
            writeln!(text, " {word:<4}  {:<width$}  {points:>6}  {seconds:5.2} s{rest}", graded.id);
        if let Outcome::Fail(finding) | Outcome::Stopped(finding) = &graded.outcome {
            self.explain(text, graded, finding, language);
        }
        for left in &graded.leftovers {
            let _ = writeln!(text, "       left      {left}");
        }
    }

    fn explain(
        &self,
        text: &mut String,
        graded: &CheckResult,
        finding: &Finding,
        language: Language,
    ) {
        let Some(check) = self.info(graded) else { return };
        let number = self.lab.number();
        let _ = writeln!(text, "       expected  {}", finding.expected);
        let _ = writeln!(text, "       observed  {}", finding.observed);
        if !finding.observed.contains(UNWRITTEN) {
            let _ = writeln!(text, "       meaning   {}", check.meaning.get(language));
        }
        if let Some(hole) = &check.hole {
            let _ = writeln!(text, "       try       cargo lab hint {number} {hole}");
        }
        let _ = writeln!(text, "       replay    {}", self.replay(graded));
    }
}
