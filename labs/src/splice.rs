//! One source, named holes, many fillings.
//!
//! A lab's reference is ordinary Rust with its holes marked by comments:
//!
//! ```text
//! // lab:hole close-listener
//! drop(listener);
//! // lab:stub todo!("the child must not keep the listener open")
//! // lab:end
//! ```
//!
//! What stands between `lab:hole` and the first `lab:stub` (or `lab:end`) is the reference's body; the
//! `lab:stub` lines are what the student finds there instead. A *filling* gives other bodies to some holes, by
//! their names, and can change nothing else: so the signatures around the holes are the same for everybody.
//!
//! ```text
//! // check: fork.no_zombies
//! // mistake: nobody waits for the children
//! // lab:fill reap
//! // (nothing)
//! // lab:end
//! ```
//!
//! A filling that differs from the reference in a line or two replaces those. The old lines must be in the reference's body,
//! exactly once:
//!
//! ```text
//! // lab:replace close-listener
//! drop(listener);
//! // lab:with
//! drop(stream);
//! // lab:end
//! ```
//!
//! Two more marks stand outside holes: `lab:canary WORD` is a line of the reference that must never reach a
//! student, and `lab:only LINE` is a line of the starter alone.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

/// A fault in marked source, with its place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// The file, as it was called.
    pub file: String,
    /// The line, counted from 1.
    pub line: usize,
    /// What is wrong there.
    pub what: String,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}", self.file, self.line, self.what)
    }
}

impl std::error::Error for Fault {}

/// A marked source file, taken apart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Template {
    parts: Vec<Part>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    Text(String),
    Canary(String),
    Only(String),
    Hole(Hole),
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Hole {
    name: String,
    indent: String,
    body: String,
    stub: Vec<String>,
}

/// Other bodies for some of the holes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Filling {
    /// What stands above the first body: `key: value` lines in comments.
    pub notes: BTreeMap<String, String>,
    bodies: BTreeMap<String, String>,
}

/// A change of a hole that is being read.
enum Open {
    /// The whole body.
    Body { hole: String, body: String },
    /// The lines to replace, and the number of the line where they are announced.
    Old { hole: String, old: String, at: usize },
    /// The lines that take their place.
    New { hole: String, old: String, new: String, at: usize },
}

impl Filling {
    /// Takes a filling apart. `reference` has the bodies of the holes, in which lines can be replaced.
    ///
    /// # Errors
    ///
    /// A mark without its counterpart, a hole that is filled twice, text between the changes, or lines to replace that are not in the
    /// reference's body exactly once.
    pub fn parse(
        file: &str,
        text: &str,
        reference: &BTreeMap<String, String>,
    ) -> Result<Filling, Fault> {
        let mut filling = Filling::default();
        let mut replaced = BTreeSet::new();
        let mut open: Option<Open> = None;
        for (number, line) in (1..).zip(text.lines()) {
            let fault = |line, what: String| Fault { file: file.into(), line, what };
            match (mark(line), open.take()) {
                (Some((word @ ("fill" | "replace"), name)), None) => {
                    let again = word == "replace" && replaced.contains(name);
                    if filling.bodies.contains_key(name) && !again {
                        return Err(fault(number, format!("`{name}` is filled twice")));
                    }
                    let hole = name.to_owned();
                    open = Some(if word == "fill" {
                        Open::Body { hole, body: String::new() }
                    } else {
                        replaced.insert(name);
                        Open::Old { hole, old: String::new(), at: number }
                    });
                }
                (Some(("with", _)), Some(Open::Old { hole, old, at })) => {
                    open = Some(Open::New { hole, old, new: String::new(), at });
                }
                (Some(("end", _)), Some(Open::Body { hole, body })) => {
                    filling.bodies.insert(hole, body);
                }
                (Some(("end", _)), Some(Open::New { hole, old, new, at })) => {
                    let Some(body) = filling.bodies.get(&hole).or_else(|| reference.get(&hole))
                    else {
                        return Err(fault(at, format!("there is no hole `{hole}`")));
                    };
                    let body = replace_lines(body, &old, &new).map_err(|times| {
                        let lines = old.trim_end();
                        let what = "is in the reference's body";
                        fault(
                            at,
                            format!("hole `{hole}`: `{lines}` {what} {times} times, not once"),
                        )
                    })?;
                    filling.bodies.insert(hole, body);
                }
                (Some((word, _)), _) => {
                    return Err(fault(number, format!("`lab:{word}` is out of place")));
                }
                (None, Some(mut change)) => {
                    match &mut change {
                        Open::Body { body: text, .. }
                        | Open::Old { old: text, .. }
                        | Open::New { new: text, .. } => push_line(text, line),
                    }
                    open = Some(change);
                }
                (None, None) => match note(line) {
                    Some((key, value)) if filling.bodies.is_empty() => {
                        filling.notes.insert(key.to_owned(), value.to_owned());
                    }
                    _ if line.trim().is_empty() => {}
                    _ => {
                        let what =
                            "expected `// key: value`, `// lab:fill NAME` or `// lab:replace NAME`";
                        return Err(fault(number, what.into()));
                    }
                },
            }
        }
        match open {
            None => Ok(filling),
            Some(Open::Body { hole, .. } | Open::Old { hole, .. } | Open::New { hole, .. }) => {
                let (line, what) = (text.lines().count(), format!("`{hole}` has no `lab:end`"));
                Err(Fault { file: file.into(), line, what })
            }
        }
    }

