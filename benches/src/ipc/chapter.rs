//! The chapter of the comparison's page: latency by mechanism and size, and which mechanism when.

use super::cases::{Bound, Cores, Course, Mechanism, NUMBER, USUAL, Waiting, Who, bytes};
use super::report::{self, Group, Measured, Report, interval, nanos};
use crate::load::report::svg::{self, About, Axis, Bar, Point, Row, Series};
use crate::load::report::{self as reports, Chapter, Comparison, Figure, NONE, Timeline, json};
use crate::text::escape;
use std::fmt::Write as _;
use std::fs;
use std::io;
use std::path::Path;

/// The chapters that a folder has figures for: none, or one.
pub fn chapters(folder: &Path) -> Vec<Chapter> {
    let text = fs::read_to_string(folder.join("ipc.json")).unwrap_or_default();
    Report::read(&text).iter().map(chapter).collect()
}

/// Writes the page in `folder` anew, from the figures that are saved there: those of the models, where there are any,
/// and these.
///
/// # Errors
///
/// The file system refuses.
pub fn rewrite(folder: &Path) -> io::Result<()> {
    let text = |name: &str| fs::read_to_string(folder.join(name)).unwrap_or_default();
    let further = chapters(folder);
    let comparison = json::read_comparison(&text("comparison.json"));
    let environment = Report::read(&text("ipc.json")).map(|report| report.environment);
    let comparison = comparison.unwrap_or_else(|_| Comparison {
        schema: reports::SCHEMA,
        environment: environment.unwrap_or_default(),
        driver: None,
        baseline: None,
        cases: Vec::new(),
    });
    let timelines: Vec<Timeline> =
        serde_json::from_str(&text("timelines.json")).unwrap_or_default();
    let page = reports::page(&comparison, &timelines, &further);
    reports::write(&folder.join("index.html"), &page)
}

/// The chapter of one report.
pub fn chapter(report: &Report) -> Chapter {
    let mut figures = vec![which_when(report)];
    for group in Group::of(report) {
        figures.extend(sized(report, group));
    }
    for cores in [Cores::One, Cores::Two] {
        figures.extend(numbers(report, cores));
    }
    figures.extend(ratios(report));
    let reasons = report::reasons(report).into_iter().map(|why| (NONE.to_owned(), why));
    let judged = report::judged(report).into_iter();
    let judged = judged.map(|said| match said.strip_prefix("! ") {
        Some(missed) => ("!".to_owned(), missed.to_owned()),
        None => (String::new(), said),
    });
    let failures = report.failures().into_iter().map(|failure| ("!".to_owned(), failure));
    Chapter {
        id: "ipc".to_owned(),
        title: "Between processes".to_owned(),
        intro: format!(
            "How long two processes take to exchange a message, by every mechanism of the crate ipc: {}. {}. \"Bare\" is the \
             same system calls without the library. {} rounds, in which the library and its floor ran next to each \
             other; points are medians.",
            report.environment.machine, report.environment.placement, report.rounds
        ),
        figures,
        notes: reasons.chain(judged).chain(failures).collect(),
    }
}

// Which one when.

/// What somebody wants, what to take, and why.
const WHEN: [(&str, Mechanism, &str); 15] = [
    (
        "Bytes from a parent to its child, or into another program",
        Mechanism::Pipe,
        "No name, and the end of file comes by itself. What a shell uses.",
    ),
    (
        "The same between programs that are no relatives",
        Mechanism::Fifo,
        "A name in the file system, with permissions.",
    ),
    (
        "A conversation; a server with several clients; descriptors passed on",
        Mechanism::Stream,
        "Both directions in one descriptor, and the kernel vouches for who is there.",
    ),
    (
        "The same with whole messages",
        Mechanism::Packets,
        "No framing to write, and the end is noticed.",
    ),
    (
        "Short messages from anybody, without a connection",
        Mechanism::Datagram,
        "The sender waits when the receiver is full: nothing is lost.",
    ),
    (
        "Jobs that outlive who sent them; urgent ones first",
        Mechanism::PosixQueue,
        "The kernel keeps whole messages; works with poll.",
    ),
    (
        "To take messages by their type, or to talk to an old program",
        Mechanism::SysvQueue,
        "Selective receive is what the other queue has not.",
    ),
    (
        "As many messages as possible from one trusted process to another",
        Mechanism::Ring,
        "No system call for a message. It costs a processor if it spins.",
    ),
    (
        "The same from many",
        Mechanism::ManyRing,
        "A checksum and the recovery from dead senders are in the price.",
    ),
    (
        "Turns, or places that are counted",
        Mechanism::PosixSemaphore,
        "No system call as long as nobody has to wait.",
    ),
    (
        "The same, given back when the holder dies",
        Mechanism::SysvSemaphore,
        "Undo. A system call each time.",
    ),
    (
        "Several numbers that change together, and waiting for a change",
        Mechanism::Condition,
        "A mutex that survives the death of its holder, and the condition beside it.",
    ),
    (
        "It has happened, for any number of waiters",
        Mechanism::Event,
        "No system call if nobody sleeps.",
    ),
    (
        "To reach a process that waits for something else, or does not know you",
        Mechanism::Signal,
        "Nothing has to be set up but a pid.",
    ),
    (
        "Another machine, one day",
        Mechanism::Tcp,
        "The only one here that reaches there. Measured bare, over loopback.",
    ),
];

