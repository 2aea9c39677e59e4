//! Text and tables that fit the width of a terminal: whole words, and as many columns as fit.
//!
//! A table is plain columns. Where not all of them fit, the less telling ones are left out, and a line below the table
//! names them; where not even the essential ones fit, each row becomes a block of lines. `--wide` prints all columns.
//!
//! On a terminal everything fits its width. In a pipe or a file tables are laid out for 100 columns, or for as many as the
//! environment variable `COLUMNS` has, and sentences stay on one line, where `grep` finds all of them.

use rustix::termios::tcgetwinsize;
use std::fmt::Write as _;
use std::io::{self, IsTerminal};
use unicode_width::UnicodeWidthStr;

/// The width of tables that do not go to a terminal.
const PIPE: usize = 100;
/// The least width that is kept to.
const LEAST: usize = 20;
/// What stands between two columns.
const GAP: usize = 2;

/// Words behind a number that stay on its line.
const UNITS: [&str; 11] = ["ns", "µs", "ms", "s", "%", "B", "KiB", "MiB", "GiB", "/s", "k/s"];

/// Where not all columns fit, a longer name of a row stands on a line of its own, above its figures.
const LONG_NAME: usize = 24;

/// How output is laid out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Layout {
    width: usize,
    /// Whether sentences are broken into lines, too.
    wraps: bool,
    /// Whether tables have all their columns, however wide they become.
    wide: bool,
}

impl Layout {
    /// The layout of standard output. With `wide`, tables have all their columns.
    pub fn of_stdout(wide: bool) -> Layout {
        let stdout = io::stdout();
        if stdout.is_terminal() {
            let width = tcgetwinsize(&stdout).map_or(0, |size| usize::from(size.ws_col));
            // Some terminals do not report their width.
            return Layout { wide, ..Layout::of_width(if width == 0 { 80 } else { width }) };
        }
        let columns = std::env::var("COLUMNS").ok().and_then(|columns| columns.parse().ok());
        Layout { wide, wraps: false, ..Layout::of_width(columns.unwrap_or(PIPE)) }
    }

    /// The layout of a terminal of this width.
    pub fn of_width(width: usize) -> Layout {
        Layout { width: width.max(LEAST), wraps: true, wide: false }
    }

    /// The same with all columns of tables.
    pub fn wide(self) -> Layout {
        Layout { wide: true, ..self }
    }

    /// A sentence in lines that fit, those after the first indented.
    pub fn text(self, text: &str) -> String {
        match self.wraps {
            true => wrapped(text, self.width, 0, 2),
            false => text.to_owned(),
        }
    }

    /// A text that begins behind some figures, and whose further lines begin below its first word.
    pub fn hanging(self, before: &str, text: &str) -> String {
        let (column, width) = (before.width(), if self.wraps { self.width } else { usize::MAX });
        format!("{before}{}", wrapped(text, width, column, column))
    }

    /// Names and their values: a line for each, or several where a value is longer than the line. Ends with a newline.
    pub fn pairs(self, pairs: &[(&str, String)]) -> String {
        let width = if self.wraps { self.width } else { usize::MAX };
        pairs_in(pairs, width, 0)
    }

    /// A table, and the names of the columns that are left out. Ends with a newline.
    pub fn table(self, table: &Table) -> String {
        let all: Vec<usize> = table.filled().collect();
        let shown = match self.wide {
            true => Some((all.clone(), usize::MAX)),
            false => [usize::MAX, LONG_NAME].into_iter().find_map(|longest| {
                let shown = table.fitting(&all, self.width, longest)?;
                (longest == LONG_NAME || shown == all).then_some((shown, longest))
            }),
        };
        let Some((shown, longest)) = shown else { return table.blocks(&all, self.width) };
        let mut out = table.lines(&shown, longest);
        let left_out: Vec<String> = all
            .iter()
            .filter(|column| !shown.contains(column))
            .map(|column| table.columns[*column].heading.clone())
            .collect();
        if !left_out.is_empty() {
            let line = format!("Left out: {}; --wide prints all columns.", left_out.join(", "));
            let _ = writeln!(out, "{}", wrapped(&line, self.width, 0, 2));
        }
        out
    }
}

