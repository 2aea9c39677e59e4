//! Places for labels: no label lies on a line, a marker or another label.

use super::{LETTER, LINE, NAME_LETTER};
use std::fmt::Write as _;

/// A rectangle that a label, a marker or a part of a line takes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Area {
    pub left: f64,
    pub top: f64,
    pub right: f64,
    pub bottom: f64,
}

impl Area {
    /// The area of a text that begins at `x`, above and below its baseline.
    pub fn of_text(x: f64, baseline: f64, width: f64) -> Area {
        Area { left: x, top: baseline - 11.0, right: x + width, bottom: baseline + 3.5 }
    }

    /// The square around a point.
    pub fn around(x: f64, y: f64, radius: f64) -> Area {
        Area { left: x - radius, top: y - radius, right: x + radius, bottom: y + radius }
    }

    /// The same with room on all sides.
    pub fn wider(self, by: f64) -> Area {
        Area {
            left: self.left - by,
            top: self.top - by,
            right: self.right + by,
            bottom: self.bottom + by,
        }
    }

    pub fn meets(&self, other: &Area) -> bool {
        self.left < other.right
            && other.left < self.right
            && self.top < other.bottom
            && other.top < self.bottom
    }

    /// Whether a straight line from one point to another enters the area.
    pub fn is_crossed(&self, (x0, y0): (f64, f64), (x1, y1): (f64, f64)) -> bool {
        // The part of the line, from 0 to 1, that is within both pairs of sides (Liang and Barsky).
        let (mut from, mut to) = (0.0_f64, 1.0_f64);
        for (start, step, low, high) in
            [(x0, x1 - x0, self.left, self.right), (y0, y1 - y0, self.top, self.bottom)]
        {
            if step.abs() < 1e-12 {
                if start <= low || start >= high {
                    return false;
                }
                continue;
            }
            let (a, b) = ((low - start) / step, (high - start) / step);
            from = from.max(a.min(b));
            to = to.min(a.max(b));
        }
        from < to
    }
}

/// How wide a text is at most.
pub(super) fn width_of(text: &str) -> f64 {
    text.chars().count() as f64 * LETTER
}

/// How wide a name is at most: names are bold.
pub(super) fn width_of_name(name: &str) -> f64 {
    name.chars().count() as f64 * NAME_LETTER
}

/// The beginning of a text that fits into so much room.
pub(super) fn fitted(text: &str, room: f64) -> String {
    let letters = (room / LETTER).max(1.0) as usize;
    match text.chars().count() {
        n if n > letters => text.chars().take(letters.saturating_sub(1)).chain(['…']).collect(),
        _ => text.to_owned(),
    }
}

/// A text on lines of so much room, at most so many; broken between words.
pub(super) fn wrapped(text: &str, room: f64, most: usize) -> Vec<String> {
    let letters = (room / LETTER).max(1.0) as usize;
    let mut lines: Vec<String> = Vec::new();
    for word in text.split_whitespace() {
        let full = lines.len() == most;
        match lines.last_mut() {
            Some(line) if full || line.chars().count() + 1 + word.chars().count() <= letters => {
                line.push(' ');
                line.push_str(word);
            }
            _ => lines.push(word.to_owned()),
        }
    }
    lines.iter().map(|line| fitted(line, room)).collect()
}

/// An upright line with gaps where labels stand, as the path of its parts.
pub(super) fn upright(x: f64, top: f64, bottom: f64, labels: &[Area]) -> String {
    let mut gaps: Vec<(f64, f64)> = labels
        .iter()
        .filter(|area| (area.left..=area.right).contains(&x))
        .map(|area| (area.top, area.bottom))
        .collect();
    gaps.sort_by(|a, b| a.0.total_cmp(&b.0));
    let (mut path, mut from) = (String::new(), top);
    for (start, end) in gaps.into_iter().chain([(bottom, bottom)]) {
        if start > from {
            let _ = write!(path, "M{x:.1} {from:.1}V{:.1}", start.min(bottom));
        }
        from = from.max(end);
    }
    path
}

/// Places for labels, each as near to where it wants to be as its neighbours allow: halfway between what
/// pushing them down and pushing them up would give, since both keep the distance.
pub(super) fn apart(wanted: &[f64], top: f64, bottom: f64) -> Vec<f64> {
    let mut order: Vec<usize> = (0..wanted.len()).collect();
    order.sort_by(|&a, &b| wanted[a].total_cmp(&wanted[b]));
    let pushed_down = |places: &mut [f64]| {
        let mut free = top;
        for &n in &order {
            places[n] = places[n].max(free);
            free = places[n] + LINE;
        }
    };
    let pushed_up = |places: &mut [f64]| {
        let mut free = bottom;
        for &n in order.iter().rev() {
            places[n] = places[n].min(free);
            free = places[n] - LINE;
        }
    };
    let (mut one, mut other) = (wanted.to_vec(), wanted.to_vec());
    pushed_down(&mut one);
    pushed_up(&mut one);
    pushed_up(&mut other);
    pushed_down(&mut other);
    one.iter().zip(&other).map(|(a, b)| f64::midpoint(*a, *b)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_do_not_overlap() {
        let places = apart(&[50.0, 51.0, 52.0, 100.0, 100.0], 0.0, 100.0);
        let mut sorted = places.clone();
        sorted.sort_by(f64::total_cmp);
        assert!(sorted.windows(2).all(|pair| pair[1] - pair[0] >= LINE - 1e-9), "{places:?}");
        assert!(sorted[4] <= 100.0);
    }

    #[test]
    fn lines_have_gaps_at_labels() {
        let label = |top: f64, bottom: f64| Area { left: 5.0, top, right: 15.0, bottom };
        let labels = [label(40.0, 50.0), label(20.0, 30.0), label(95.0, 120.0)];
        let path = upright(10.0, 0.0, 100.0, &labels);
        assert_eq!(path, "M10.0 0.0V20.0M10.0 30.0V40.0M10.0 50.0V95.0");
        assert_eq!(upright(20.0, 0.0, 100.0, &labels), "M20.0 0.0V100.0");
    }

    #[test]
    fn crossing_of_line_is_found() {
        let area = Area { left: 10.0, top: 10.0, right: 20.0, bottom: 20.0 };
        assert!(area.is_crossed((0.0, 0.0), (30.0, 30.0)));
        assert!(area.is_crossed((15.0, 0.0), (15.0, 40.0)));
        assert!(area.is_crossed((12.0, 12.0), (13.0, 13.0)));
        assert!(!area.is_crossed((0.0, 5.0), (30.0, 5.0)));
        assert!(!area.is_crossed((0.0, 25.0), (25.0, 50.0)));
        assert!(!area.is_crossed((0.0, 0.0), (9.0, 9.0)));
    }

    #[test]
    fn long_text_is_wrapped_and_cut() {
        let text = "one two three four five six seven";
        assert_eq!(wrapped(text, 10.0 * LETTER, 3), ["one two", "three four", "five six …"]);
        assert_eq!(wrapped(text, 60.0 * LETTER, 2), [text]);
        assert_eq!(fitted("no-space-at-all", 5.0 * LETTER), "no-s…");
    }
}