fn which_when(report: &Report) -> Figure {
    let mut html = String::from(
        "<table><thead><tr><th scope=\"col\">You want</th><th scope=\"col\" style=\"text-align:left\">Take</th><th scope=\"col\" style=\"text-align:left\">Since</th><th scope=\"col\">There and back, one core</th>\
         <th scope=\"col\">One way, two cores</th></tr></thead><tbody>",
    );
    for (want, mechanism, since) in WHEN {
        let back = usual(report, mechanism, Course::RoundTrip, Cores::One, Waiting::Sleeping);
        let spinning = usual(report, mechanism, Course::OneWay, Cores::Two, Waiting::Spinning);
        let sleeping = usual(report, mechanism, Course::OneWay, Cores::Two, Waiting::Sleeping);
        let one_way = match (&spinning, &sleeping) {
            (Some(spinning), Some(sleeping)) => format!("{spinning} spinning, {sleeping} sleeping"),
            _ => spinning.or(sleeping).unwrap_or(NONE.to_owned()),
        };
        let _ = write!(
            html,
            "<tr><td class=\"long\">{}</td><td style=\"text-align:left\">{}</td><td class=\"long\">{}</td><td>{}</td><td>{}</td></tr>",
            escape(want),
            escape(mechanism.title()),
            escape(since),
            escape(&back.unwrap_or(NONE.to_owned())),
            escape(&one_way)
        );
    }
    html.push_str("</tbody></table>");
    let usual = bytes(usual_size(report));
    Figure {
        title: "Which one when".to_owned(),
        svg: html,
        caption: format!(
            "Choose by what it can do; most cost about the same. The figures are those of this run, for messages of {usual}, \
             or a number where nothing longer is carried."
        ),
        table: Vec::new(),
        wide: true,
    }
}

/// The size that stands for all in this report.
fn usual_size(report: &Report) -> usize {
    let sizes = report.results.iter().map(|result| result.case.size);
    let sizes: Vec<usize> = sizes.filter(|size| *size != NUMBER).collect();
    match sizes.contains(&USUAL) {
        true => USUAL,
        false => sizes.into_iter().min().unwrap_or(NUMBER),
    }
}

fn usual(
    report: &Report,
    mechanism: Mechanism,
    course: Course,
    cores: Cores,
    waiting: Waiting,
) -> Option<String> {
    let size = if mechanism.carries() { usual_size(report) } else { NUMBER };
    report.find(mechanism, course, cores, waiting, size)?.usual().map(nanos)
}

// Plots.

/// Time against the size of messages.
fn sized(report: &Report, group: Group) -> Option<Figure> {
    let mut sizes: Vec<usize> = group
        .results(report)
        .filter(|result| result.case.mechanism.carries())
        .map(|result| result.case.size)
        .collect();
    sizes.sort_unstable();
    sizes.dedup();
    let mut series: Vec<Series> = Vec::new();
    for (look, mechanism) in Mechanism::ALL.into_iter().filter(|m| m.carries()).enumerate() {
        for who in [Who::Library, Who::Iceoryx2] {
            let of = |size: usize| {
                let Group { course, cores, waiting } = group;
                report.find(mechanism, course, cores, waiting, size)
            };
            let who = match (who, mechanism) {
                (Who::Library, Mechanism::Tcp) => Who::Bare,
                (who, _) => who,
            };
            let points: Vec<Point> = sizes.iter().filter_map(|&x| point(of(x)?, who)).collect();
            if points.iter().all(|point| point.y.is_none()) {
                continue;
            }
            let (name, look) = match who {
                Who::Iceoryx2 => ("iceoryx2".to_owned(), 2),
                Who::Bare => (format!("{} (bare)", mechanism.title()), look),
                _ => (mechanism.title().to_owned(), look),
            };
            series.push(Series { look, name, note: String::new(), markers: true, points });
        }
    }
    if series.is_empty() {
        return None;
    }
    let steps: Vec<f64> = sizes.iter().map(|&size| size as f64).collect();
    let label = match group.course {
        Course::RoundTrip => "time there and back",
        Course::OneWay => "time for a message",
    };
    let times = series.iter().flat_map(|line| line.points.iter().filter_map(|point| point.y));
    let x = Axis::steps("length of a message", &steps, |size| short_bytes(size as usize));
    let y = Axis::log(label, times, short);
    let caption = words(&series, group).join(" ");
    let id = format!("ipc-{}", name_of(group));
    let title = group.title();
    let about = About { id: &id, title: &title, description: &caption };
    let svg = apart_from_servers(&svg::lines(about, &x, &y, &series));
    Some(Figure { title: group.title(), svg, caption, table: group.rows(report), wide: false })
}

