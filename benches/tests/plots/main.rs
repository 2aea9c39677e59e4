//! The plots of the comparison's page: labels that touch nothing, looks that all readers can tell apart, and gaps that are
//! explained where they are. The comparisons are invented, by a seed.

mod colours;
mod drawing;
mod invented;

use benches::load::report::{self, ServerResult};
use drawing::{Drawing, drawings};
use harness::browser::Browser;
use std::fs;
use std::path::Path;

const SEEDS: u64 = 6;

#[test]
fn labels_touch_no_line_or_label() {
    for seed in 0..SEEDS {
        let comparison = invented::comparison(seed);
        let page = report::page(&comparison, &invented::timelines(), &[]);
        for svg in drawings(&page) {
            let drawing = Drawing::of(svg);
            let faults = drawing.faults();
            assert!(faults.is_empty(), "seed {seed}, {}: {faults:#?}", drawing.title);
        }
        let overview = report::overview_svg(&comparison);
        for svg in overview.split("<svg ").skip(2) {
            let svg = svg.split("</svg>").next().unwrap();
            let drawing = Drawing::of(&format!("<svg {svg}"));
            let faults = drawing.faults();
            assert!(faults.is_empty(), "seed {seed}, overview: {faults:#?}");
        }
    }
}

/// The plot of a chapter under this heading.
fn plot<'a>(page: &'a str, heading: &str) -> &'a str {
    let rest = page.split_once(&format!("<h3>{heading}</h3>")).expect(heading).1;
    let end = rest.find("</svg>").expect("a drawing");
    &rest[rest.find("<svg ").expect("a drawing")..end]
}

/// What stands below a plot.
fn said(plot: &str) -> String {
    let lines = plot.split("class=\"absent\"").skip(1);
    let text = |rest: &str| rest[rest.find('>').unwrap() + 1..rest.find('<').unwrap()].to_owned();
    lines.map(text).collect::<Vec<_>>().join(" ")
}

#[test]
fn absent_figures_are_explained_in_plots() {
    let mut comparison = invented::sweep(&["thread", "fork", "pool", "lost"], &[1, 16, 64]);
    for (n, case) in comparison.cases.iter_mut().enumerate() {
        let fails = |result: &mut ServerResult, why: &str| {
            result.rounds = vec![None; 3];
            result.failure = Some(why.to_owned());
        };
        fails(&mut case.results[3], "cannot bind 127.0.0.1:1: permission denied");
        if n > 0 {
            fails(&mut case.results[1], "fork: resource temporarily unavailable");
            for run in case.results[2].rounds.iter_mut().flatten() {
                run.totals.dropped = run.response_time.0.len() / 10;
            }
        }
    }
    let page = report::page(&comparison, &[], &[]);
    let p99 = plot(&page, "99th percentile");
    let said = said(p99);
    assert!(said.contains("fork: fork: resource temporarily unavailable, at 16 and 64"), "{said}");
    assert!(said.contains("lost: cannot bind 127.0.0.1:1: permission denied"), "{said}");
    assert!(said.contains("pool: &gt; ") && said.contains(", above every reply"), "{said}");
    assert_eq!(p99.matches("class=\"beyond\"").count(), 2, "an arrow at 16 and at 64");
    // One that has fewer than half of its replies late has a median.
    assert!(!plot(&page, "Median of the response time").contains("above every reply"));
    let memory = plot(&page, "CPU time per request: 4 KiB, keep-alive, 64 connections");
    assert!(memory.contains(", fork: resource temporarily"), "{memory}");
    let glance = &page[page.find("id=\"glance\"").expect("a chapter")..];
    let ratios = &glance[glance.find("99th percentile of").expect("its plot")..];
    let ratios = &ratios[..ratios.find("</figure>").expect("its end")];
    assert!(ratios.contains(">fork: resource temporarily unavailable<"), "{ratios}");
    assert!(ratios.contains(", above every reply<"), "{ratios}");
    for row in ratios.split("<g class=\"series").skip(1).filter(|row| row.contains("absent")) {
        assert!(!row.contains("class=\"interval\""), "{row}");
        assert_eq!(row.matches("class=\"marker").count(), 1, "nothing at 1: {row}");
    }
}