/// Rows of cells under headings.
#[derive(Clone, Debug)]
pub struct Table {
    columns: Vec<Column>,
    rows: Vec<Row>,
}

#[derive(Clone, Debug)]
struct Column {
    heading: String,
    rank: usize,
    left: bool,
}

#[derive(Clone, Debug)]
enum Row {
    /// A heading of the rows below.
    Section(String),
    Cells(Vec<String>),
}

impl Table {
    /// A table whose first column, the name of each row, has this heading.
    pub fn new(heading: &str) -> Table {
        let first = Column { heading: printable(heading), rank: 0, left: true };
        Table { columns: vec![first], rows: Vec::new() }
    }

    /// Adds a column of figures. One of rank 0 is essential; of the others, those of the least rank stay longest.
    #[must_use]
    pub fn column(mut self, heading: &str, rank: usize) -> Table {
        self.columns.push(Column { heading: printable(heading), rank, left: false });
        self
    }

    /// Adds a column of words.
    #[must_use]
    pub fn words(mut self, heading: &str, rank: usize) -> Table {
        self.columns.push(Column { heading: printable(heading), rank, left: true });
        self
    }

    /// Adds a row; cells that are missing are empty.
    pub fn row(&mut self, cells: impl IntoIterator<Item = String>) {
        let mut cells: Vec<String> = cells.into_iter().map(|cell| printable(&cell)).collect();
        cells.resize(self.columns.len(), String::new());
        self.rows.push(Row::Cells(cells));
    }

    /// Adds a heading of the rows that follow.
    pub fn section(&mut self, heading: &str) {
        self.rows.push(Row::Section(printable(heading)));
    }

    fn cells(&self) -> impl Iterator<Item = &Vec<String>> {
        self.rows.iter().filter_map(|row| match row {
            Row::Cells(cells) => Some(cells),
            Row::Section(_) => None,
        })
    }

    fn indent(&self) -> usize {
        let sections = self.rows.iter().any(|row| matches!(row, Row::Section(_)));
        if sections { 2 } else { 0 }
    }

    /// The columns that have a cell with text, and the first.
    fn filled(&self) -> impl Iterator<Item = usize> {
        (0..self.columns.len())
            .filter(|&at| at == 0 || self.cells().any(|cells| !cells[at].is_empty()))
    }

    /// How wide a column is: its cells are on one line, its heading is broken at words. A name that is longer than `longest`
    /// has a line of its own.
    fn width(&self, at: usize, longest: usize) -> usize {
        let cells = self.cells().map(|cells| cells[at].width());
        let cells = cells.filter(|width| at > 0 || *width <= longest).max().unwrap_or(0);
        let words = self.columns[at].heading.split(' ').map(UnicodeWidthStr::width).max();
        let indent = if at == 0 { self.indent() } else { 0 };
        (indent + cells).max(words.unwrap_or(0))
    }

    /// The columns that fit next to each other; `None` if the essential ones do not.
    fn fitting(&self, all: &[usize], width: usize, longest: usize) -> Option<Vec<usize>> {
        let mut by_rank = all.to_vec();
        by_rank.sort_by_key(|&at| (self.columns[at].rank, at));
        let mut shown = Vec::new();
        let mut used = 0;
        for at in by_rank {
            let more = self.width(at, longest) + if shown.is_empty() { 0 } else { GAP };
            if used + more <= width {
                used += more;
                shown.push(at);
            } else if self.columns[at].rank == 0 {
                return None;
            }
        }
        shown.sort_unstable();
        Some(shown)
    }

