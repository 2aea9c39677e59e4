//! Results, and what they amount to; as text for the student. For machines, see [`crate::formats`].

use crate::context::{Finding, UNWRITTEN};
use crate::grader::{Graded, Outcome};
use crate::manifest::{CheckInfo, Lab, Language};
use std::fmt::Write;

/// What came of a lab's checks.
#[derive(Clone, Debug)]
pub struct Result<'a> {
    /// The lab.
    pub lab: &'a Lab,
    /// Its checks, those that were run.
    pub graded: Vec<Graded>,
}

/// The checks of a lab that was never opened: none has passed.
pub fn unopened(lab: &Lab) -> Vec<Graded> {
    let observed = "the lab was never opened".to_owned();
    all_alike(lab, Outcome::Fail(Finding { expected: "a program".into(), observed }))
}

/// The checks of a lab whose program does not compile: none has passed. `said` is what the compiler says.
pub fn not_compiled(lab: &Lab, said: &str) -> Vec<Graded> {
    let said = plain(said);
    let first = said.lines().find(|line| line.starts_with("error")).unwrap_or("no reason given");
    let observed = format!("it does not compile: {first}");
    all_alike(lab, Outcome::Fail(Finding { expected: "a program that compiles".into(), observed }))
}

/// The checks of a lab that could not be graded at all: nothing is said about any of them.
pub fn ungraded(lab: &Lab, why: &str) -> Vec<Graded> {
    all_alike(lab, Outcome::Trouble(why.to_owned()))
}

fn all_alike(lab: &Lab, outcome: Outcome) -> Vec<Graded> {
    let graded = |check: &CheckInfo| Graded {
        id: check.id.clone(),
        outcome: outcome.clone(),
        seconds: 0.0,
        seed: 0,
        leftovers: Vec::new(),
    };
    lab.manifest.checks.iter().map(graded).collect()
}

/// Whether a student would call two results of a check the same: numbers of processes and ports may differ.
fn alike(one: &Graded, other: &Graded) -> bool {
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
pub enum Sum {
    /// All passed.
    Pass = 0,
    /// Something is wrong with the student's program.
    Fail = 1,
    /// The grader could not do its work: nothing is said about the program.
    Trouble = 3,
}

impl Result<'_> {
    pub(crate) fn info(&self, graded: &Graded) -> Option<&CheckInfo> {
        self.lab.check(&graded.id)
    }

    /// The points of one check: what it brought, and what it is worth on this machine.
    pub fn points_of(&self, graded: &Graded) -> (u32, u32) {
        let worth = self.info(graded).map_or(0, |check| check.points);
        match graded.outcome {
            Outcome::Pass => (worth, worth),
            Outcome::Fail(_) | Outcome::Stopped(_) | Outcome::Trouble(_) => (0, worth),
            Outcome::Skip(_) => (0, 0),
        }
    }

    /// All points.
    pub fn points(&self) -> (u32, u32) {
        let points = self.graded.iter().map(|graded| self.points_of(graded));
        points.fold((0, 0), |(got, of), (more, worth)| (got + more, of + worth))
    }

    /// What it amounts to.
    pub fn sum(&self) -> Sum {
        let of = |graded: &Graded| match graded.outcome {
            Outcome::Pass | Outcome::Skip(_) => Sum::Pass,
            Outcome::Fail(_) | Outcome::Stopped(_) => Sum::Fail,
            Outcome::Trouble(_) => Sum::Trouble,
        };
        self.graded.iter().map(of).max().unwrap_or(Sum::Pass)
    }

    /// For the student.
    pub fn text(&self, language: Language) -> String {
        let mut text = String::new();
        let (got, of) = self.points();
        let title = format!("L{} {}", self.lab.number(), self.lab.manifest.title.get(language));
        // What could not be graded is not worth nothing: it is not known what it is worth.
        let unknown = self.sum() == Sum::Trouble;
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
    pub fn changes(&self, before: &[Graded], language: Language) -> String {
        let mut text = String::new();
        let (got, of) = self.points();
        let unknown = self.sum() == Sum::Trouble;
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
    fn line(&self, text: &mut String, graded: &Graded, width: usize, language: Language) {
        let (got, of) = self.points_of(graded);
        let (word, rest) = match &graded.outcome {
            Outcome::Pass => ("ok", String::new()),
            Outcome::Fail(_) | Outcome::Stopped(_) => {
                ("FAIL", format!("   seed {:x}", graded.seed))
            }
            Outcome::Skip(why) => ("skip", format!("   {why}")),
            Outcome::Trouble(why) => ("?", format!("   {why}")),
        };
        let trouble = matches!(graded.outcome, Outcome::Trouble(_));
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

    fn explain(&self, text: &mut String, graded: &Graded, finding: &Finding, language: Language) {
        let Some(check) = self.info(graded) else { return };
        let number = self.lab.number();
        let _ = writeln!(text, "       expected  {}", finding.expected);
        let _ = writeln!(text, "       observed  {}", finding.observed);
        if !finding.observed.contains(UNWRITTEN) {
            let _ = writeln!(text, "       meaning   {}", check.meaning.get(language));
        }
        let replay =
            format!("cargo lab test {number} --only {} --seed {:x}", check.id, graded.seed);
        if let Some(hole) = &check.hole {
            let _ = writeln!(text, "       try       cargo lab hint {number} {hole}");
        }
        let _ = writeln!(text, "       replay    {replay}");
    }
}