    /// The holes that it fills.
    pub fn holes(&self) -> impl Iterator<Item = &str> {
        self.bodies.keys().map(String::as_str)
    }
}

impl Template {
    /// Takes marked source apart.
    ///
    /// # Errors
    ///
    /// A mark without its counterpart, or one that nobody knows.
    pub fn parse(file: &str, text: &str) -> Result<Template, Fault> {
        let mut parts = Vec::new();
        let mut plain = String::new();
        let mut hole: Option<Hole> = None;
        for (number, line) in (1..).zip(text.lines()) {
            let fault = |what: String| Fault { file: file.into(), line: number, what };
            let Some((word, rest)) = mark(line) else {
                match &mut hole {
                    None => push_line(&mut plain, line),
                    Some(hole) if hole.stub.is_empty() => push_line(&mut hole.body, line),
                    Some(_) => return Err(fault("a stub ends the body of a hole".into())),
                }
                continue;
            };
            let indent: String = line.chars().take_while(|c| c.is_whitespace()).collect();
            match (word, &mut hole) {
                ("hole", None) if !rest.is_empty() => {
                    parts.push(Part::Text(std::mem::take(&mut plain)));
                    let name = rest.to_owned();
                    hole = Some(Hole { name, indent, body: String::new(), stub: Vec::new() });
                }
                ("stub", Some(hole)) => hole.stub.push(rest.to_owned()),
                ("end", Some(_)) => parts.extend(hole.take().map(Part::Hole)),
                ("canary", None) => {
                    parts.push(Part::Text(std::mem::take(&mut plain)));
                    parts.push(Part::Canary(line.to_owned()));
                }
                ("only", None) => {
                    parts.push(Part::Text(std::mem::take(&mut plain)));
                    parts.push(Part::Only(format!("{indent}{rest}\n")));
                }
                _ => return Err(fault(format!("`lab:{word}` is out of place"))),
            }
        }
        if let Some(hole) = hole {
            let what = format!("hole `{}` has no `lab:end`", hole.name);
            return Err(Fault { file: file.into(), line: text.lines().count(), what });
        }
        parts.push(Part::Text(plain));
        Ok(Template { parts })
    }

    /// The names of the holes, in their order.
    pub fn holes(&self) -> impl Iterator<Item = &str> {
        self.parts.iter().filter_map(|part| match part {
            Part::Hole(hole) => Some(hole.name.as_str()),
            _ => None,
        })
    }