    /// The table as columns.
    fn lines(&self, shown: &[usize], longest: usize) -> String {
        let widths: Vec<usize> = shown.iter().map(|&at| self.width(at, longest)).collect();
        let line = |cell: &dyn Fn(usize) -> String| {
            let cells = shown.iter().zip(&widths).map(|(&at, &width)| {
                let cell = cell(at);
                let space = " ".repeat(width.saturating_sub(cell.width()));
                match self.columns[at].left {
                    true => cell + &space,
                    false => space + &cell,
                }
            });
            let cells: Vec<String> = cells.collect();
            cells.join(&" ".repeat(GAP)).trim_end().to_owned()
        };
        let headings: Vec<Vec<String>> = shown
            .iter()
            .zip(&widths)
            .map(|(&at, &width)| {
                let heading = wrapped(&self.columns[at].heading, width, 0, 0);
                heading.lines().map(str::to_owned).collect()
            })
            .collect();
        let height = headings.iter().map(Vec::len).max().unwrap_or(0);
        let mut out = String::new();
        for nth in 0..height {
            // Headings of fewer lines stand next to the rows.
            let part = |at: usize| -> String {
                let lines = shown.iter().position(|other| *other == at).map(|n| &headings[n]);
                let lines = lines.map_or(&[][..], Vec::as_slice);
                let from = height - lines.len();
                nth.checked_sub(from).and_then(|nth| lines.get(nth)).cloned().unwrap_or_default()
            };
            let _ = writeln!(out, "{}", line(&part));
        }
        let whole = widths.iter().sum::<usize>() + GAP * widths.len().saturating_sub(1);
        let _ = writeln!(out, "{}", "─".repeat(whole));
        let indent = " ".repeat(self.indent());
        for row in &self.rows {
            let _ = match row {
                Row::Section(heading) => writeln!(out, "{heading}"),
                Row::Cells(cells) => {
                    let long = cells[0].width() > longest;
                    if long {
                        let _ = writeln!(out, "{indent}{}", cells[0]);
                    }
                    let cell = |at: usize| match at {
                        0 if long => String::new(),
                        0 => format!("{indent}{}", cells[0]),
                        at => cells[at].clone(),
                    };
                    writeln!(out, "{}", line(&cell))
                }
            };
        }
        out
    }

    /// The table as blocks: the name of each row, and its figures below it.
    fn blocks(&self, all: &[usize], width: usize) -> String {
        let mut out = String::new();
        for row in &self.rows {
            match row {
                Row::Section(heading) => {
                    let _ = writeln!(out, "{}", wrapped(heading, width, 0, 2));
                }
                Row::Cells(cells) => {
                    let _ = writeln!(out, "{}", wrapped(&cells[0], width, 0, 2));
                    let mut pairs: Vec<(&str, String)> = Vec::new();
                    for &at in all.iter().skip(1).filter(|at| !cells[**at].is_empty()) {
                        match (self.columns[at].heading.as_str(), pairs.last_mut()) {
                            // A mark of the figure before it.
                            ("", Some((_, before))) => *before += &format!(" {}", cells[at]),
                            (heading, _) => pairs.push((heading, cells[at].clone())),
                        }
                    }
                    out.push_str(&pairs_in(&pairs, width, 2));
                }
            }
        }
        out
    }
}

/// Names and values in two columns, the values broken at words; below each other where the second column would be narrow.
fn pairs_in(pairs: &[(&str, String)], width: usize, indent: usize) -> String {
    let names = pairs.iter().map(|(name, _)| name.width()).max().unwrap_or(0);
    let column = indent + names + GAP;
    let mut out = String::new();
    for (name, value) in pairs {
        let value = printable(value);
        let name = printable(name);
        let _ = match width < column.saturating_add(LEAST) && column + value.width() > width {
            true => {
                let value = wrapped(&value, width, indent + 2, indent + 2);
                let below = indent + 2;
                writeln!(out, "{:indent$}{name}\n{:below$}{value}", "", "")
            }
            false => {
                let space = column - indent - name.width();
                let value = wrapped(&value, width, column, column);
                writeln!(out, "{:indent$}{name}{:space$}{value}", "", "")
            }
        };
    }
    out
}