fn point(result: &Measured, who: Who) -> Option<Point> {
    if result.missing.is_none() && result.outcome(who).is_none() {
        return None;
    }
    let y = result.nanos(who);
    let rounds = result.outcome(who).map(|outcome| outcome.nanos.as_slice()).unwrap_or_default();
    let rounds = rounds.iter().flatten().copied();
    let spread = (rounds.clone().fold(f64::INFINITY, f64::min), rounds.fold(0.0, f64::max));
    let tip = match y {
        Some(y) => format!("{}, {}: {}", result.case, who.title(), nanos(y)),
        None => {
            let failure = result.outcome(who).and_then(|outcome| outcome.failure.as_deref());
            let why = result.missing.as_deref().or(failure).unwrap_or(NONE);
            format!("{}: {why}", result.case)
        }
    };
    let spread = y.map(|_| spread);
    Some(Point { x: result.case.size as f64, y, spread, invalid: false, tip })
}

/// Anchors are made of letters and hyphens.
fn name_of(group: Group) -> String {
    let cores = match group.cores {
        Cores::One => "one",
        Cores::Two => "two",
    };
    format!("{} {cores} {}", group.course.title(), group.waiting.title()).replace(' ', "-")
}

/// The least and the most, and what there is to know.
fn words(series: &[Series], group: Group) -> Vec<String> {
    let at = |size: usize| {
        let mut all: Vec<(&str, f64)> = series
            .iter()
            .filter_map(|line| {
                let point = line.points.iter().find(|point| point.x == size as f64)?;
                Some((line.name.as_str(), point.y?))
            })
            .collect();
        all.sort_by(|a, b| a.1.total_cmp(&b.1));
        all
    };
    let mut said = Vec::new();
    for size in [USUAL, 16 << 10] {
        if let [(first, least), .., (last, most)] = at(size)[..] {
            said.push(format!(
                "With {}, {first} takes {} and {last} {}.",
                bytes(size),
                nanos(least),
                nanos(most)
            ));
        }
    }
    said.push(
        match (group.course, group.cores, group.waiting) {
            (Course::RoundTrip, Cores::One, Waiting::Sleeping) => {
                "Each hop is a switch from one process to the other: that is most of it, until the copies of long messages \
                 count."
            }
            (Course::RoundTrip, Cores::Two, Waiting::Sleeping) => {
                "Each hop wakes a core that has gone to sleep: that is what is measured, and hardly the mechanism."
            }
            (Course::OneWay, _, Waiting::Sleeping) => {
                "Where there is room for many messages, few of them wake anybody."
            }
            (_, _, Waiting::Spinning) => {
                "Nobody sleeps, so nobody is woken; the price is a core for each side, whether or not there is anything to do."
            }
        }
        .to_owned(),
    );
    said
}

