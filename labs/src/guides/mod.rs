//! The guides of a lab, held against each other and against `lab.toml`.
//!
//! A translation drifts: a section is added to one of them, a check gets other points, a command changes. What can be
//! compared without understanding either language is compared here.

#[cfg(test)]
mod tests;

use crate::error::LabError;
use crate::lab::Lab;
use crate::manifest::Text;
use std::fs;

/// Programs whose calls inside a line of text must be the same in both languages.
const TOOLS: [&str; 14] = [
    "cargo", "ps", "ss", "strace", "nc", "tcpdump", "lsof", "ip", "kill", "getent", "sh", "man",
    "ls", "cat",
];

/// What a guide consists of, apart from its sentences.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Outline {
    /// The levels of the headings, in their order.
    pub headings: Vec<usize>,
    /// The checks of the table of points, with these.
    pub points: Vec<(String, u32)>,
    /// The blocks of code: their languages, and their commands where they have any.
    pub blocks: Vec<(String, Vec<String>)>,
    /// Calls of programs inside the text.
    pub calls: Vec<String>,
}

impl Outline {
    /// That of a guide in Markdown.
    pub fn of(guide: &str) -> Outline {
        let mut outline = Outline::default();
        let mut block: Option<(String, Vec<String>)> = None;
        for line in guide.lines() {
            if let Some(language) = line.trim_start().strip_prefix("```") {
                match block.take() {
                    Some(done) => outline.blocks.push(done),
                    None => block = Some((language.trim().to_owned(), Vec::new())),
                }
                continue;
            }
            if let Some((language, lines)) = &mut block {
                // Only commands are the same in every language: a drawing may have words in it.
                if language == "sh" {
                    let command = line.split("#").next().unwrap_or_default().trim();
                    lines.extend((!command.is_empty()).then(|| command.to_owned()));
                }
                continue;
            }
            let level = line.chars().take_while(|c| *c == '#').count();
            if level > 0 && line[level..].starts_with(' ') {
                outline.headings.push(level);
            }
            outline.points.extend(row(line));
            let spans = line.split('`').skip(1).step_by(2);
            let calls = spans
                .filter(|span| span.split_once(' ').is_some_and(|(tool, _)| TOOLS.contains(&tool)));
            outline.calls.extend(calls.map(str::to_owned));
        }
        // The order of words differs between languages.
        outline.calls.sort();
        outline
    }
}

/// A row of the table of points: | `group.name` | 5 |.
fn row(line: &str) -> Option<(String, u32)> {
    let mut cells = line.trim().strip_prefix('|')?.split('|').map(str::trim);
    let id = cells.next()?.strip_prefix('`')?.strip_suffix('`')?;
    let points = cells.next()?.parse().ok()?;
    id.contains('.').then(|| (id.to_owned(), points))
}

/// Where the texts of a lab are not in step.
///
/// # Errors
///
/// A guide cannot be read.
pub fn complaints(lab: &Lab) -> Result<Vec<String>, LabError> {
    let mut complaints = texts(lab);
    let wanted: Vec<(String, u32)> =
        lab.manifest.checks.iter().map(|check| (check.id.clone(), check.points)).collect();
    let mut outlines = Vec::new();
    for name in ["guide.en.md", "guide.zh.md"] {
        let path = lab.directory.join(name);
        let text =
            fs::read_to_string(&path).map_err(|error| LabError::new(path.display(), error))?;
        let outline = Outline::of(&text);
        if outline.points != wanted {
            let odd: Vec<String> = outline
                .points
                .iter()
                .filter(|row| !wanted.contains(row))
                .chain(wanted.iter().filter(|row| !outline.points.contains(row)))
                .map(|(id, points)| format!("{id} {points}"))
                .collect();
            let what = if odd.is_empty() { "their order".into() } else { odd.join(", ") };
            complaints.push(format!("{name}: its points are not those of lab.toml: {what}"));
        }
        if text.contains(TO_BE_WRITTEN) {
            complaints.push(format!("{name}: is still to be written"));
        }
        if is_chinese(&text) != (name == "guide.zh.md") {
            complaints.push(format!("{name}: is not in its language"));
        }
        outlines.push(outline);
    }
    if let [en, zh] = &outlines[..] {
        complaints.extend(differences(en, zh));
    }
    Ok(complaints)
}

