//! A drawing as the shapes that it is made of, and which of them touch each other.

/// How wide a letter is at most: of text, and of names, which are bold.
const LETTERS: [f64; 2] = [7.4, 8.4];

#[derive(Clone, Debug)]
pub struct Shape {
    pub class: String,
    pub what: String,
    /// Left, top, right, bottom.
    pub area: [f64; 4],
}

#[derive(Clone, Debug)]
pub struct Line {
    pub class: String,
    pub from: (f64, f64),
    pub to: (f64, f64),
}

/// The texts, lines and filled shapes of a drawing.
#[derive(Debug, Default)]
pub struct Drawing {
    pub title: String,
    pub size: (f64, f64),
    pub texts: Vec<Shape>,
    pub lines: Vec<Line>,
    pub shapes: Vec<Shape>,
}

/// The plots of a page.
pub fn drawings(page: &str) -> impl Iterator<Item = &str> {
    page.split("<figure").skip(1).filter_map(|figure| {
        let from = figure.find("<svg ")?;
        let to = figure.find("</svg>")?;
        Some(&figure[from..to])
    })
}

fn attribute<'a>(tag: &'a str, name: &str) -> Option<&'a str> {
    let rest = tag.split_once(&format!(" {name}=\""))?.1;
    Some(rest.split_once('"')?.0)
}

fn number(tag: &str, name: &str) -> f64 {
    attribute(tag, name).and_then(|text| text.parse().ok()).unwrap_or(0.0)
}

impl Drawing {
    pub fn of(svg: &str) -> Drawing {
        let mut drawing = Drawing::default();
        let pieces = svg.split('<').skip(1);
        for piece in pieces {
            let (tag, inside) = piece.split_once('>').expect("a tag that ends");
            let class = attribute(tag, "class").unwrap_or_default().to_owned();
            match tag.split(' ').next().unwrap() {
                "svg" => {
                    let size = attribute(tag, "viewBox").expect("its size");
                    let size: Vec<f64> = size.split(' ').map(|n| n.parse().unwrap()).collect();
                    drawing.size = (size[2], size[3]);
                }
                "title" if drawing.title.is_empty() => drawing.title = inside.to_owned(),
                "text" => drawing.texts.push(text(tag, class, inside)),
                "rect" => {
                    let (x, y) = (number(tag, "x"), number(tag, "y"));
                    let area = [x, y, x + number(tag, "width"), y + number(tag, "height")];
                    drawing.shapes.push(Shape { class, what: "rect".to_owned(), area });
                }
                "path" => drawing.path(class, attribute(tag, "d").unwrap_or_default()),
                _ => {}
            }
        }
        drawing
    }

    fn path(&mut self, class: String, path: &str) {
        let lines = strokes(path);
        if class.contains("marker") {
            let all = || lines.iter().flat_map(|line| [line.0, line.1]);
            let fold = |of: fn((f64, f64)) -> f64, by: fn(f64, f64) -> f64, from: f64| {
                all().map(of).fold(from, by)
            };
            let (far, near) = (f64::INFINITY, f64::NEG_INFINITY);
            // The circle is an arc, which is as high as it is wide.
            let round = if path.contains('a') { 4.6 } else { 0.0 };
            let area = [
                fold(|p| p.0, f64::min, far),
                fold(|p| p.1, f64::min, far) - round,
                fold(|p| p.0, f64::max, near),
                fold(|p| p.1, f64::max, near) + round,
            ];
            self.shapes.push(Shape { class, what: "marker".to_owned(), area });
        } else {
            let line = |(from, to)| Line { class: class.clone(), from, to };
            self.lines.extend(lines.into_iter().map(line));
        }
    }

    /// Which labels touch a line, a shape or another label, or leave the drawing.
    pub fn faults(&self) -> Vec<String> {
        let mut faults = Vec::new();
        let texts = self.texts.iter().filter(|text| !text.class.contains("request"));
        let texts: Vec<&Shape> = texts.collect();
        for (n, text) in texts.iter().enumerate() {
            let [left, top, right, bottom] = text.area;
            let what = format!("\"{}\" ({}) at {:?}", text.what, text.class, text.area);
            if left < 0.0 || top < 0.0 || right > self.size.0 || bottom > self.size.1 {
                faults.push(format!("{what} leaves the drawing of {:?}", self.size));
            }
            for line in &self.lines {
                if crosses(&text.area, line.from, line.to) {
                    faults.push(format!("{what} lies on {line:?}"));
                }
            }
            for shape in self.shapes.iter().filter(|shape| meet(&text.area, &shape.area)) {
                faults.push(format!("{what} lies on {shape:?}"));
            }
            for other in texts[..n].iter().filter(|other| meet(&text.area, &other.area)) {
                faults.push(format!("{what} lies on \"{}\" at {:?}", other.what, other.area));
            }
        }
        faults
    }
}