/// What carries a number at most, as bars.
fn numbers(report: &Report, cores: Cores) -> Option<Figure> {
    let all: Vec<(Mechanism, Option<f64>, String)> = Mechanism::ALL
        .into_iter()
        .filter(|mechanism| !mechanism.carries())
        .filter_map(|mechanism| {
            let find = |waiting| report.find(mechanism, Course::RoundTrip, cores, waiting, NUMBER);
            let result = find(Waiting::Sleeping)
                .or_else(|| find(Waiting::Spinning).filter(|r| r.missing.is_none()))?;
            let spins = result.case.waiting == Waiting::Spinning;
            let usual = result.usual();
            let text = match usual {
                Some(usual) if spins => format!("{} (spinning)", nanos(usual)),
                Some(usual) => nanos(usual),
                None => NONE.to_owned(),
            };
            Some((mechanism, usual, text))
        })
        .collect();
    if all.iter().all(|(_, usual, _)| usual.is_none()) {
        return None;
    }
    let title = format!("A turn there and back, {}", cores.title());
    let bars: Vec<Bar> = all
        .iter()
        .enumerate()
        .map(|(look, (mechanism, usual, text))| Bar {
            look,
            name: mechanism.title().to_owned(),
            parts: usual.map(|usual| vec![usual]),
            text: text.clone(),
            note: String::new(),
            invalid: false,
        })
        .collect();
    let axis = Axis::linear("time", all.iter().filter_map(|(_, usual, _)| *usual), short);
    let id = format!("ipc-turn-{}", if cores == Cores::One { "one" } else { "two" });
    let caption =
        "What only tells that something is there; the number itself lies in shared memory, or comes along.".to_owned();
    let about = About { id: &id, title: &title, description: &caption };
    let svg = apart_from_servers(&svg::bars(about, &axis, &[], &bars));
    let head = vec![String::new(), "time".to_owned(), "ratio to bare".to_owned()];
    let rows = all.into_iter().map(|(mechanism, _, text)| {
        let find = |waiting| report.find(mechanism, Course::RoundTrip, cores, waiting, NUMBER);
        let ratio = [Waiting::Sleeping, Waiting::Spinning].into_iter().filter_map(find);
        let ratio = ratio.filter_map(Measured::to_floor).next();
        vec![mechanism.title().to_owned(), text, ratio.map_or(NONE.to_owned(), interval)]
    });
    let table = std::iter::once(head).chain(rows).collect();
    Some(Figure { title, svg, caption, table, wide: false })
}

/// What the library costs beyond the bare calls.
fn ratios(report: &Report) -> Vec<Figure> {
    let mut figures = Vec::new();
    for course in [Course::RoundTrip, Course::OneWay] {
        let usual = usual_size(report);
        let wanted = |result: &&Measured| {
            let case = &result.case;
            let size = if case.mechanism.carries() { usual } else { NUMBER };
            let cores = match case.waiting {
                Waiting::Sleeping => Cores::One,
                Waiting::Spinning => Cores::Two,
            };
            case.course == course && case.size == size && case.cores == cores
        };
        let results: Vec<&Measured> = report
            .results
            .iter()
            .filter(wanted)
            .filter(|result| result.to_floor().is_some())
            .collect();
        if results.is_empty() {
            continue;
        }
        let row = |result: &&Measured| {
            let case = &result.case;
            let name = match (case.waiting, case.mechanism) {
                (Waiting::Spinning, Mechanism::Ring) => "ring, spins".to_owned(),
                (Waiting::Spinning, Mechanism::ManyRing) => "of many, spins".to_owned(),
                _ => case.mechanism.title().to_owned(),
            };
            let ratio = result.to_floor();
            let bound = match case.bound() {
                Some(Bound::AtMost(most)) => format!(", at most {most}"),
                _ => String::new(),
            };
            Row {
                look: 0,
                name,
                value: ratio.map(|ratio| ratio.value),
                interval: ratio.and_then(|ratio| ratio.interval),
                shown: ratio
                    .is_some_and(|r| r.difference() != crate::load::stats::Difference::NotShown),
                text: ratio.map_or(NONE.to_owned(), interval) + &bound,
                note: String::new(),
                invalid: result.verdict() == Some(report::Verdict::Missed),
            }
        };
        let rows: Vec<Row> = results.iter().map(row).collect();
        let ends = rows.iter().filter_map(|row| row.value).chain([0.95, 1.1]);
        let low = ends.clone().fold(f64::INFINITY, f64::min).max(0.2);
        let high = ends.fold(0.0, f64::max).min(5.0);
        let around = [low / 1.05, 1.0, high * 1.05];
        let axis = Axis {
            label: "time as a ratio to the bare calls".to_owned(),
            log: true,
            low: around[0],
            high: around[2],
            ticks: ticks(around[0], around[2]),
        };
        let title = format!("What the library adds, {}", course.title());
        let caption =
            "Sleeping mechanisms on one core, spinning ones on two. The bar is the interval of 95 % over the rounds; a hollow \
             marker shows no difference."
                .to_owned();
        let id = format!("ipc-ratio-{}", course.title().replace(' ', "-"));
        let about = About { id: &id, title: &title, description: &caption };
        let svg = apart_from_servers(&svg::ratios(about, &axis, &rows));
        let head = vec![String::new(), "floor".to_owned(), "ratio".to_owned()];
        let table = std::iter::once(head).chain(results.iter().zip(&rows).map(|(result, row)| {
            let floor = match result.case.floor() {
                Who::Line => "cache lines",
                _ => result.case.mechanism.floor(),
            };
            vec![row.name.clone(), floor.to_owned(), row.text.clone()]
        }));
        figures.push(Figure { title, svg, caption, table: table.collect(), wide: false });
    }
    figures
}