/// Where two guides of one lab differ.
pub fn differences(en: &Outline, zh: &Outline) -> Vec<String> {
    let mut found = Vec::new();
    if en.headings != zh.headings {
        let (en, zh) = (&en.headings, &zh.headings);
        found.push(format!("the guides have different headings: levels {en:?} and {zh:?}"));
    }
    if en.blocks.len() != zh.blocks.len() {
        let (en, zh) = (en.blocks.len(), zh.blocks.len());
        found.push(format!("the guides have {en} and {zh} blocks of code"));
    }
    for (en, zh) in en.blocks.iter().zip(&zh.blocks).filter(|(en, zh)| en != zh) {
        let lines = en.1.iter().zip(&zh.1).find(|(en, zh)| en != zh);
        let what = match lines {
            Some((en, zh)) => format!("`{en}` and `{zh}`"),
            None => format!("{} {} lines, {} {} lines", en.0, en.1.len(), zh.0, zh.1.len()),
        };
        found.push(format!("the guides have different commands: {what}"));
    }
    for (one, other, missing) in [(en, zh, "guide.zh.md"), (zh, en, "guide.en.md")] {
        for call in one.calls.iter().filter(|call| !other.calls.contains(call)) {
            found.push(format!("{missing}: lacks `{call}`"));
        }
    }
    found
}

/// What of `lab.toml` is missing in a language, or in the wrong one.
fn texts(lab: &Lab) -> Vec<String> {
    let mut all: Vec<(String, &Text)> = vec![("title".into(), &lab.manifest.title)];
    for check in &lab.manifest.checks {
        let texts = [("title", &check.title), ("meaning", &check.meaning), ("look", &check.look)];
        all.extend(texts.map(|(what, text)| (format!("{}: {what}", check.id), text)));
    }
    for hole in &lab.manifest.holes {
        let hints = (1..).zip(&hole.hints);
        all.extend(hints.map(|(level, hint)| (format!("hole {}: hint {level}", hole.name), hint)));
    }
    let mut found = Vec::new();
    for (what, Text { en, zh }) in all {
        match (en.trim().is_empty(), zh.trim().is_empty()) {
            (true, _) => found.push(format!("{what}: is empty in English")),
            (_, true) => found.push(format!("{what}: is empty in Chinese")),
            _ if is_chinese(en) => {
                found.push(format!("{what}: the English text has Chinese in it"))
            }
            _ if !zh.chars().any(is_han) && has_words(zh) && zh != en => {
                found.push(format!("{what}: the Chinese text has no Chinese in it"));
            }
            _ => {}
        }
        if en.contains(TO_BE_WRITTEN) || zh.contains(TO_BE_WRITTEN) {
            found.push(format!("{what}: is still to be written"));
        }
    }
    found
}

/// Stands in a new lab's texts where its author is to write.
pub const TO_BE_WRITTEN: &str = "TO BE WRITTEN";

/// Whether more than a word or two is Chinese: an English text may show a character.
fn is_chinese(text: &str) -> bool {
    let letters = text.chars().filter(|char| char.is_alphabetic()).count();
    text.chars().filter(|char| is_han(*char)).count() * 20 > letters
}

fn is_han(char: char) -> bool {
    ('\u{4e00}'..='\u{9fff}').contains(&char)
}

/// Whether there is anything but code, which is the same in every language.
fn has_words(text: &str) -> bool {
    text.split('`').step_by(2).any(|plain| plain.chars().any(char::is_alphabetic))
}
