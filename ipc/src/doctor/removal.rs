//! Removing what was left behind.

use std::io::{self, BufRead, Write};

use crate::objects::Entry;

/// What is to be removed of what was entry.
pub(crate) struct Removal<'a> {
    /// If there are any, only these.
    pub names: &'a [String],
    /// Whether to ask about each.
    pub ask: bool,
}

impl Removal<'_> {
    /// Removes; returns whether that worked for all that were to be removed.
    pub(crate) fn run(
        &self,
        entries: Vec<Entry>,
        out: &mut impl Write,
        answers: &mut impl BufRead,
    ) -> io::Result<bool> {
        writeln!(out, "\nREMOVAL")?;
        let mut all_removed = true;
        for name in self.names {
            if !entries.iter().any(|entry| entry.name == *name) {
                all_removed = false;
                writeln!(out, "  {name}: nothing of that name was left behind")?;
            }
        }
        for entry in entries {
            let named = self.names.contains(&entry.name);
            if !named && !self.names.is_empty() {
                continue;
            }
            let label = format!("{} {}", entry.kind, entry.name);
            if self.ask {
                write!(out, "  remove {label} ({})? [y/N] ", entry.detail)?;
                out.flush()?;
                let mut answer = String::new();
                if answers.read_line(&mut answer)? == 0 {
                    writeln!(out)?;
                    return Ok(all_removed);
                }
                if !matches!(answer.trim(), "y" | "Y" | "yes") {
                    continue;
                }
            } else if entry.never_used && !named {
                writeln!(out, "  {label}: stays; nobody ever used it, so name it to remove it")?;
                continue;
            }
            match (entry.remove)() {
                Ok(()) => writeln!(out, "  {label}: removed")?,
                Err(error) => {
                    all_removed = false;
                    writeln!(out, "  {label}: not removed: {error}")?;
                }
            }
        }
        Ok(all_removed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::RefCell;
    use std::rc::Rc;

    /// Objects that only note that they were removed.
    fn entries(names: &[&str], removed: &Rc<RefCell<Vec<String>>>) -> Vec<Entry> {
        let entry = |name: &&str| {
            let (name, removed) = ((*name).to_owned(), removed.clone());
            Entry {
                kind: "thing",
                name: name.clone(),
                detail: "0 bytes".into(),
                in_use: None,
                never_used: name.starts_with("fresh"),
                remove: Box::new(move || match name.starts_with("stuck") {
                    true => Err("it is stuck".into()),
                    false => {
                        removed.borrow_mut().push(name);
                        Ok(())
                    }
                }),
            }
        };
        names.iter().map(entry).collect()
    }

    fn run(ask: bool, only: &[&str], there: &[&str], answers: &str) -> (bool, Vec<String>, String) {
        let removed = Rc::default();
        let names: Vec<String> = only.iter().map(|&name| name.to_owned()).collect();
        let mut out = Vec::new();
        let succeeded = Removal { names: &names, ask }
            .run(entries(there, &removed), &mut out, &mut answers.as_bytes())
            .unwrap();
        (succeeded, removed.take(), String::from_utf8(out).unwrap())
    }

    #[test]
    fn only_yes_removes() {
        let there = ["/a", "/b", "fresh", "/d", "/e"];
        let (succeeded, removed, text) = run(true, &[], &there, "y\n\nyes\nyep\n");
        assert_eq!((succeeded, removed), (true, vec!["/a".to_owned(), "fresh".to_owned()]));
        assert!(text.contains("remove thing /e (0 bytes)? [y/N]"), "{text}");
    }

    #[test]
    fn never_used_object_must_be_named() {
        let (succeeded, removed, _) = run(false, &[], &["/a", "fresh 1", "/b"], "");
        assert_eq!((succeeded, removed), (true, vec!["/a".to_owned(), "/b".to_owned()]));
        let (succeeded, removed, _) = run(false, &["fresh 1"], &["/a", "fresh 1", "fresh 2"], "");
        assert_eq!((succeeded, removed), (true, vec!["fresh 1".to_owned()]));
    }

    #[test]
    fn failed_removal_fails_the_run() {
        let (succeeded, removed, text) = run(false, &[], &["stuck", "/a"], "");
        assert_eq!((succeeded, removed), (false, vec!["/a".to_owned()]));
        assert!(text.contains("it is stuck"), "{text}");
        let (succeeded, removed, text) = run(false, &["/nowhere"], &["/a"], "");
        assert_eq!((succeeded, removed), (false, vec![]));
        assert!(text.contains("/nowhere: nothing of that name"), "{text}");
    }
}
