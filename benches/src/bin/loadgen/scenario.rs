//! Scenario files: a workload as TOML, and errors that name the key and show how it is written.

use benches::load::workload::Workload;
use benches::text;
use std::fs;
use std::path::Path;
use toml::{Table, Value};

/// A scenario with every key, which `loadgen scenario` prints. Errors quote its lines.
pub const EXAMPLE: &str = include_str!("scenario.toml");

/// The keys of tables within a scenario, which no type checks.
const INNER: [(&str, &[&str]); 4] = [
    ("arrivals", &["loop", "rate"]),
    ("profile", &["shape", "levels", "from", "to"]),
    ("lifetime", &["policy", "ratio"]),
    ("sizes", &["distribution", "law", "median", "sigma", "min", "alpha", "max"]),
];

/// Reads a scenario; returns it, and whether it says how many connections there are.
///
/// # Errors
///
/// It cannot be read, or a key of it is wrong: in one line, with the file, the line and the key.
pub fn read(path: &Path) -> Result<(Workload, bool), String> {
    let named = |why: String| format!("scenario {}: {why}", path.display());
    let text = fs::read_to_string(path).map_err(|error| named(text::error(&error)))?;
    parse(&text).map_err(named)
}

fn parse(text: &str) -> Result<(Workload, bool), String> {
    let table: Table = toml::from_str(text).map_err(|error| {
        let line = error.span().map(|span| text[..span.start].matches('\n').count() + 1);
        let line = line.map_or(String::new(), |line| format!("line {line}: "));
        format!("{line}not TOML: {}", error.message().lines().next().unwrap_or_default())
    })?;
    let known = keys();
    for (key, value) in &table {
        let place = line_of(text, key);
        // The key of earlier versions.
        let name = if key == "course" { "profile" } else { key };
        if !known.iter().any(|known| known == name) {
            return Err(format!("{place}unknown key `{key}`{}", suggestion(key, &known)));
        }
        let wrong =
            || format!("{place}the key `{key}` is wrong; write it like `{}`", example(name));
        let inner = INNER.iter().find(|(outer, _)| *outer == name).map(|(_, keys)| *keys);
        if let (Some(keys), Value::Table(inner)) = (inner, value)
            && let Some(unknown) = inner.keys().find(|key| !keys.contains(&key.as_str()))
        {
            return Err(format!("{}: it has no `{unknown}`", wrong()));
        }
        let alone = Table::from_iter([(key.clone(), value.clone())]);
        if Value::Table(alone).try_into::<Workload>().is_err() {
            return Err(wrong());
        }
    }
    let sets_connections = table.contains_key("connections");
    let all = Value::Table(table).try_into();
    let workload = all.map_err(|error| format!("not a scenario: {}", error.message()))?;
    Ok((workload, sets_connections))
}

/// The keys of a scenario.
fn keys() -> Vec<String> {
    let default = serde_json::to_value(Workload::default()).unwrap_or_default();
    let mut keys: Vec<String> =
        default.as_object().map_or(Vec::new(), |object| object.keys().cloned().collect());
    // Those that are absent by default stand in comments of the example.
    let commented = EXAMPLE.lines().filter_map(|line| line.strip_prefix("# ")?.split_once(" = "));
    keys.extend(commented.map(|(key, _)| key.to_owned()));
    keys
}

/// The line of the example that has a key, without the blanks before its comment.
fn example(key: &str) -> String {
    let line = EXAMPLE
        .lines()
        .map(|line| line.strip_prefix("# ").unwrap_or(line))
        .find(|line| line.strip_prefix(key).is_some_and(|rest| rest.trim_start().starts_with('=')));
    line.unwrap_or(key).split_whitespace().collect::<Vec<_>>().join(" ")
}

/// `line 3: `, where a key stands; nothing if it is not found.
fn line_of(text: &str, key: &str) -> String {
    let is_here = |line: &str| {
        let line = line.trim_start().trim_start_matches('[').trim_start_matches(['"', '\'']);
        let rest = line.strip_prefix(key).map(|rest| rest.trim_start_matches(['"', '\'']));
        rest.is_some_and(|rest| rest.trim_start().starts_with(['=', ']', '.']))
    };
    let at = text.lines().position(is_here);
    at.map_or(String::new(), |at| format!("line {}: ", at + 1))
}

