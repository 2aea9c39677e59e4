//! The page: one file of HTML that needs no network, made of chapters of figures.

use super::notes::{Notes, is_noted};
use super::{Comparison, NONE, svg, tables};
use crate::text::{escape, whole};
use file_service::human::UtcDateTime;
use std::fmt::Write as _;

pub(super) const STYLE: &str = include_str!("style.css");

const SCRIPT: &str = include_str!("script.js");

/// A chapter of the page.
#[derive(Clone, Debug, Default)]
pub struct Chapter {
    /// Its anchor: letters, digits and hyphens.
    pub id: String,
    /// Its heading.
    pub title: String,
    /// What it is about, as plain text.
    pub intro: String,
    /// Its plots.
    pub figures: Vec<Figure>,
    /// Why figures in it are missing or invalid: the mark that stands next to them, and the reason.
    pub notes: Vec<(String, String)>,
}

/// A plot, how to read it, and its values as a table.
#[derive(Clone, Debug, Default)]
pub struct Figure {
    /// Its heading.
    pub title: String,
    /// The drawing, as SVG; empty if there is none.
    pub svg: String,
    /// How to read it, as plain text; may be empty.
    pub caption: String,
    /// The figures; the first row is the head.
    pub table: Vec<Vec<String>>,
    /// Whether it takes the whole width.
    pub wide: bool,
}

/// The page with these chapters, and with all figures of the comparison at its end. A comparison without cases leaves the
/// chapters.
pub(super) fn html(comparison: &Comparison, chapters: &[Chapter]) -> String {
    let title = match (comparison.cases.is_empty(), chapters) {
        (true, [chapter]) => &chapter.title,
        _ => "Models of concurrency compared",
    };
    let mut html = begin(title);
    header(&mut html, comparison, title, chapters);
    html.push_str("<main>\n");
    if !comparison.cases.is_empty() {
        legend(&mut html, comparison);
    }
    for chapter in chapters {
        write_chapter(&mut html, chapter);
    }
    if !comparison.cases.is_empty() {
        all_figures(&mut html, comparison);
    }
    // The script picks a server of the legend out of all plots.
    let _ = write!(html, "</main>\n<script>\n{SCRIPT}</script>\n</body>\n</html>\n");
    html
}

/// The beginning of a page, to its body.
pub(super) fn begin(title: &str) -> String {
    let mut html = String::with_capacity(1 << 19);
    let _ = write!(
        html,
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <title>{title}</title>\n<style>\n{STYLE}</style>\n</head>\n<body>\n",
        title = escape(title)
    );
    html
}

fn header(html: &mut String, comparison: &Comparison, title: &str, chapters: &[Chapter]) {
    let environment = &comparison.environment;
    let _ = write!(html, "<header>\n<h1>{}</h1>\n<dl>", escape(title));
    let mut entry = |name: &str, value: &str| write_entry(html, name, value);
    entry("Machine", &environment.machine);
    entry("Placement", &environment.placement);
    entry("Load by", comparison.driver.as_deref().unwrap_or_default());
    entry("Command", &environment.command);
    entry("Begun", &moment(environment.started));
    let compared = !comparison.cases.is_empty();
    if compared {
        let baseline = comparison.baseline.as_deref();
        entry("Ratios to", baseline.unwrap_or("the first server of each case"));
        let rounds = comparison.cases.iter().flat_map(|c| &c.results).map(|r| r.rounds.len()).max();
        entry("Rounds", &rounds.unwrap_or(0).to_string());
    }
    html.push_str("</dl>\n");
    if compared {
        html.push_str("<p>Only ratios taken in one interleaved run count. The absolute figures are those of this machine in this hour, and no promise.</p>\n");
    }
    let results = || comparison.cases.iter().flat_map(|case| &case.results);
    let noted = results().filter(|result| is_noted(result)).count();
    if noted > 0 {
        let _ = writeln!(
            html,
            "<p>{} of {} results are missing ({NONE}) or not to be believed (!). The small numbers next to them are \
             those of the reasons at the end of each chapter.</p>",
            whole(noted as f64),
            whole(results().count() as f64)
        );
    }
    html.push_str("<nav aria-label=\"Chapters\"><ul>");
    write_links(html, chapters);
    if compared {
        html.push_str("<li><a href=\"#figures\">All figures</a></li>");
    }
    html.push_str("</ul></nav>\n</header>\n");
}

/// The looks of the servers; in a landmark, as all content of the page.
fn legend(html: &mut String, comparison: &Comparison) {
    html.push_str("<ul class=\"legend\" aria-label=\"Servers\">");
    for (look, server) in comparison.servers().iter().enumerate() {
        let _ =
            write!(html, "<li data-series=\"{look}\">{}{}</li>", svg::key(look), escape(server));
    }
    html.push_str("</ul>\n");
}

/// An entry of the list that the page begins with; nothing without a value.
pub(super) fn write_entry(html: &mut String, name: &str, value: &str) {
    if !value.is_empty() {
        let _ = write!(html, "<dt>{name}</dt><dd>{}</dd>", escape(value));
    }
}

/// Links to chapters.
pub(super) fn write_links(html: &mut String, chapters: &[Chapter]) {
    for chapter in chapters {
        let (id, title) = (anchor(&chapter.id), escape(&chapter.title));
        let _ = write!(html, "<li><a href=\"#{id}\">{title}</a></li>");
    }
}