fn text(tag: &str, class: String, inside: &str) -> Shape {
    let what: String = ["&amp;", "&lt;", "&gt;", "&quot;", "&#39;"]
        .into_iter()
        .fold(inside.to_owned(), |text, entity| text.replace(entity, "_"));
    let letter = match class.as_str() {
        "name" => LETTERS[1],
        "mark" => 5.0,
        "absent" => LETTERS[0] * 12.0 / 13.0,
        _ => LETTERS[0],
    };
    let width = what.chars().count() as f64 * letter;
    let (x, y) = (number(tag, "x"), number(tag, "y"));
    let left = match attribute(tag, "text-anchor") {
        Some("middle") => x - width / 2.0,
        Some("end") => x - width,
        _ => x,
    };
    // The letters without what few of them have below.
    Shape { class, what, area: [left, y - 9.5, left + width, y] }
}

fn meet(a: &[f64; 4], b: &[f64; 4]) -> bool {
    a[0] < b[2] && b[0] < a[2] && a[1] < b[3] && b[1] < a[3]
}

/// Whether a line enters an area: looked at in steps of a quarter of a unit.
fn crosses(area: &[f64; 4], from: (f64, f64), to: (f64, f64)) -> bool {
    let box_of = [from.0.min(to.0), from.1.min(to.1), from.0.max(to.0), from.1.max(to.1)];
    let widened = [box_of[0] - 0.1, box_of[1] - 0.1, box_of[2] + 0.1, box_of[3] + 0.1];
    if !meet(area, &widened) {
        return false;
    }
    let steps = ((to.0 - from.0).hypot(to.1 - from.1) * 4.0).ceil().max(1.0) as u32;
    (0..=steps).any(|n| {
        let share = f64::from(n) / f64::from(steps);
        let (x, y) = (from.0 + (to.0 - from.0) * share, from.1 + (to.1 - from.1) * share);
        x > area[0] && x < area[2] && y > area[1] && y < area[3]
    })
}

type Stroke = ((f64, f64), (f64, f64));

/// The straight lines of a path; an arc is the line to its end.
fn strokes(path: &str) -> Vec<Stroke> {
    let mut lines = Vec::new();
    let (mut at, mut first) = ((0.0, 0.0), (0.0, 0.0));
    let mut rest = path;
    while let Some(command) = rest.chars().next() {
        let end = rest[1..].find(|c: char| c.is_ascii_alphabetic()).map_or(rest.len(), |n| n + 1);
        let numbers = numbers(&rest[1..end]);
        rest = &rest[end..];
        let mut go = |to: (f64, f64), at: &mut (f64, f64)| {
            lines.push((*at, to));
            *at = to;
        };
        match command {
            'M' => {
                at = (numbers[0], numbers[1]);
                first = at;
                for to in numbers[2..].chunks(2) {
                    go((to[0], to[1]), &mut at);
                }
            }
            'L' => numbers.chunks(2).for_each(|to| go((to[0], to[1]), &mut at)),
            'l' => numbers.chunks(2).for_each(|by| go((at.0 + by[0], at.1 + by[1]), &mut at)),
            'H' => numbers.iter().for_each(|x| go((*x, at.1), &mut at)),
            'h' => numbers.iter().for_each(|by| go((at.0 + by, at.1), &mut at)),
            'V' => numbers.iter().for_each(|y| go((at.0, *y), &mut at)),
            'v' => numbers.iter().for_each(|by| go((at.0, at.1 + by), &mut at)),
            'a' => numbers.chunks(7).for_each(|a| go((at.0 + a[5], at.1 + a[6]), &mut at)),
            'z' => go(first, &mut at),
            other => panic!("{other} in {path}"),
        }
    }
    lines
}

/// Numbers that a space, a comma or the sign of the next one ends.
fn numbers(text: &str) -> Vec<f64> {
    let mut words = vec![String::new()];
    for c in text.chars() {
        match c {
            ' ' | ',' => words.push(String::new()),
            '-' => words.push("-".to_owned()),
            c => words.last_mut().unwrap().push(c),
        }
    }
    words.iter().filter(|word| !word.is_empty()).map(|word| word.parse().unwrap()).collect()
}

#[test]
fn crossed_label_is_found() {
    let svg = r#"<svg viewBox="0 0 100 50"><title>t</title><path class="line" d="M0 20L100 20"/><text x="10" y="25">abc</text>"#;
    assert_eq!(Drawing::of(svg).faults().len(), 1);
    let svg = svg.replace("y=\"25\"", "y=\"40\"");
    assert_eq!(Drawing::of(&svg).faults(), [""; 0]);
    assert_eq!(strokes("M1 1h2v-2z").len(), 3);
    assert_eq!(numbers("5.6 5.6l".trim_end_matches('l')), [5.6, 5.6]);
}