fn ticks(low: f64, high: f64) -> Vec<(f64, String)> {
    let all = [0.2, 0.5, 0.8, 1.0, 1.2, 1.5, 2.0, 3.0, 5.0];
    all.into_iter().filter(|at| (low..=high).contains(at)).map(|at| (at, format!("{at}"))).collect()
}

/// The page's legend picks servers out of all plots by number: these have none.
fn apart_from_servers(svg: &str) -> String {
    svg.replace("data-series=", "data-mechanism=")
}

/// Nanoseconds as they stand on an axis.
fn short(value: f64) -> String {
    let (value, unit) = match value {
        0.0 => return "0".to_owned(),
        v if v < 999.5 => (v, "ns"),
        v if v < 999.5e3 => (v / 1e3, "µs"),
        v => (v / 1e6, "ms"),
    };
    format!("{} {unit}", (value * 100.0).round() / 100.0)
}

fn short_bytes(size: usize) -> String {
    match size {
        size if size >= 1 << 10 => format!("{}K", size >> 10),
        size => size.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ipc::report::tests::made_up;

    /// Every element that is opened is closed, in order.
    fn assert_balanced(markup: &str) {
        let mut open: Vec<&str> = Vec::new();
        for piece in markup.split('<').skip(1) {
            let (tag, _) = piece.split_once('>').expect("a tag that ends");
            if let Some(name) = tag.strip_prefix('/') {
                assert_eq!(open.pop(), Some(name), "closed out of order in {markup}");
            } else if !tag.ends_with('/') {
                open.push(tag.split(' ').next().expect("a name"));
            }
        }
        assert_eq!(open, Vec::<&str>::new());
    }

    #[test]
    fn the_chapter_is_well_formed() {
        let chapter = chapter(&made_up(1.2, 15));
        assert_eq!(chapter.figures[0].title, "Which one when");
        let mut ids = Vec::new();
        for figure in &chapter.figures {
            assert_balanced(&figure.svg);
            for wrong in ["NaN", "inf", "data-series", "<script"] {
                assert!(!figure.svg.contains(wrong), "{wrong} in {}", figure.title);
            }
            assert!(!figure.caption.is_empty());
            ids.extend(
                figure.svg.split(" id=\"").skip(1).filter_map(|rest| rest.split('"').next()),
            );
        }
        let mut once = ids.clone();
        once.sort_unstable();
        once.dedup();
        assert_eq!(once.len(), ids.len(), "an id stands twice");
        let titles: Vec<&str> =
            chapter.figures.iter().map(|figure| figure.title.as_str()).collect();
        for title in [
            "Round trip, both on one core, sleeping",
            "Round trip, each on a core of its own, spinning",
            "One way, each on a core of its own, sleeping",
            "A turn there and back, both on one core",
            "What the library adds, round trip",
        ] {
            assert!(titles.contains(&title), "{title} in {titles:?}");
        }
        assert!(
            chapter.notes.iter().any(|(mark, why)| mark == "-" && why.contains("by the clock"))
        );
        assert!(chapter.notes.iter().any(|(mark, why)| mark == "!" && why.contains("1.20")));
    }

    #[test]
    fn the_page_is_written_from_what_is_saved() {
        let folder = tempfile::tempdir().unwrap();
        assert!(chapters(folder.path()).is_empty(), "nothing is there yet");
        fs::write(folder.path().join("ipc.json"), made_up(1.0, 3).json().unwrap()).unwrap();
        rewrite(folder.path()).unwrap();
        let page = fs::read_to_string(folder.path().join("index.html")).unwrap();
        assert!(page.contains("<h2>Between processes</h2>") && page.contains("Which one when"));
        assert!(page.contains("A &lt;machine&gt; that nobody has built"));
        fs::write(folder.path().join("ipc.json"), "{").unwrap();
        assert!(chapters(folder.path()).is_empty(), "what is no report is left out");
    }

    #[test]
    fn a_report_of_nothing_is_a_chapter_too() {
        let mut report = made_up(1.0, 3);
        report.results.retain(|result| result.missing.is_some());
        let chapter = chapter(&report);
        assert_eq!(chapter.figures.len(), 1);
        assert_balanced(&chapter.figures[0].svg);
    }
}
