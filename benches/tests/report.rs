//! The reports of an invented comparison: known figures, a server that fails, one whose figures are invalid, one that leaves
//! clients without a reply, and hostile names.

use benches::layout::Layout;
use benches::load::latencies::Latencies;
use benches::load::recording::{Environment, Generator, Interval, Recording, Sample, Totals};
use benches::load::report::{
    self, Case, Comparison, Lane, Metric, ServerResult, Span, Timeline, csv, hgrm, json, terminal,
};
use benches::load::workload::{Arrivals, Distribution, Lifetime, Profile, Sizes, Workload};
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;
use std::sync::LazyLock;

/// A server as it might be: its name, requests per second at best, switches and CPU (µs) per request, its memory and what a
/// connection adds, in KiB, and how much its latencies scatter.
type Kind = (&'static str, f64, f64, f64, u64, u64, f64);

const KINDS: [Kind; 7] = [
    ("nginx", 68_000.0, 0.05, 13.9, 6_000, 1, 0.25),
    ("iterative", 31_000.0, 1.02, 19.0, 2_100, 0, 0.2),
    ("fork", 55_000.0, 1.15, 17.8, 2_300, 93, 0.9),
    ("thread", 66_500.0, 1.05, 14.2, 2_400, 32, 0.8),
    ("pool", 67_800.0, 1.01, 14.0, 3_900, 2, 0.3),
    ("coroutine", 81_000.0, 0.03, 11.6, 4_100, 5, 0.22),
    ("python", 9_400.0, 3.4, 103.0, 19_000, 52, 1.1),
];

const ROUNDS: u64 = 3;

fn recording(kind: &Kind, workload: &Workload, round: u64) -> Recording {
    let &(server, best, switches, cpu, base, each, scatter) = kind;
    let n = workload.connections as f64;
    let mut random =
        fastrand::Rng::with_seed(round * 977 + workload.connections as u64 + server.len() as u64);
    let mut normal = move || (0..12).map(|_| random.f64()).sum::<f64>() - 6.0;
    let served = match server {
        "iterative" => 1.0,
        "pool" => n.min(64.0),
        _ => n,
    };
    let crowd = if served > 300.0 { 1.0 - 0.3 * scatter } else { 1.0 };
    let rate = best * crowd * (served / (served + 2.5)) * (0.015 * normal()).exp();
    let rate = match workload.arrivals {
        Arrivals::Closed => rate,
        Arrivals::Fixed { rate } | Arrivals::Poisson { rate } => rate,
    };
    let seconds = 2.0;
    let done = (rate * seconds) as u64;
    let mut times = Latencies::new();
    for _ in 0..1_200 {
        let tail = if normal() > 2.3 { 1.0 + 9.0 * scatter * n.log10() } else { 1.0 };
        times.record((served / rate * 1e9 * (scatter * normal()).exp() * tail).min(3e9) as u64);
    }
    let intervals = (1..=20).map(|tenth| {
        let dip = if server == "fork" && tenth == 13 { 0.3 } else { 1.0 };
        Interval {
            at: f64::from(tenth) / 10.0,
            done: (rate / 10.0 * dip * (0.05 * normal()).exp()) as u64,
            errors: 0,
            dropped: 0,
            p50: Some((times.percentile(50.0) as f64 * (0.05 * normal()).exp()) as u64),
            p99: Some((times.percentile(99.0) as f64 / dip * (0.15 * normal()).exp()) as u64),
            max: Some((times.percentile(100.0) as f64 / dip) as u64),
        }
    });
    let intervals: Vec<Interval> = intervals.collect();
    let samples = (0..=20).map(|tenth| {
        let at = f64::from(tenth) / 10.0;
        let requests = rate * at;
        let workers = match server {
            "fork" | "thread" | "python" => n as u64,
            "pool" => 64,
            _ => 1,
        };
        Sample {
            at,
            processes: if server == "fork" { workers + 1 } else { 1 },
            threads: workers + 1,
            pss: (base + each / 2 * n as u64) * 1024,
            rss: (base + each * n as u64) * 1024,
            page_tables: (200 + each * 3 / 10 * n as u64) * 1024,
            kernel_stacks: workers * 16 * 1024,
            user: requests * cpu * 0.3e-6,
            system: requests * cpu * 0.7e-6,
            voluntary: (requests * switches * 0.97) as u64,
            involuntary: (requests * switches * 0.03) as u64,
            run_queue_wait: if workers > 1 { at * n * 0.3 * scatter } else { at * 0.01 },
            descriptors: workers + 5,
            ..Sample::default()
        }
    });
    let per_client = (0..workload.connections).map(|client| {
        if (client as f64) < served {
            (done as f64 / served * (0.3 * scatter * normal()).exp()) as u64
        } else {
            0
        }
    });
    let invalid = match (server, workload.connections) {
        ("coroutine", 256) if round == 2 => vec!["generator's CPU at 91% of its core".to_owned()],
        _ => Vec::new(),
    };
    Recording {
        schema: benches::load::recording::SCHEMA,
        server: server.to_owned(),
        workload: workload.clone(),
        environment: environment(),
        since: 0.0,
        seconds,
        totals: Totals {
            planned: done,
            done,
            dropped: 0,
            bytes_in: done * 4200,
            bytes_out: done * 20,
            connections_asked: workload.connections as u64,
            connections_made: workload.connections as u64,
            clients_served: served as u64,
            outside_intervals: 0,
        },
        errors: if server == "python" {
            BTreeMap::from([("timeout".to_owned(), 3), ("lost".to_owned(), 12)])
        } else {
            BTreeMap::new()
        },
        service_time: times.clone(),
        response_time: times.clone(),
        lag: times,
        per_client: per_client.collect(),
        empty: None,
        samples: samples.collect(),
        intervals,
        generator: Generator { cpu_seconds: 1.1, share: 0.55, ..Generator::default() },
        invalid,
        notes: Vec::new(),
    }
}

fn environment() -> Environment {
    Environment {
        machine: "A processor that nobody has built, 2 cores, Linux 6.18".to_owned(),
        command: "cargo bench -- --quick".to_owned(),
        started: 1_764_000_000,
        placement: "server on core 0, generator on core 1".to_owned(),
    }
}

fn case(name: &str, title: &str, workload: &Workload) -> Case {
    let results = KINDS.iter().map(|kind| {
        let fails = kind.0 == "python" && workload.connections >= 256;
        ServerResult {
            server: kind.0.to_owned(),
            rounds: (0..ROUNDS)
                .map(|round| (!fails).then(|| recording(kind, workload, round)))
                .collect(),
            failure: fails.then(|| "connection reset by peer".to_owned()),
            note: (kind.0 == "pool").then(|| "64 workers".to_owned()),
        }
    });
    Case {
        name: name.to_owned(),
        title: title.to_owned(),
        workload: workload.clone(),
        results: results.collect(),
        ceiling: Some(134_000.0),
    }
}

fn comparison() -> Comparison {
    static ONCE: LazyLock<Comparison> = LazyLock::new(made_up);
    ONCE.clone()
}

fn made_up() -> Comparison {
    let with = |connections| Workload { connections, ..Workload::default() };
    let mut cases: Vec<Case> =
        [(1, "1"), (4, "4"), (16, "16"), (64, "64"), (256, "256"), (1000, "1,000")]
            .into_iter()
            .map(|(n, text)| {
                let unit = if n == 1 { "connection" } else { "connections" };
                case(
                    &format!("keep-4k-{n}"),
                    &format!("4 KiB, keep-alive, {text} {unit}"),
                    &with(n),
                )
            })
            .collect();
    let connect = Workload { lifetime: Lifetime::PerRequest, ..with(16) };
    cases.push(case("connect-4k", "4 KiB, a connection per request, 16 clients", &connect));
    let large = Workload { sizes: vec![1 << 20].into(), ..with(16) };
    cases.push(case("get-1m", "1 MiB, keep-alive, 16 connections", &large));
    let idle = Workload { arrivals: Arrivals::Fixed { rate: 100.0 }, ..with(1000) };
    cases.push(case("idle", "1,000 connections that are nearly idle: memory", &idle));
    Comparison {
        schema: report::SCHEMA,
        environment: environment(),
        driver: None,
        baseline: Some("nginx".to_owned()),
        cases,
    }
}

/// 50 requests, the eighth of them from a slow client, served by so many workers.
fn timeline(server: &str, workers: usize) -> Timeline {
    let mut free = vec![0_u64; workers];
    let mut lanes: Vec<Lane> =
        (1..=workers).map(|n| Lane { name: format!("worker {n}"), spans: Vec::new() }).collect();
    for request in 1..=50_u64 {
        let arrival = request * 900;
        let lane = (0..workers).min_by_key(|lane| (free[*lane].max(arrival), *lane)).unwrap_or(0);
        let start = arrival.max(free[lane]);
        let (length, kind) = if request == 8 { (30_000, "slow") } else { (1_700, "serve") };
        if start > arrival && workers > 1 {
            lanes[lane].spans.push(Span {
                start_us: arrival.max(start - 600),
                end_us: start,
                request,
                kind: "wait".into(),
            });
        }
        lanes[lane].spans.push(Span {
            start_us: start,
            end_us: start + length,
            request,
            kind: kind.into(),
        });
        free[lane] = start + length;
    }
    Timeline { server: server.to_owned(), lanes, ..Timeline::default() }
}

fn written(name: &str, text: &str) {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("report");
    fs::create_dir_all(&folder).expect("a folder for what can be looked at");
    fs::write(folder.join(name), text).expect("a file to look at");
}

/// Every element that is opened is closed, in order.
fn assert_balanced(markup: &str) {
    let mut open: Vec<&str> = Vec::new();
    for piece in markup.split('<').skip(1) {
        let (tag, _) = piece.split_once('>').expect("a tag that ends");
        if let Some(name) = tag.strip_prefix('/') {
            assert_eq!(open.pop(), Some(name), "closed out of order");
        } else if !tag.ends_with('/') {
            open.push(tag.split(' ').next().expect("a name"));
        }
    }
    assert_eq!(open, Vec::<&str>::new());
}

fn drawings(html: &str) -> impl Iterator<Item = &str> {
    html.split("<svg ")
        .skip(1)
        .map(|rest| rest.split_once("</svg>").expect("a drawing that ends").0)
}

#[test]
fn page_refers_to_nothing_outside() {
    let timelines = [timeline("iterative", 1), timeline("pool", 4), timeline("thread", 50)];
    let html = report::page(&comparison(), &timelines, &[]);
    written("index.html", &html);
    for foreign in ["http://", "https://", "<script src", "<link", "@import", "url("] {
        assert!(!html.contains(foreign), "the page refers to {foreign}");
    }
    for drawing in drawings(&html) {
        assert_balanced(&format!("<svg {drawing}</svg>"));
        assert!(!drawing.contains("NaN") && !drawing.contains("inf"), "{drawing}");
        assert!(
            drawing.contains("aria-hidden")
                || (drawing.contains("<title id=") && drawing.contains("<desc id="))
        );
    }
    let ids: Vec<&str> =
        html.split(" id=\"").skip(1).filter_map(|rest| Some(rest.split_once('"')?.0)).collect();
    let mut once = ids.clone();
    once.sort_unstable();
    once.dedup();
    assert_eq!(ids.len(), once.len(), "an id stands twice");
    for link in html.split("href=\"#").skip(1).filter_map(|rest| Some(rest.split_once('"')?.0)) {
        assert!(ids.contains(&link), "#{link} leads nowhere");
    }
}

#[test]
fn doubtful_figures_have_notes() {
    let comparison = comparison();
    let html = report::page(&comparison, &[], &[]);
    for said in [
        // One note for each server, at the end of the chapter.
        "<li>¹ iterative: left clients without any reply",
        "<li>² pool: left clients without any reply (see &quot;clients served&quot;), and its percentiles are those of the others, at 256 and 1,000 connections.</li>",
        "<li>³ coroutine: INVALID: generator&#39;s CPU at 91% of its core (1 of 3 rounds), at 256 connections.</li>",
        "<li>⁴ python: connection reset by peer (3 of 3 rounds), at 256 and 1,000 connections.</li>",
        // And the marks next to the figures.
        "<td>-⁴</td>",
        " !³</td>",
        ">python⁴</text>",
    ] {
        assert!(html.contains(said), "{said}");
    }
    let table = terminal::comparison(&comparison, Layout::of_stdout(true));
    written("table.txt", &table);
    assert_eq!(
        table.matches("\npython ").count(),
        comparison.cases.len(),
        "a row in every case:\n{table}"
    );
    assert!(table.contains("FAILED python: connection reset by peer"));
    assert!(table.contains("INVALID coroutine: generator's CPU"));
}

#[test]
fn tables_show_values_of_recordings() {
    let comparison = comparison();
    let rows = report::case_rows(&comparison, &comparison.cases[3]);
    for (result, row) in comparison.cases[3].results.iter().zip(&rows[1..]) {
        assert_eq!(row[0], result.server);
        for (name, metric) in [
            ("rate", Metric::Rate),
            ("p50", Metric::P50),
            ("p99", Metric::P99),
            ("p99.9", Metric::P999),
            ("max", Metric::Max),
            ("CPU/request", Metric::Cpu),
            ("memory", Metric::Memory),
        ] {
            let column = rows[0].iter().position(|cell| cell == name).expect("its column");
            let shown = row[column].trim_end_matches(report::NEAR);
            match result.median(metric) {
                // Some requests of this server were not answered in time.
                None if result.runs().any(|run| metric.of(run) == Some(f64::INFINITY)) => {
                    assert!(shown.starts_with("> "), "{name} of {}: {shown}", result.server);
                }
                median => assert_eq!(shown, metric.show(median), "{name} of {}", result.server),
            }
        }
    }

    let near = |server: &str| rows.iter().any(|row| row[0] == server && row[1].ends_with('^'));
    assert!(near("coroutine") && !near("nginx") && !near("python"), "above half of 134 k/s");

    let run = recording(&KINDS[6], &Workload::default(), 1);
    let table = terminal::recording(&run, Layout::of_stdout(true));
    written("run.txt", &table);
    for metric in [
        Metric::Rate,
        Metric::P50,
        Metric::P90,
        Metric::P99,
        Metric::P999,
        Metric::Max,
        Metric::Cpu,
    ] {
        let shown = match metric.of(&run) {
            Some(f64::INFINITY) => {
                format!("> {}", Metric::Max.show(Some(run.response_time.0.max() as f64)))
            }
            figure => metric.show(figure),
        };
        assert!(table.contains(&shown), "{metric:?}, {shown}, is not in\n{table}");
    }
    assert!(table.contains("12 lost, 3 timeout"), "{table}");
    let invalid = Recording { invalid: vec!["too few connections".to_owned()], ..run };
    assert!(
        terminal::recording(&invalid, Layout::of_stdout(true))
            .contains("INVALID: too few connections")
    );
}

/// A name of forty characters.
const LONG: &str = "a-server-with-a-name-of-forty-characters";

/// The comparison with a long name, a long reason and a note.
fn wordy() -> Comparison {
    let mut comparison = comparison();
    comparison.cases.retain(|case| case.workload.connections == 64);
    for result in comparison.cases.iter_mut().flat_map(|case| &mut case.results) {
        if result.server == "fork" {
            result.server = LONG.to_owned();
        }
        if result.server == "thread" {
            let run = result.rounds[1].as_mut().unwrap();
            run.invalid.push("only 63 of 64 connections were made, ".repeat(9));
            run.notes.push("the server was away once, for 1.20 s from 3.10 s on".to_owned());
        }
    }
    comparison
}

/// Columns on a terminal.
fn columns(line: &str) -> usize {
    line.chars().count()
}

/// No line is wider than the width, unless it is one word that is.
#[track_caller]
fn assert_fits(text: &str, width: usize) {
    for line in text.lines() {
        let one_word = line.split_whitespace().count() == 1;
        assert!(columns(line) <= width || one_word, "{width}: {line}\n{text}");
    }
}

/// All words of a text stand in another whole, in their order, or are what layouts add.
#[track_caller]
fn assert_words_are_whole(text: &str, whole: &str) {
    let known: BTreeSet<&str> = whole.split_whitespace().collect();
    let added = ["Left", "out:", "--wide", "prints", "all", "columns."];
    for word in text.split_whitespace().filter(|word| !word.starts_with('─')) {
        let plain = word.trim_end_matches([',', ';']);
        assert!(
            known.contains(word) || known.contains(plain) || added.contains(&word),
            "{word:?} is in no cell:\n{text}"
        );
    }
}

#[test]
fn tables_fit_every_width() {
    let (comparison, run) = (wordy(), recording(&KINDS[6], &Workload::default(), 1));
    let steps = alone(Profile::Steps { levels: vec![1.0, 4.0, 16.0, 64.0] }, "a-server", 3);
    let invalid = Recording { invalid: vec!["too few connections, ".repeat(12)], ..run };
    let makers: [(&str, &dyn Fn(Layout) -> String); 3] = [
        ("comparison", &|layout| terminal::comparison(&comparison, layout)),
        ("recording", &|layout| terminal::recording(&invalid, layout)),
        ("course", &|layout| terminal::course(&steps, layout)),
    ];
    for (name, maker) in makers {
        let wide = maker(Layout::of_width(usize::MAX).wide());
        assert!(!wide.contains("Left out"), "{wide}");
        let mut lines = usize::MAX;
        for width in 40..=220 {
            let text = maker(Layout::of_width(width));
            if [40, 60, 80, 100, 200].contains(&width) {
                written(&format!("{name}-{width}.txt"), &text);
            }
            assert_fits(&text, width);
            assert_words_are_whole(&text, &wide);
            // Wider terminals need no more lines, but for the line that names columns.
            assert!(text.lines().count() <= lines.saturating_add(9), "{width}: {text}");
            lines = text.lines().count();
        }
    }
    for width in (40..=220).step_by(20) {
        let text = terminal::comparison(&comparison, Layout::of_width(width));
        for kind in &KINDS {
            let server = if kind.0 == "fork" { LONG } else { kind.0 };
            let rows = text.lines().filter(|line| line.split_whitespace().next() == Some(server));
            assert!(rows.count() >= comparison.cases.len(), "{server} at {width}: {text}");
        }
        let one_line = text.split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(one_line.contains("! INVALID thread: only 63 of 64"), "{text}");
        assert!(one_line.contains("Note on thread: the server was away once"), "{text}");
    }
}

#[test]
fn telling_columns_stay_longest() {
    let mut comparison = comparison();
    comparison.cases.truncate(4);
    comparison.cases.drain(..3);
    let head = |width| {
        let text = terminal::comparison(&comparison, Layout::of_width(width));
        let head = text.lines().find(|line| line.starts_with("server"));
        head.map(|head| head.split_whitespace().map(str::to_owned).collect::<Vec<_>>())
    };
    let narrow = head(60).unwrap();
    assert!(narrow.starts_with(&["server", "rate", "ratio"].map(str::to_owned)), "{narrow:?}");
    assert!(narrow.contains(&"p99".to_owned()), "{narrow:?}");
    let (more, all) = (head(80).unwrap(), head(200).unwrap());
    assert!(more.contains(&"p50".to_owned()) && more.len() > narrow.len(), "{more:?}");
    assert!(all.len() > more.len() && all.contains(&"rounds".to_owned()), "{all:?}");
    assert_eq!(head(40), None, "blocks have no head");
}

/// A run of one server in the phases of a profile, so many of which were reached.
fn alone(profile: Profile, server: &'static str, reached: usize) -> Comparison {
    let workload = Workload { profile, ..Workload::default() };
    let kind = (server, 66_500.0, 1.05, 14.2, 2_400, 32, 0.8);
    let phases = workload.phases();
    let runs = phases.iter().take(reached).enumerate().map(|(nth, phase)| Recording {
        since: 3.0 * nth as f64,
        ..recording(&kind, &phase.workload, nth as u64)
    });
    Comparison::alone(&workload, &runs.collect::<Vec<_>>(), Some(134_000.0))
}

/// The text of a page as a reader sees it.
fn visible(html: &str) -> String {
    let mut text = html.to_owned();
    for element in ["style", "script"] {
        while let Some((before, rest)) = text.split_once(&format!("<{element}>")) {
            let after = rest.split_once(&format!("</{element}>")).expect("its end").1;
            text = format!("{before}{after}");
        }
    }
    text.split('<')
        .map(|piece| piece.split_once('>').map_or(piece, |(_, text)| text))
        .fold(String::new(), |all, piece| all + " " + piece)
}

/// The cells of each table that are no headings.
fn tables(html: &str) -> impl Iterator<Item = Vec<&str>> {
    html.split("<table").skip(1).map(|rest| {
        let table = rest.split_once("</table>").expect("a table that ends").0;
        let cells = table.split("<td").skip(1).filter_map(|cell| cell.split_once('>'));
        cells.filter_map(|(_, cell)| Some(cell.split_once("</td>")?.0)).collect()
    })
}

/// What holds of the page of any single run.
#[track_caller]
fn assert_single(name: &str, html: &str) {
    written(&format!("{name}.html"), html);
    let main = html.split_once("<main>").expect("its main part").1;
    let main = main.split_once("</main>").expect("its end").0;
    assert_balanced(main);
    let (table, plot) = (main.find("<table"), main.find("<svg"));
    assert!(table.is_some() && (plot.is_none() || table < plot), "{name} begins with a table");
    let text = visible(html);
    let words = text.split(|c: char| !c.is_alphanumeric()).map(str::to_lowercase);
    let foreign = ["compare", "compared", "comparison", "models", "ratio", "ratios", "baseline"];
    for word in words {
        assert!(!foreign.contains(&word.as_str()), "{name} speaks of {word}: {text}");
    }
    for cells in tables(html) {
        let filled = cells.iter().any(|cell| !cell.is_empty() && *cell != "-");
        assert!(filled, "{name} has a table without figures: {cells:?}");
    }
    for drawing in drawings(html).filter(|drawing| !drawing.contains("aria-hidden")) {
        let drawn = ["class=\"line", "class=\"marker", "class=\"part"];
        assert!(drawn.iter().any(|part| drawing.contains(part)), "{name} has an empty plot");
        assert!(!drawing.contains(" d=\"\""), "{name} has an empty line: {drawing}");
    }
    assert!(!html.contains("class=\"legend\""), "{name} has a legend of one server");
    assert!(!html.contains("NaN") && !text.contains("inf "), "{name}");
}

#[test]
fn single_page_starts_with_figures() {
    let mut all = alone(Profile::Steady, "a-server", 1);
    let run = all.cases[0].results[0].rounds[0].as_mut().unwrap();
    run.errors = BTreeMap::from([("lost".to_owned(), 12), ("timeout".to_owned(), 3)]);
    run.invalid.push("the generator used 91% of its core".to_owned());
    run.notes.push("the server was away once".to_owned());
    let run = run.clone();
    let html = report::page(&all, &[], &[]);
    assert_single("run", &html);
    assert!(html.contains("<title>a-server: GET of 4 KiB, 64 connections, closed loop</title>"));
    let text = visible(&html);
    for metric in [Metric::Rate, Metric::P50, Metric::P90, Metric::P99, Metric::Cpu] {
        assert!(text.contains(&metric.show(metric.of(&run))), "{metric:?}: {text}");
    }
    for part in [
        "response time",
        "service time",
        "lag",
        "12 lost, 3 timeout",
        "INVALID: the generator used 91%",
        "Note: the server was away once",
        "64 connected at once",
        "55.0 % of its core",
        "Both sides over time",
        "threads waiting for a core",
        "&gt; ",
    ] {
        assert!(text.contains(part), "{part}: {text}");
    }

    // A server that is not watched has no plots of its side; a run without replies has no plot at all.
    let recording = all.cases[0].results[0].rounds[0].as_mut().unwrap();
    recording.samples.clear();
    let html = report::page(&all, &[], &[]);
    assert_single("run-unwatched", &html);
    assert!(html.contains("not watched") && !html.contains("threads waiting for a core"));
    assert!(visible(&html).contains(" Over time") && !html.contains("Both sides"));
    let recording = all.cases[0].results[0].rounds[0].as_mut().unwrap();
    recording.intervals.clear();
    recording.response_time = Latencies::new();
    recording.errors.clear();
    recording.totals.done = 0;
    let html = report::page(&all, &[], &[]);
    assert_single("run-empty", &html);
    assert_eq!(html.matches("<svg").count(), 0);
    assert!(html.contains("<th scope=\"row\">errors</th><td>none</td>"), "{html}");
}

#[test]
fn single_page_shows_steps() {
    let levels = vec![1.0, 4.0, 16.0, 64.0];
    let all = alone(Profile::Steps { levels }, "a-server", 3);
    let html = report::page(&all, &[], &[]);
    assert_single("steps", &html);
    assert!(html.contains(
        "<title>a-server: GET of 4 KiB, steps of 1, 4, 16, 64 connections, closed loop</title>"
    ));
    let text = visible(&html);
    assert!(text.contains("More and more clients: steps"), "its curve: {text}");
    assert!(text.contains("steps, 64 connections: no data: not reached"), "{text}");
    for case in &all.cases {
        assert!(html.contains(&format!("<th scope=\"row\">{}</th>", case.title)), "{text}");
    }
    let mut rates = alone(Profile::Ramp { from: 100.0, to: 400.0 }, "a-server", 0);
    let open = Workload {
        arrivals: Arrivals::Poisson { rate: 0.0 },
        profile: Profile::Ramp { from: 100.0, to: 400.0 },
        ..Workload::default()
    };
    let runs = open.phases().into_iter().enumerate().map(|(nth, phase)| Recording {
        since: nth as f64,
        server: "a-server".to_owned(),
        ..recording(&KINDS[3], &phase.workload, 1)
    });
    rates.cases = Comparison::alone(&open, &runs.collect::<Vec<_>>(), None).cases;
    let html = report::page(&rates, &[], &[]);
    assert_single("ramp", &html);
    assert!(visible(&html).contains("More and more requests: a ramp"));
}

#[test]
fn notes_are_on_comparison_pages() {
    let html = report::page(&wordy(), &[], &[]);
    let note = "4 KiB, keep-alive, 64 connections: thread: the server was away once";
    assert!(visible(&html).contains(note));
    assert!(html.contains("class=\"legend\"") && html.contains("Models of concurrency compared"));
}

#[test]
fn equal_notes_stand_once() {
    let note = "the split of CPU time is not shown";
    let mut all = made_up();
    for result in all.cases.iter_mut().flat_map(|case| &mut case.results) {
        result.rounds.iter_mut().flatten().for_each(|run| run.notes = vec![note.to_owned()]);
    }
    let cases = all.cases.iter().filter(|case| case.results.iter().any(|r| r.runs().count() > 0));
    let cases = cases.count();
    let text = terminal::comparison(&all, Layout::of_width(100).wide());
    let html = report::page(&all, &[], &[]);
    assert_eq!((text.matches("Note on").count(), html.matches(note).count()), (cases, cases));
    let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(text.contains("Note on nginx, iterative, fork, thread, pool, "), "{text}");

    let mut steps = alone(Profile::Steps { levels: vec![1.0, 4.0] }, "a-server", 2);
    for result in steps.cases.iter_mut().flat_map(|case| &mut case.results) {
        result.rounds.iter_mut().flatten().for_each(|run| run.notes = vec![note.to_owned()]);
    }
    let text = terminal::course(&steps, Layout::of_width(100));
    let html = report::page(&steps, &[], &[]);
    assert_eq!((text.matches("Note, ").count(), html.matches(note).count()), (1, 1), "{text}");
}

#[test]
fn percentiles_without_replies_are_absent() {
    let mut all = alone(Profile::Steady, "a-server", 1);
    let run = all.cases[0].results[0].rounds[0].as_mut().unwrap();
    run.response_time = Latencies::new();
    run.service_time = Latencies::new();
    (run.totals.done, run.totals.dropped, run.totals.planned) = (0, 7, 7);
    let text = terminal::recording(run, Layout::of_width(100));
    assert!(!text.contains("> 0"), "{text}");
    let row = text.lines().find(|line| line.starts_with("response time")).unwrap();
    assert_eq!(row.split_whitespace().skip(2).collect::<Vec<_>>(), ["-"; 5]);
    assert!(!report::page(&all, &[], &[]).contains("&gt; 0.00"));
}

#[test]
fn per_request_metrics_match_input() {
    let run = recording(&KINDS[5], &Workload::default(), 1);
    assert!((Metric::Cpu.of(&run).expect("CPU") / 11.6 - 1.0).abs() < 0.01);
    assert!((Metric::Switches.of(&run).expect("switches") / 0.03 - 1.0).abs() < 0.02);
}

#[test]
fn hostile_names_are_escaped() {
    let evil = "</title><script>alert('x')</script>\u{1b}[2J\"&";
    let mut comparison = comparison();
    comparison.environment.command = evil.to_owned();
    comparison.baseline = Some(evil.to_owned());
    for case in &mut comparison.cases {
        case.title = format!("{evil}, {}", case.title);
        case.results[0].server = evil.to_owned();
        case.results[6].failure = Some(evil.to_owned());
        case.results[0].note = Some(evil.to_owned());
    }
    let timelines = [Timeline {
        server: evil.to_owned(),
        clients: vec![Lane { name: evil.to_owned(), spans: Vec::new() }],
        lanes: vec![Lane {
            name: evil.to_owned(),
            spans: vec![Span { start_us: 9, end_us: 1, request: 1, kind: evil.to_owned() }],
        }],
    }];
    let html = report::page(&comparison, &timelines, &[]);
    assert_eq!(html.matches("<script>").count(), 1, "one script, ours");
    assert!(!html.contains('\u{1b}'));
    for drawing in drawings(&html) {
        assert_balanced(&format!("<svg {drawing}</svg>"));
    }
    assert!(!report::overview_svg(&comparison).contains("<script>"));
    assert!(!terminal::comparison(&comparison, Layout::of_stdout(true)).contains('\u{1b}'));
    assert!(
        csv::runs_of(&comparison).contains("\"</title><script>alert('x')</script>\u{1b}[2J\"\"&\"")
    );
}

#[test]
fn empty_comparison_makes_a_page() {
    let empty = Comparison {
        schema: report::SCHEMA,
        environment: environment(),
        driver: None,
        baseline: None,
        cases: Vec::new(),
    };
    assert!(report::page(&empty, &[], &[]).contains("</html>"));
    assert!(report::overview_svg(&empty).contains("</svg>"));
    let mut failed = comparison();
    for result in failed.cases.iter_mut().flat_map(|case| &mut case.results) {
        result.rounds = vec![None; 2];
    }
    let html = report::page(&failed, &[Timeline::default()], &[]);
    assert!(!html.contains("NaN"));
    assert!(terminal::comparison(&failed, Layout::of_stdout(true)).contains("0 of 2"));
    let nothing = Recording {
        samples: Vec::new(),
        intervals: Vec::new(),
        per_client: Vec::new(),
        totals: Totals::default(),
        seconds: 0.0,
        response_time: Latencies::new(),
        ..recording(&KINDS[0], &Workload::default(), 0)
    };
    assert!(!terminal::recording(&nothing, Layout::of_stdout(true)).contains("NaN"));
    let mut single = comparison();
    single.cases.truncate(1);
    single.cases[0].results.truncate(1);
    single.cases[0].results[0].rounds = vec![Some(nothing)];
    assert!(!report::page(&single, &[], &[]).contains("NaN"));
}

#[test]
fn json_round_trip_keeps_values() {
    let mut comparison = comparison();
    comparison.cases.truncate(5);
    let text = json::comparison(&comparison).expect("JSON");
    let mut back = json::read_comparison(&text).expect("the same");
    // Printed decimals may differ from the binary ones in the last place; the figures do not.
    for (case, again) in comparison.cases.iter().zip(&mut back.cases) {
        for (result, again) in case.results.iter().zip(&again.results) {
            assert_eq!(result.median(Metric::P999), again.median(Metric::P999));
            assert_eq!(result.median(Metric::Rate), again.median(Metric::Rate));
            assert_eq!(result.rounds.len(), again.rounds.len());
        }
    }
    let other = text.replacen("\"schema\":3", "\"schema\":99", 1);
    let why = "a comparison of schema 99; this program reads schemas 1 to 3";
    assert_eq!(json::read_comparison(&other).err().as_deref(), Some(why));
    assert!(json::read_comparison("[]").is_err());
    assert!(json::read_comparison("not JSON").is_err());
}

/// The page shows figures and how to read them, and draws no conclusions.
#[test]
fn captions_do_not_depend_on_figures() {
    let captions = |comparison: &Comparison| -> BTreeSet<String> {
        let html = report::page(comparison, &[timeline("pool", 4)], &[]);
        let captions = html.split("</h3><p>").skip(1);
        captions.map(|rest| rest.split("</p>").next().unwrap().to_owned()).collect()
    };
    let one = comparison();
    let mut other = comparison();
    for case in &mut other.cases {
        let rounds: Vec<_> = case.results.iter().map(|result| result.rounds.clone()).collect();
        for (result, rounds) in case.results.iter_mut().zip(rounds.into_iter().rev()) {
            result.rounds = rounds;
        }
    }
    assert!(captions(&one).len() > 3);
    assert_eq!(captions(&one), captions(&other));
}

/// The file is of the program as it was before schema 2, with the keys `course` and `law`.
#[test]
fn json_of_schema_1_is_read() {
    let comparison = json::read_comparison(include_str!("comparison-schema-1.json")).unwrap();
    assert_eq!(comparison.servers(), ["thread_server", "pool_server"]);
    assert_eq!(comparison.driver, None);
    let [steady, steps] = &comparison.cases[..] else { panic!("{comparison:?}") };
    assert_eq!(steady.workload.profile, Profile::Steady);
    assert_eq!(steps.workload.profile, Profile::Steps { levels: vec![1.0, 4.0] });
    let sizes = Distribution::Lognormal { median: 8192, sigma: 1.5, max: 16 << 20 };
    assert_eq!(steps.workload.sizes, Sizes::Distribution(sizes));
    assert!(steady.results[0].runs().all(|run| run.schema == 1 && run.totals.done > 0));
}

#[test]
fn condensing_keeps_shown_percentiles() {
    let run = recording(&KINDS[6], &Workload::default(), 3);
    let small = json::condensed(&run);
    assert_eq!(small.response_time.0.len(), run.response_time.0.len());
    for percentile in [50.0, 90.0, 99.0, 99.9, 100.0] {
        assert_eq!(
            small.response_time.percentile(percentile),
            run.response_time.percentile(percentile)
        );
    }
    assert!(small.response_time.0.iter_recorded().count() < 220);
    assert_eq!(Metric::Cpu.of(&small), Metric::Cpu.of(&run));
}

#[test]
fn csv_rows_have_equal_field_counts() {
    let comparison = comparison();
    let results = || comparison.cases.iter().flat_map(|case| &case.results);
    let intervals = results().flat_map(|result| result.runs()).map(|run| run.intervals.len()).sum();
    for (text, rows) in [
        (csv::runs_of(&comparison), comparison.cases.len() * KINDS.len() * ROUNDS as usize),
        (csv::intervals_of(&comparison), intervals),
    ] {
        let mut lines = text.lines();
        let head = lines.next().expect("a head").split(',').count();
        assert!(text.lines().all(|line| line.split(',').count() == head), "{text}");
        assert_eq!(lines.count(), rows);
    }
}

#[test]
fn histogram_log_is_complete() {
    let mut times = Latencies::new();
    for micros in 1..=1_000_u64 {
        times.record(micros * 1_000);
    }
    let log = hgrm::log(&times, 0);
    let lines: Vec<&str> = log.lines().collect();
    assert!(lines[0].trim_start().starts_with("Value"));
    let figures = |line: &str| -> Vec<f64> {
        line.split_whitespace().map(|field| field.parse().expect("a figure")).collect()
    };
    let rows: Vec<Vec<f64>> =
        lines[2..].iter().take_while(|l| !l.starts_with('#')).map(|l| figures(l)).collect();
    assert!(rows.windows(2).all(|pair| pair[0][1] <= pair[1][1] && pair[0][2] <= pair[1][2]));
    let last = rows.last().expect("a last row");
    assert_eq!((last[1], last[2], last.len()), (1.0, 1000.0, 3));
    let half = rows.iter().find(|row| row[1] >= 0.5).expect("the middle");
    assert!((half[0] - 0.5).abs() < 0.02, "{half:?}");
    assert_eq!(lines.iter().filter(|line| line.starts_with("#[")).count(), 3);
    assert!(hgrm::log(&Latencies::new(), 0).contains("Total count"));
}

#[test]
fn overview_is_a_standalone_drawing() {
    let svg = report::overview_svg(&comparison());
    written("overview.svg", &svg);
    assert!(svg.starts_with("<svg xmlns="));
    assert!(!svg.contains("NaN"));
    assert_balanced(&svg);
}

#[test]
fn pair_has_a_drawing() {
    let mut two = comparison();
    assert_eq!(report::pair_svg(&two), None, "it has more cases");
    two.cases.truncate(1);
    two.cases[0].results.truncate(2);
    let svg = report::pair_svg(&two).expect("two servers in one case");
    written("pair.svg", &svg);
    assert!(!svg.contains("NaN"));
    assert_balanced(&svg);
    for metric in ["rate", "p50", "p99", "CPU/request"] {
        assert!(svg.contains(&format!(">{metric}</text>")), "{metric}: {svg}");
    }
}

/// The sentences and descriptions of the timelines' chapter.
fn sentences(timeline: &Timeline) -> BTreeSet<String> {
    let html = report::page(&comparison(), std::slice::from_ref(timeline), &[]);
    let chapter = html.split_once("id=\"timeline\"").expect("the chapter").1;
    let ends = [("<p>", "</p>"), ("<desc ", "</desc>"), ("<li>", "</li>")];
    let all = ends.into_iter().flat_map(|(begin, end)| {
        chapter.split(begin).skip(1).map(move |rest| rest.split(end).next().unwrap().to_owned())
    });
    all.collect()
}

#[test]
fn timeline_sentences_are_fixed() {
    let few = sentences(&timeline("pool", 2));
    assert!(few.iter().any(|sentence| sentence.contains("from its own measurement")), "{few:?}");
    let mut many = timeline("pool", 2);
    let lane = many.lanes[0].clone();
    many.lanes.extend((3..=100).map(|n| Lane { name: format!("worker {n}"), ..lane.clone() }));
    many.clients = many.lanes[..1].to_vec();
    assert_eq!(few, sentences(&many));
}

#[test]
fn timeline_table_agrees_with_drawing() {
    let span = |start_us, end_us, request, kind: &str| Span {
        start_us,
        end_us,
        request,
        kind: kind.to_owned(),
    };
    let client = [
        span(0, 65, 1, "wait"),
        span(50, 50, 1, "accept"),
        span(65, 97, 1, "serve"),
        span(100, 111, 2, "wait"),
        span(111, 112, 2, "serve"),
    ];
    let lane = |name: &str, spans: &[Span]| Lane { name: name.to_owned(), spans: spans.to_vec() };
    let timeline = Timeline {
        server: "pool".to_owned(),
        clients: vec![lane("client 1", &client)],
        lanes: vec![
            lane("worker 0", &[span(60, 64, 1, "serve"), span(104, 110, 2, "serve")]),
            lane("worker 1", &[span(90, 95, 1, "serve")]),
        ],
    };
    let html = report::page(&comparison(), &[timeline], &[]);
    let chapter = html.split_once("id=\"timeline\"").expect("the chapter").1;
    let rows = [
        "1|client 1|0.00 µs|50.0 µs|65.0 µs|97.0 µs|65.0 µs|worker 0, worker 1|60.0 µs|95.0 µs|9.00 µs",
        "2|client 1|100 µs|-|111 µs|112 µs|11.0 µs|worker 0|104 µs|110 µs|6.00 µs",
    ];
    for row in rows {
        let (request, cells) = row.split_once('|').expect("a request");
        let cells: String = cells.split('|').map(|cell| format!("<td>{cell}</td>")).collect();
        let cells = format!("<th scope=\"row\">{request}</th>{cells}");
        let table = chapter.split_once("<table>").expect("a table").1;
        assert!(table.contains(&cells), "{row}: {}", table.split("</table>").next().unwrap());
    }
    for title in [
        "client 1, request 1, wait: 0 to 0.065 ms",
        "client 1, request 1, accept: 0.050 to 0.050 ms",
        "client 1, request 1, serve: 0.065 to 0.097 ms",
        "worker 0, request 1, serve: 0.060 to 0.064 ms",
        "worker 1, request 1, serve: 0.090 to 0.095 ms",
        "client 1, request 2, wait: 0.10 to 0.11 ms",
    ] {
        assert!(chapter.contains(&format!("<title>{title}</title>")), "{title}");
    }
}
