//! Removing what was left behind.

use std::io::{self, BufRead, Write};

use crate::objects::{Entry, State, Survey};

/// What is to be removed.
pub(crate) struct Removal<'a> {
    /// If there are any, only these.
    pub names: &'a [String],
    /// Whether to ask about each.
    pub ask: bool,
}

impl Removal<'_> {
    /// Removes; returns whether that worked for all that were to be removed. Without names these are all that were left
    /// behind, and the kinds that could not be listed may have some.
    pub(crate) fn run(
        &self,
        mut survey: Survey,
        out: &mut impl Write,
        answers: &mut impl BufRead,
    ) -> io::Result<bool> {
        writeln!(out, "\nREMOVAL")?;
        let mut all_removed = true;
        if self.names.is_empty() {
            for entry in survey.entries {
                match self.remove(entry, false, out, answers)? {
                    Some(removed) => all_removed &= removed,
                    None => return Ok(all_removed),
                }
            }
            for (kind, _) in survey.unlisted {
                all_removed = false;
                writeln!(out, "  {kind}: could not look, see above")?;
            }
            return Ok(all_removed);
        }
        for name in self.names {
            let found = survey.take_named(name);
            let complaints = [("", &found.stay), ("could not look: ", &found.unseen)];
            for (prefix, reason) in
                complaints.iter().flat_map(|(prefix, all)| all.iter().map(move |one| (prefix, one)))
            {
                all_removed = false;
                writeln!(out, "  {name}: {prefix}{reason}")?;
            }
            if found.entries.is_empty() && found.stay.is_empty() && found.unseen.is_empty() {
                all_removed = false;
                writeln!(out, "  {name}: does not exist")?;
            }
            for entry in found.entries {
                match self.remove(entry, true, out, answers)? {
                    Some(removed) => all_removed &= removed,
                    None => return Ok(all_removed),
                }
            }
        }
        Ok(all_removed)
    }

    /// Returns whether the object is as the user wants it; `None` when the user does not answer any more.
    fn remove(
        &self,
        entry: Entry,
        named: bool,
        out: &mut impl Write,
        answers: &mut impl BufRead,
    ) -> io::Result<Option<bool>> {
        let label = format!("{} {}", entry.kind, entry.name);
        match &entry.state {
            State::InUse(_) | State::OnlyNamed(_) if !named => return Ok(Some(true)),
            State::InUse(_) => {
                let advice = advice(&entry.name);
                writeln!(out, "  {label}: stays; {}; {advice}", entry.state)?;
                return Ok(Some(false));
            }
            _ => {}
        }
        if self.ask {
            write!(out, "  remove {label} ({}; {})? [y/N] ", entry.state, entry.details)?;
            out.flush()?;
            let mut answer = String::new();
            if answers.read_line(&mut answer)? == 0 {
                writeln!(out)?;
                return Ok(None);
            }
            if !matches!(answer.trim(), "y" | "Y" | "yes") {
                return Ok(Some(true));
            }
        }
        let advice = advice(&entry.name);
        let (line, succeeded) = match (entry.remove)(named) {
            Ok(None) => ("removed".to_owned(), true),
            // A process has begun to use it since the list: that is as it should be.
            Ok(Some(reason)) => (format!("stays; {reason}; {advice}"), !named),
            Err(error) => (format!("not removed: {error}"), false),
        };
        writeln!(out, "  {label}: {line}")?;
        Ok(Some(succeeded))
    }
}