fn suggestion(key: &str, known: &[String]) -> String {
    let near = known.iter().map(|known| (distance(key, known), known)).min();
    match near {
        Some((distance, known)) if distance <= 2 => format!("; did you mean `{known}`?"),
        _ => "; `loadgen scenario` prints all keys".into(),
    }
}

/// How many letters two words differ in (Levenshtein).
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, letter) in a.chars().enumerate() {
        let mut corner = row[0];
        row[0] = i + 1;
        for (j, other) in b.iter().enumerate() {
            let replaced = corner + usize::from(letter != *other);
            corner = row[j + 1];
            row[j + 1] = replaced.min(corner + 1).min(row[j] + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn example_has_every_key() {
        let (read, _) = parse(EXAMPLE).unwrap_or_else(|why| panic!("{why}"));
        assert_eq!(read, Workload::default(), "the example shows the defaults");
        let default = serde_json::to_value(Workload::default()).unwrap_or_default();
        let table: Table = toml::from_str(EXAMPLE).unwrap_or_else(|why| panic!("{why}"));
        for key in keys() {
            let is_absent = default.get(&key).is_none_or(serde_json::Value::is_null);
            assert!(is_absent || table.contains_key(&key), "scenario.toml has no {key}");
            let line = example(&key);
            assert!(line.starts_with(&format!("{key} = ")) && line.contains('#'), "{line}");
        }
        // What its comments show can be written, too.
        for line in EXAMPLE.lines().filter(|line| line.contains('{')) {
            let (key, _) = line.split_once(' ').unwrap_or_default();
            for part in line.split('{').skip(1).filter_map(|part| part.split_once('}')) {
                let scenario = format!("{key} = {{{}}}", part.0);
                parse(&scenario).unwrap_or_else(|why| panic!("{scenario}: {why}"));
            }
        }
    }

    #[test]
    fn wrong_key_is_named_with_example() {
        for (scenario, why) in [
            (
                "connections = 4\nconections = 5",
                "line 2: unknown key `conections`; did you mean `connections`?",
            ),
            ("colour = 1", "unknown key `colour`; `loadgen scenario` prints all keys"),
            (
                "\nconnections = \"x\"",
                "line 2: the key `connections` is wrong; write it like `connections = 64",
            ),
            ("connections = -1", "`connections = 64"),
            ("duration = \"5s\"", "`duration = 5"),
            ("duration = -1", "`duration = 5"),
            (
                "[profile]\nshape = \"steps\"",
                "line 1: the key `profile` is wrong; write it like `profile = {",
            ),
            ("[arrivals]\nloop = \"poisson\"\nrte = 5", "it has no `rte`"),
            ("[mix]\nget = 1\nfetch = 1", "`mix = { get = 1"),
            ("sizes = { distribution = \"normal\" }", "lognormal"),
            ("sizes = 4096", "`sizes = [4096]"),
            ("lifetime = \"keep-alive\"", "`lifetime = { policy"),
            ("verify = 1", "`verify = true"),
            ("connections = ", "line 1: not TOML"),
            ("connections 4", "line 1: not TOML"),
        ] {
            let error = parse(scenario).unwrap_err();
            assert!(error.contains(why), "{scenario}: {error}");
            for jargon in ["invalid type", "missing field", "expected one of", "struct", "usize"] {
                assert!(!error.contains(jargon), "{scenario}: {error}");
            }
        }
    }

    #[test]
    fn earlier_keys_are_read() {
        let read = parse("[course]\nshape = \"steps\"\nlevels = [1]\n");
        assert!(read.is_ok(), "{read:?}");
    }

    #[test]
    fn distance_counts_changed_letters() {
        assert_eq!(distance("conections", "connections"), 1);
        assert_eq!(distance("", "ab"), 2);
        assert_eq!(distance("warmup", "warm_up"), 1);
    }
}