#[test]
fn distribution_ends_at_unanswered_requests() {
    let mut comparison = invented::sweep(&["thread", "pool"], &[64]);
    for run in comparison.cases[0].results[1].rounds.iter_mut().flatten() {
        run.totals.dropped = run.response_time.0.len() / 4;
    }
    let page = report::page(&comparison, &[], &[]);
    let chapter = &page[page.find("id=\"distribution\"").expect("a chapter")..];
    let plot = &chapter[..chapter.find("</figure>").expect("its end")];
    let said = said(plot);
    assert!(said.contains("no reply to ") && said.contains(" % of the requests"), "{said}");
    assert_eq!(plot.matches("class=\"beyond\"").count(), 1);
}

#[test]
fn outlier_does_not_flatten_time_series() {
    let mut comparison = invented::sweep(&["thread"], &[64]);
    for run in comparison.cases[0].results[0].rounds.iter_mut().flatten() {
        for (n, interval) in run.intervals.iter_mut().enumerate() {
            interval.done = if n == 7 { 80_000 } else { 1_000 + n as u64 % 3 };
        }
    }
    let page = report::page(&comparison, &[], &[]);
    let chapter = &page[page.find("id=\"course\"").expect("a chapter")..];
    let plot = chapter.split("<svg ").nth(1).expect("its plot");
    let drawing = Drawing::of(&format!("<svg {plot}"));
    assert!(plot.contains("requests per second (highest: 400 k)"), "{plot}");
    let line = drawing.lines.iter().filter(|line| line.class.contains("shade0"));
    let heights: Vec<f64> = line.take(18).map(|line| line.to.1).collect();
    let usual = heights[0];
    // A track is 74 high: the usual rate lies in the upper half of it.
    assert!(usual < 24.0 + 37.0, "{heights:?}");
    assert_eq!(plot.matches("class=\"beyond\"").count(), 1);
}