/// What to do about an object that a process uses.
fn advice(name: &str) -> String {
    let option = match name.split_once(':') {
        Some(("queue", id)) => format!("-q {id}"),
        Some(("semaphore", id)) => format!("-s {id}"),
        Some(("sysv", id)) => format!("-m {id}"),
        _ => return "end that process first".to_owned(),
    };
    format!("end that process first, or: ipcrm {option}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::RefCell;
    use std::rc::Rc;

    /// Objects that only note that they were removed.
    fn survey(names: &[&str], removed: &Rc<RefCell<Vec<String>>>) -> Survey {
        let entry = |name: &&str| {
            let (name, removed) = ((*name).to_owned(), removed.clone());
            Entry {
                kind: "thing",
                name: name.clone(),
                bytes: None,
                state: match name.split('-').next() {
                    Some("/used") => State::InUse("open in 1".into()),
                    Some("/unsure") => State::OnlyNamed(String::new()),
                    _ => State::LeftBehind,
                },
                details: "a test".into(),
                remove: Box::new(move |_| match name.split('-').next() {
                    Some("/stuck") => Err("it is stuck".into()),
                    Some("/opened") => Ok(Some("in use: open in 2".into())),
                    _ => {
                        removed.borrow_mut().push(name);
                        Ok(None)
                    }
                }),
            }
        };
        Survey { entries: names.iter().map(entry).collect(), unlisted: Vec::new() }
    }

    fn run(ask: bool, only: &[&str], there: &[&str], answers: &str) -> (bool, Vec<String>, String) {
        let removed = Rc::default();
        let names: Vec<String> = only.iter().map(|&name| name.to_owned()).collect();
        let mut out = Vec::new();
        let succeeded = Removal { names: &names, ask }
            .run(survey(there, &removed), &mut out, &mut answers.as_bytes())
            .unwrap();
        (succeeded, removed.take(), String::from_utf8(out).unwrap())
    }

    #[test]
    fn only_yes_removes() {
        let there = ["/a-1", "/b-1", "/c-1", "/unsure-1", "/d-1", "/e-1"];
        let (succeeded, removed, text) = run(true, &[], &there, "y\n\nyes\nyep\n");
        assert_eq!((succeeded, removed), (true, vec!["/a-1".to_owned(), "/c-1".to_owned()]));
        assert!(text.contains("remove thing /e-1 (left behind; a test)? [y/N]"), "{text}");
    }

    #[test]
    fn unjudged_object_must_be_named() {
        let there = ["/a-1", "/unsure-1", "/unsure-2", "/used-1"];
        let (succeeded, removed, _) = run(false, &[], &there, "");
        assert_eq!((succeeded, removed), (true, vec!["/a-1".to_owned()]));
        let (succeeded, removed, _) = run(false, &["/unsure-1"], &there, "");
        assert_eq!((succeeded, removed), (true, vec!["/unsure-1".to_owned()]));
        // A slash may be left out.
        let (succeeded, removed, _) = run(false, &["unsure-1"], &there, "");
        assert_eq!((succeeded, removed), (true, vec!["/unsure-1".to_owned()]));
    }

    #[test]
    fn used_object_stays_although_named() {
        let (succeeded, removed, text) = run(false, &["/used-1"], &["/used-1"], "");
        assert_eq!((succeeded, removed), (false, vec![]));
        assert!(text.contains("stays; in use: open in 1; end that process first"), "{text}");
        // One that came into use since the list is not a failure, unless it was named.
        for (names, expected) in [(&[][..], true), (&["/opened-1"], false)] {
            let (succeeded, removed, text) = run(false, names, &["/opened-1"], "");
            assert_eq!((succeeded, removed), (expected, vec![]));
            assert!(text.contains("stays; in use: open in 2"), "{text}");
        }
    }

    #[test]
    fn failed_removal_fails_the_run() {
        let (succeeded, removed, text) = run(false, &[], &["/stuck-1", "/a-1"], "");
        assert_eq!((succeeded, removed), (false, vec!["/a-1".to_owned()]));
        assert!(text.contains("it is stuck"), "{text}");
        let (succeeded, removed, text) = run(false, &["/no-such-thing-1"], &["/a-1"], "");
        assert_eq!((succeeded, removed), (false, vec![]));
        assert!(text.contains("/no-such-thing-1: does not exist"), "{text}");
    }
}