    /// The words that must never reach a student.
    pub fn canaries(&self) -> impl Iterator<Item = &str> {
        self.parts.iter().filter_map(|part| match part {
            Part::Canary(line) => mark(line).map(|(_, word)| word),
            _ => None,
        })
    }

    /// The bodies of the holes, by their names: what the student is to find out.
    pub fn bodies(&self) -> impl Iterator<Item = (&str, &str)> {
        self.parts.iter().filter_map(|part| match part {
            Part::Hole(hole) => Some((hole.name.as_str(), hole.body.as_str())),
            _ => None,
        })
    }

    /// What the student begins with: every hole a stub under its name.
    pub fn starter(&self) -> String {
        let mut text = String::new();
        for part in &self.parts {
            match part {
                Part::Text(plain) => text.push_str(plain),
                Part::Only(line) => text.push_str(line),
                Part::Canary(_) => {}
                Part::Hole(Hole { name, indent, stub, .. }) => {
                    text.push_str(&format!("{indent}// gap: {name}\n"));
                    if stub.is_empty() {
                        text.push_str(&format!("{indent}todo!(\"{name}\")\n"));
                    }
                    for line in stub {
                        let line = format!("{indent}{line}");
                        text.push_str(line.trim_end());
                        text.push('\n');
                    }
                }
            }
        }
        text
    }

    /// The program with these bodies, and the reference's where `filling` has none; without marks.
    pub fn filled(&self, filling: &Filling) -> String {
        let mut text = String::new();
        for part in &self.parts {
            match part {
                Part::Text(plain) => text.push_str(plain),
                Part::Hole(hole) => {
                    text.push_str(filling.bodies.get(&hole.name).unwrap_or(&hole.body));
                }
                Part::Canary(_) | Part::Only(_) => {}
            }
        }
        text
    }
}

/// `// lab:WORD REST`, of a line that is nothing else.
fn mark(line: &str) -> Option<(&str, &str)> {
    let rest = line.trim().strip_prefix("// lab:")?;
    let (word, rest) = rest.split_once(' ').unwrap_or((rest, ""));
    Some((word, rest.trim_end()))
}

/// `// key: value`.
fn note(line: &str) -> Option<(&str, &str)> {
    let (key, value) = line.trim().strip_prefix("// ")?.split_once(": ")?;
    (!key.contains(' ')).then_some((key, value))
}

fn push_line(text: &mut String, line: &str) {
    text.push_str(line);
    text.push('\n');
}

/// The body with the whole lines `old`, which must be in it exactly once, replaced by `new`. The error is how often they are.
fn replace_lines(body: &str, old: &str, new: &str) -> Result<String, usize> {
    let begins_line = |at: &usize| *at == 0 || body.as_bytes()[at - 1] == b'\n';
    let places: Vec<usize> = (0..body.len())
        .filter(begins_line)
        .filter(|at| !old.is_empty() && body[*at..].starts_with(old))
        .collect();
    let [at] = places[..] else { return Err(places.len()) };
    Ok([&body[..at], new, &body[at + old.len()..]].concat())
}

#[cfg(test)]
mod tests {
    use super::*;

    const SOURCE: &str = "\
// lab:canary heron-7
// lab:only // Your work begins here.
fn serve() {
    before();
    // lab:hole close
    drop(listener);
    drop(more);
    // lab:stub // Which descriptors does the child not need?
    // lab:stub todo!(\"close them\")
    // lab:end
    // lab:hole answer
    42
    // lab:end
}
";

    fn template() -> Template {
        Template::parse("main.rs", SOURCE).unwrap()
    }

    fn bodies() -> BTreeMap<String, String> {
        let owned = |(hole, body): (&str, &str)| (hole.to_owned(), body.to_owned());
        template().bodies().map(owned).collect()
    }