/// A text broken at its spaces into lines of at most `width`. The first begins behind `used` columns, the others are
/// indented. A word is never broken, and a number stays with its unit.
fn wrapped(text: &str, width: usize, used: usize, indent: usize) -> String {
    let mut words: Vec<String> = Vec::new();
    for word in text.split_whitespace() {
        let unit = word.trim_end_matches([',', '.', ';', ':', ')']);
        let number =
            |last: &String| last.trim_start_matches('(').starts_with(|c: char| c.is_ascii_digit());
        match words.last_mut() {
            Some(last) if UNITS.contains(&unit) && number(last) && !last.contains(' ') => {
                last.push(' ');
                last.push_str(word);
            }
            _ => words.push(word.to_owned()),
        }
    }
    let mut out = String::new();
    let mut at = used;
    for (nth, word) in words.iter().enumerate() {
        if nth > 0 && at + 1 + word.width() > width {
            let _ = write!(out, "\n{:indent$}", "");
            at = indent;
        } else if nth > 0 {
            out.push(' ');
            at += 1;
        }
        out.push_str(word);
        at += word.width();
    }
    out
}

/// Names come from the command line and reasons from servers: no character of them may control the terminal.
pub fn printable(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn servers() -> Table {
        let mut table =
            Table::new("server").column("rate", 0).column("p99", 1).column("CPU per request", 2);
        table.row(["thread", "70.2 k/s", "1.23 ms", "14.2 µs"].map(str::to_owned));
        table.row(["线程", "812 /s", "> 2.10 s", "-"].map(str::to_owned));
        table
    }

    #[test]
    fn all_columns_fit_their_width() {
        let shown = Layout::of_width(80).table(&servers());
        assert_eq!(
            shown,
            "                            CPU per\nserver      rate       p99  request\n\
             ───────────────────────────────────\n\
             thread  70.2 k/s   1.23 ms  14.2 µs\n线程      812 /s  > 2.10 s        -\n"
        );
    }

    #[test]
    fn columns_left_out_are_named() {
        let shown = Layout::of_width(27).table(&servers());
        assert!(!shown.contains("14.2"), "{shown}");
        let line = shown.split("Left out").nth(1).unwrap().split_whitespace();
        let line = line.collect::<Vec<_>>().join(" ");
        assert_eq!(line, ": CPU per request; --wide prints all columns.");
        let wide = Layout::of_width(27).wide().table(&servers());
        assert!(wide.contains("14.2") && !wide.contains("Left out"), "{wide}");
    }

    #[test]
    fn narrow_table_becomes_blocks() {
        let mut table = servers();
        table.row(["a-name-of-some-length", "1 /s", "1 s", "1 µs"].map(str::to_owned));
        let shown = Layout::of_width(26).table(&table);
        let last = "a-name-of-some-length\n  rate             1 /s\n  p99              1 s\n  CPU per request  1 µs\n";
        assert!(shown.ends_with(last), "{shown}");
    }

    #[test]
    fn long_name_has_own_line() {
        let mut table = servers();
        table.row(["a-name-of-thirty-characters-ab", "1 /s", "1 s", "1 µs"].map(str::to_owned));
        let shown = Layout::of_width(40).table(&table);
        let last = "a-name-of-thirty-characters-ab\n            1 /s       1 s     1 µs\n";
        assert!(shown.ends_with(last), "{shown}");
        assert_eq!(Layout::of_width(80).table(&table).lines().count(), 6);
    }

    #[test]
    fn sections_head_their_rows() {
        let mut table = Table::new("figure").column("old", 0).words("", 1);
        table.section("get-4k, thread");
        table.row(["p50", "1.00 ms", "better"].map(str::to_owned));
        let shown = Layout::of_width(80).table(&table);
        assert!(shown.ends_with("get-4k, thread\n  p50   1.00 ms  better\n"), "{shown}");
    }

    #[test]
    fn texts_break_at_words_only() {
        let text = "one two 3 ms (4 KiB), and-a-long-word";
        assert_eq!(Layout::of_width(20).text(text), "one two 3 ms\n  (4 KiB),\n  and-a-long-word");
        let pairs = Layout::of_width(26).pairs(&[("name", "a value of some words".to_owned())]);
        assert_eq!(pairs, "name  a value of some\n      words\n");
        let narrow = Layout::of_width(20).pairs(&[("a longer name", "a value".to_owned())]);
        assert_eq!(narrow, "a longer name\n  a value\n");
    }
}
