use super::*;
use crate::ipc::report::tests::sample;

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
fn chapter_is_well_formed() {
    let chapter = chapter(&sample(1.2, 15));
    assert_eq!(chapter.figures[0].title, "Which one when");
    let mut ids = Vec::new();
    for figure in &chapter.figures {
        assert_balanced(&figure.svg);
        for wrong in ["NaN", "inf", "data-series", "<script"] {
            assert!(!figure.svg.contains(wrong), "{wrong} in {}", figure.title);
        }
        assert!(!figure.caption.is_empty());
        ids.extend(figure.svg.split(" id=\"").skip(1).filter_map(|rest| rest.split('"').next()));
    }
    let mut once = ids.clone();
    once.sort_unstable();
    once.dedup();
    assert_eq!(once.len(), ids.len(), "an id stands twice");
    let titles: Vec<&str> = chapter.figures.iter().map(|figure| figure.title.as_str()).collect();
    for title in [
        "Round trip, both on one core, sleeping",
        "Round trip, each on a core of its own, spinning",
        "One way, each on a core of its own, sleeping",
        "A turn there and back, both on one core",
        "What the library adds, round trip",
    ] {
        assert!(titles.contains(&title), "{title} in {titles:?}");
    }
    assert!(chapter.notes.iter().any(|(mark, why)| mark == "-" && why.contains("by the clock")));
    assert!(chapter.notes.iter().any(|(mark, why)| mark == "!" && why.contains("1.20")));
}

#[test]
fn mechanisms_look_different_in_plots() {
    let mut plots = 0;
    for figure in &chapter(&sample(1.2, 15)).figures {
        let rows = figure.svg.split("<g class=\"series ").skip(1);
        let mut looks: Vec<&str> = rows.filter_map(|row| row.split('"').next()).collect();
        // A line has a group of its own, and so has its name.
        let groups = if figure.svg.contains("class=\"line\"") { 2 } else { 1 };
        let series = looks.len() / groups;
        looks.sort_unstable();
        looks.dedup();
        assert!(looks.len() >= series, "{}: {series} series look like {looks:?}", figure.title);
        plots += usize::from(series > 1);
    }
    assert!(plots > 1, "plots of several mechanisms");
}

#[test]
fn page_is_written_from_saved_figures() {
    let directory = tempfile::tempdir().unwrap();
    assert!(chapters(directory.path()).is_empty(), "nothing is there yet");
    fs::write(directory.path().join("ipc.json"), sample(1.0, 3).json().unwrap()).unwrap();
    rewrite(directory.path()).unwrap();
    let page = fs::read_to_string(directory.path().join("index.html")).unwrap();
    assert!(page.contains("<h2>Between processes</h2>") && page.contains("Which one when"));
    assert!(page.contains("A &lt;machine&gt; that does not exist"));
    assert!(page.contains("<h1>Between processes</h1>") && !page.contains("Ratios to"));
    fs::write(directory.path().join("ipc.json"), "{").unwrap();
    assert!(chapters(directory.path()).is_empty(), "what is no report is left out");
}

#[test]
fn chapter_of_empty_report_is_valid() {
    let mut report = sample(1.0, 3);
    report.results.retain(|result| result.missing.is_some());
    let chapter = chapter(&report);
    assert_eq!(chapter.figures.len(), 1);
    assert_balanced(&chapter.figures[0].svg);
}