    #[test]
    fn a_starter_has_stubs_under_the_names_of_the_holes() {
        let wanted = "\
// Your work begins here.
fn serve() {
    before();
    // gap: close
    // Which descriptors does the child not need?
    todo!(\"close them\")
    // gap: answer
    todo!(\"answer\")
}
";
        assert_eq!(template().starter(), wanted);
        assert_eq!(template().holes().collect::<Vec<_>>(), ["close", "answer"]);
        assert_eq!(template().canaries().collect::<Vec<_>>(), ["heron-7"]);
    }

    #[test]
    fn a_filling_replaces_bodies_and_nothing_else() {
        let reference = template().filled(&Filling::default());
        let text =
            "// check: a.b\n// mistake: off by one\n\n// lab:fill answer\n    41\n// lab:end\n";
        let filling = Filling::parse("wrong.rs", text, &bodies()).unwrap();
        assert_eq!(filling.notes["check"], "a.b");
        assert_eq!(filling.notes["mistake"], "off by one");
        assert_eq!(filling.holes().collect::<Vec<_>>(), ["answer"]);
        assert_eq!(template().filled(&filling), reference.replace("42", "41"));
        assert!(!reference.contains("lab:") && reference.contains("drop(more);"));
    }

    #[test]
    fn a_filling_may_replace_lines_of_the_reference() {
        let text = "\
// check: a.b
// lab:replace close
    drop(listener);
// lab:with
    drop(stream);
    drop(stream);
// lab:end
// lab:replace close
    drop(more);
// lab:with
// lab:end
// lab:fill answer
    41
// lab:end
";
        let filling = Filling::parse("wrong.rs", text, &bodies()).unwrap();
        assert_eq!(filling.bodies["close"], "    drop(stream);\n    drop(stream);\n");
        assert_eq!(filling.bodies["answer"], "    41\n");
    }

    #[test]
    fn faults_have_their_place() {
        let fault = |text: &str| Template::parse("f", text).unwrap_err().to_string();
        assert_eq!(fault("a\n// lab:end\n"), "f:2: `lab:end` is out of place");
        assert_eq!(fault("// lab:hole x\nb\n"), "f:2: hole `x` has no `lab:end`");
        assert_eq!(fault("// lab:hole\n"), "f:1: `lab:hole` is out of place");
        assert_eq!(fault("// lab:hole x\n// lab:hole y\n"), "f:2: `lab:hole` is out of place");
        assert_eq!(fault("// lab:whole x\n"), "f:1: `lab:whole` is out of place");
        let fault = |text: &str| Filling::parse("f", text, &bodies()).unwrap_err().to_string();
        assert_eq!(
            fault("let x;\n"),
            "f:1: expected `// key: value`, `// lab:fill NAME` or `// lab:replace NAME`"
        );
        assert_eq!(fault("// lab:fill x\n"), "f:1: `x` has no `lab:end`");
        let twice = "// lab:fill x\n// lab:end\n// lab:fill x\n// lab:end\n";
        assert_eq!(fault(twice), "f:3: `x` is filled twice");
        assert_eq!(fault("// lab:with\n"), "f:1: `lab:with` is out of place");
        assert_eq!(fault("// lab:replace x\n// lab:end\n"), "f:2: `lab:end` is out of place");
        let replace = |hole: &str, old: &str| {
            fault(&format!("\n// lab:replace {hole}\n{old}\n// lab:with\n// lab:end\n"))
        };
        assert_eq!(replace("x", "y"), "f:2: there is no hole `x`");
        let what = "is in the reference's body 0 times, not once";
        // Neither a part of a line nor a line that is indented otherwise.
        assert_eq!(replace("close", "    drop("), format!("f:2: hole `close`: `    drop(` {what}"));
        assert_eq!(replace("answer", "42"), format!("f:2: hole `answer`: `42` {what}"));
        let two = "// lab:fill close\n// lab:end\n// lab:replace close\nx\n";
        assert_eq!(fault(two), "f:3: `close` is filled twice");
        assert_eq!(replace_lines("a\na\n", "a\n", "b\n"), Err(2));
    }
}