pub(super) fn write_chapter(html: &mut String, chapter: &Chapter) {
    let _ = write!(
        html,
        "<section id=\"{}\">\n<h2>{}</h2>\n<p>{}</p>\n<div class=\"figures\">\n",
        anchor(&chapter.id),
        escape(&chapter.title),
        escape(&chapter.intro)
    );
    for figure in &chapter.figures {
        let class = if figure.wide { " class=\"wide\"" } else { "" };
        let _ = write!(html, "<figure{class}>\n<figcaption><h3>{}</h3>", escape(&figure.title));
        if !figure.caption.is_empty() {
            let _ = write!(html, "<p>{}</p>", escape(&figure.caption));
        }
        html.push_str("</figcaption>\n");
        // What may be wider than its place is scrolled by keyboard, too.
        let scroll = if figure.wide { scroll(&figure.title) } else { "<div>".to_owned() };
        let _ = writeln!(html, "{scroll}{}</div>", figure.svg);
        if !figure.table.is_empty() {
            html.push_str("<details><summary>The same as a table</summary>");
            write_table(html, &figure.title, &figure.table);
            html.push_str("</details>\n");
        }
        html.push_str("</figure>\n");
    }
    html.push_str("</div>\n");
    write_notes(html, &chapter.notes);
    html.push_str("</section>\n");
}

/// The reasons behind the marks of a chapter.
fn write_notes(html: &mut String, notes: &[(String, String)]) {
    write_list(html, notes, "Why figures are missing or not to be believed");
}

/// Small lines below figures: what each concerns, and its text. Nothing without any.
pub(super) fn write_list(html: &mut String, notes: &[(String, String)], label: &str) {
    if notes.is_empty() {
        return;
    }
    let _ = write!(html, "<ul class=\"notes\" aria-label=\"{label}\">");
    for (mark, why) in notes {
        let _ = write!(html, "<li>{} {}</li>", escape(mark), escape(why));
    }
    html.push_str("</ul>\n");
}

/// The beginning of a region that is scrolled.
fn scroll(name: &str) -> String {
    let name = escape(name);
    format!("<div class=\"scroll\" tabindex=\"0\" role=\"group\" aria-label=\"{name}\">")
}

pub(super) fn write_table(html: &mut String, name: &str, rows: &[Vec<String>]) {
    let _ = write!(html, "{}<table>", scroll(name));
    for (n, row) in rows.iter().enumerate() {
        html.push_str("<tr>");
        for (column, cell) in row.iter().enumerate() {
            let _ = match n {
                0 if cell.is_empty() => write!(html, "<td></td>"),
                0 => write!(html, "<th scope=\"col\">{}</th>", escape(cell)),
                _ if column == 0 => write!(html, "<th scope=\"row\">{}</th>", escape(cell)),
                _ if cell.chars().count() > 48 => {
                    write!(html, "<td class=\"long\">{}</td>", escape(cell))
                }
                _ => write!(html, "<td>{}</td>", escape(cell)),
            };
        }
        html.push_str("</tr>");
    }
    html.push_str("</table></div>");
}

fn all_figures(html: &mut String, comparison: &Comparison) {
    let (servers, cases) = (comparison.servers(), comparison.cases.iter().collect::<Vec<_>>());
    let notes = Notes::of(&servers, &cases);
    html.push_str("<section id=\"figures\">\n<h2>All figures</h2>\n<p>Medians of the rounds; - stands where there is no data.</p>\n");
    for case in &comparison.cases {
        let _ = write!(
            html,
            "<details><summary>{} ({})</summary>",
            escape(&case.title),
            escape(&case.name)
        );
        let mut rows = tables::case_rows(comparison, case);
        for (result, row) in case.results.iter().zip(rows.iter_mut().skip(1)) {
            if let Some(mark) = row.last_mut() {
                *mark = mark.replace("INVALID", "!") + &notes.mark(&result.server, case);
            }
        }
        write_table(html, &case.title, &rows);
        if let Some(ceiling) = case.ceiling {
            let _ = write!(html, "<p>{}</p>", escape(&tables::ceiling_note(ceiling)));
        }
        html.push_str("</details>\n");
    }
    write_notes(html, &notes.list());
    let mut notes_on_valid = Vec::new();
    for case in &comparison.cases {
        let rows: Vec<_> = case.results.iter().map(|r| (r.server.as_str(), r)).collect();
        for (servers, note) in tables::notes_of(&rows) {
            notes_on_valid.push((format!("{}: {}:", case.title, servers.join(", ")), note));
        }
    }
    write_list(html, &notes_on_valid, "Notes on valid figures");
    html.push_str("</section>\n");
}

/// A name that may stand in an address.
pub(super) fn anchor(name: &str) -> String {
    let kept =
        name.chars().map(|c| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '-' });
    kept.collect()
}

/// Seconds since 1970 as a date and a time of day, UTC; nothing for 0.
pub(super) fn moment(seconds: u64) -> String {
    let Some(seconds) = i64::try_from(seconds).ok().filter(|seconds| *seconds > 0) else {
        return String::new();
    };
    let UtcDateTime { year, month, day, hour, minute, .. } = UtcDateTime::from_unix(seconds);
    format!("{year}-{month:02}-{day:02} {hour:02}:{minute:02} UTC")
}