/// A comparison of so many servers that all looks are in use.
fn crowd() -> String {
    let names: Vec<String> = (1..=16).map(|n| format!("server {n}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    report::page(&invented::sweep(&names, &[1, 16, 64, 256]), &invented::timelines(), &[])
}

#[test]
fn sixteen_servers_have_sixteen_looks() {
    let page = crowd();
    let legend = &page[page.find("class=\"legend\"").expect("a legend")..];
    let legend = &legend[..legend.find("</ul>").expect("its end")];
    let mut colours: Vec<&str> = Vec::new();
    let mut markers: Vec<&str> = Vec::new();
    for entry in legend.split("<svg class=\"").skip(1) {
        colours.push(entry.split('"').next().unwrap());
        markers.push(entry.split(" d=\"").nth(1).unwrap().split('"').next().unwrap());
    }
    assert_eq!(colours.len(), 16);
    for all in [&mut colours, &mut markers] {
        all.sort_unstable();
        all.dedup();
        assert_eq!(all.len(), 16, "{all:?}");
    }
}

#[test]
fn series_colours_differ_for_every_eye() {
    colours::assert_series_differ(&crowd());
}

#[test]
fn text_contrasts_with_its_background() {
    colours::assert_text_is_legible(&crowd());
}

#[test]
fn page_meets_rules_of_accessibility() {
    let page = crowd();
    for scroller in page.split("<div class=\"scroll\"").skip(1) {
        let tag = scroller.split('>').next().unwrap();
        let table = scroller.trim_start_matches(tag).starts_with("><table");
        let wide = scroller.contains("viewBox=\"0 0 1040");
        if table || wide {
            assert!(tag.contains("tabindex=\"0\""), "it is scrolled by keyboard: {tag}");
            assert!(tag.contains("role=\"group\"") && tag.contains("aria-label="), "{tag}");
        }
    }
    for svg in page.split("<svg ").skip(1) {
        let tag = svg.split('>').next().unwrap();
        let named = tag.contains("role=\"img\"") && tag.contains("aria-labelledby=");
        assert!(named || tag.contains("aria-hidden=\"true\""), "{tag}");
    }
    let main = page.find("<main").expect("main");
    assert!(page.find("class=\"legend\"").expect("a legend") > main, "within a landmark");
    for row in page.split("<tr>").skip(1) {
        assert!(row.starts_with("<th scope=\"col\">") || row.starts_with("<th scope=\"row\">"));
    }
    // Headings go down by one level at a time.
    let levels = page.split("<h").skip(1).filter_map(|rest| rest[..1].parse::<u32>().ok());
    let levels: Vec<u32> = levels.collect();
    assert!(levels.windows(2).all(|pair| pair[1] <= pair[0] + 1), "{levels:?}");
}

/// What a page looks like in a real browser; skipped where none is installed.
#[test]
fn labels_and_legend_work_in_browsers() {
    let browser = match Browser::start() {
        Ok(browser) => browser,
        Err(reason) => return eprintln!("SKIPPED the plots in the browser: {reason}"),
    };
    let file = Path::new(env!("CARGO_TARGET_TMPDIR")).join("plots.html");
    fs::write(&file, crowd()).unwrap();
    let page = browser.page();
    let address = format!("file://{}", file.display());
    for (width, colours) in [(1280, "light"), (390, "dark"), (1920, "light"), (1280, "forced")] {
        page.emulate(width, 900, colours);
        page.open(&address);
        page.eval("document.querySelectorAll('details').forEach((d) => { d.open = true; })");
        let wide = page.eval("document.documentElement.scrollWidth").as_u64().unwrap();
        assert!(wide <= width.into(), "{wide} at {width}");
        // With the fonts of this machine no two texts overlap, and none is cut off.
        let faults = page.eval(
            "[...document.querySelectorAll('svg.plot')].flatMap((svg) => {
               const box = svg.viewBox.baseVal;
               const texts = [...svg.querySelectorAll('text')].map((t) => [t.textContent, t.getBBox()]);
               const wrong = texts.filter(([, b]) => b.x < -1 || b.x + b.width > box.width + 1).map(([t]) => `cut: ${t}`);
               texts.forEach(([t, a], n) => { for (const [u, b] of texts.slice(n + 1)) {
                 if (a.x < b.x + b.width - 1 && b.x < a.x + a.width - 1 && a.y < b.y + b.height - 3 && b.y < a.y + a.height - 3)
                   wrong.push(`${t} on ${u}`); } });
               return wrong; })",
        );
        assert_eq!(faults, serde_json::json!([]), "at {width}, {colours}");
        // Markers are seen on their background, whatever colours the system takes.
        let invisible = page.eval(
            "(() => { const canvas = getComputedStyle(document.body).backgroundColor;
               return [...document.querySelectorAll('svg .marker')].filter((m) => {
                 const style = getComputedStyle(m);
                 return style.fill === canvas && style.stroke === canvas; }).length; })()",
        );
        assert_eq!(invisible, 0, "{colours}");
        let colours_used = page.eval(
            "new Set([...document.querySelectorAll('.legend .marker')].map((m) => getComputedStyle(m).fill)).size",
        );
        assert_eq!(colours_used, 16, "{colours}");
    }
    // The legend is a list of buttons, and picks a server out of all plots.
    page.emulate(1280, 900, "light");
    page.open(&address);
    let buttons = "document.querySelectorAll('.legend li > button[aria-pressed]').length";
    assert_eq!(page.eval(buttons), 16);
    page.eval("document.querySelector('.legend button').focus()");
    page.press("Enter");
    assert_eq!(page.eval("document.querySelector('.legend button').ariaPressed"), "true");
    assert_eq!(page.eval("document.body.classList.contains('chosen')"), true);
    assert_eq!(page.console_errors(), [""; 0]);
}
