//! Looks: the colour and the marker of each series. No two of the first [`LOOKS`] share either of them, so a series is
//! found by its marker alone, and by its colour alone.

use crate::text::escape;
use std::fmt::Write as _;

/// How many colours there are, and how many markers. The colours began as those of Okabe and Ito and of Paul Tol. They were
/// moved until any two differ by more than 10 (CIEDE2000), for readers with protanopia, deuteranopia and tritanopia as
/// well, and each has a contrast of at least 3:1 with its background.
pub const LOOKS: usize = 16;

/// The radius of the circle that no marker leaves.
pub(super) const RADIUS: f64 = 6.0;

/// The class of a look. Beyond [`LOOKS`] a colour comes again, with another marker and a dashed line.
pub(super) fn look(number: usize) -> String {
    let again = if number >= LOOKS { " again" } else { "" };
    format!("s{}{again}", number % LOOKS)
}

/// Draws the marker of a look: hollow where the figure is not to be believed.
pub(super) fn marker(svg: &mut String, look: usize, x: f64, y: f64, hollow: bool, tip: &str) {
    let path = shape(look, x, y);
    let class = if hollow { "marker hollow" } else { "marker" };
    let _ = match tip.is_empty() {
        true => write!(svg, r#"<path class="{class}" d="{path}"/>"#),
        false => {
            write!(svg, r#"<path class="{class}" d="{path}"><title>{}</title></path>"#, escape(tip))
        }
    };
}

/// The marker of a look, for a legend.
pub fn key(number: usize) -> String {
    let mut svg =
        format!(r#"<svg class="{}" viewBox="0 0 18 18" aria-hidden="true">"#, look(number));
    marker(&mut svg, number, 9.0, 9.0, false, "");
    svg.push_str("</svg>");
    svg
}

/// The outline of a look's marker around a point.
fn shape(look: usize, x: f64, y: f64) -> String {
    let from = |dx: f64, dy: f64, rest: &str| format!("M{:.1} {:.1}{rest}", x + dx, y + dy);
    // Each round of looks takes another marker for the same colour.
    match (look + 5 * (look / LOOKS)) % LOOKS {
        0 => from(-4.6, 0.0, "a4.6 4.6 0 1 0 9.2 0a4.6 4.6 0 1 0-9.2 0z"),
        1 => from(-4.2, -4.2, "h8.4v8.4h-8.4z"),
        2 => from(0.0, -5.6, "l5.4 9.2h-10.8z"),
        3 => from(-5.2, -1.8, "h3.4v-3.4h3.6v3.4h3.4v3.6h-3.4v3.4h-3.6v-3.4h-3.4z"),
        4 => from(0.0, -5.8, "l5.8 5.8l-5.8 5.8l-5.8-5.8z"),
        5 => from(-5.0, -4.8, "h10l-10 9.6h10z"),
        6 => from(5.6, 0.0, "l-9.2-5.4v10.8z"),
        7 => from(-2.0, -5.8, "h4v11.6h-4z"),
        8 => from(0.0, 5.6, "l-5.4-9.2h10.8z"),
        9 => from(-5.2, -3.0, "l2.2-2.2l3 3l3-3l2.2 2.2l-3 3l3 3l-2.2 2.2l-3-3l-3 3l-2.2-2.2l3-3z"),
        10 => from(-4.8, -5.0, "v10l9.6-10v10z"),
        11 => from(-5.8, -2.0, "h11.6v4h-11.6z"),
        12 => from(-5.6, 0.0, "l9.2-5.4v10.8z"),
        13 => {
            from(0.0, -6.0, "l1.4 4.1h4.3l-3.5 2.6l1.3 4.2l-3.5-2.6l-3.5 2.6l1.3-4.2l-3.5-2.6h4.3z")
        }
        // A crescent and an arch: one opens to the right, the other downwards.
        14 => from(4.4, -5.0, "h-9.2v10h9.2v-3.4h-5.6v-3.2h5.6z"),
        _ => from(-5.0, 4.6, "v-9.2h10v9.2h-3.4v-5.6h-3.2v5.6z"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn looks_differ_in_marker_and_colour() {
        let colours: BTreeSet<String> = (0..LOOKS).map(look).collect();
        let markers: BTreeSet<String> = (0..LOOKS).map(|n| shape(n, 0.0, 0.0)).collect();
        assert_eq!((colours.len(), markers.len()), (LOOKS, LOOKS));
        let both: BTreeSet<String> =
            (0..6 * LOOKS).map(|n| look(n).replace(" again", "") + &shape(n, 0.0, 0.0)).collect();
        assert_eq!(both.len(), 6 * LOOKS, "two of many servers look the same");
        for n in 0..6 * LOOKS {
            assert_ne!(shape(n, 0.0, 0.0), shape(n + 1, 0.0, 0.0), "neighbours share a marker");
        }
    }
}
