//! The difference of colours by CIEDE2000, as seen with normal sight and with each kind of colour blindness (the matrices
//! of Machado, Oliveira and Fernandes, 2009, for full severity), and the contrast of WCAG.

type Rgb = [f64; 3];

/// Linear light to linear light as a dichromat sees it.
const SIGHTS: [(&str, [[f64; 3]; 3]); 4] = [
    ("normal sight", [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]]),
    (
        "protanopia",
        [
            [0.152286, 1.052583, -0.204868],
            [0.114503, 0.786281, 0.099216],
            [-0.003882, -0.048116, 1.051998],
        ],
    ),
    (
        "deuteranopia",
        [
            [0.367322, 0.860646, -0.227968],
            [0.280085, 0.672501, 0.047413],
            [-0.011820, 0.042940, 0.968881],
        ],
    ),
    (
        "tritanopia",
        [
            [1.255528, -0.076749, -0.178779],
            [-0.078411, 0.930809, 0.147602],
            [0.004733, 0.691367, 0.303900],
        ],
    ),
];

fn linear(hex: &str) -> Rgb {
    [1, 3, 5].map(|at| {
        let value = f64::from(u8::from_str_radix(&hex[at..at + 2], 16).expect("a colour")) / 255.0;
        if value <= 0.04045 { value / 12.92 } else { ((value + 0.055) / 1.055).powf(2.4) }
    })
}

fn seen(colour: Rgb, sight: &[[f64; 3]; 3]) -> Rgb {
    let times = |row: &[f64; 3]| row.iter().zip(&colour).map(|(a, b)| a * b).sum::<f64>();
    [0, 1, 2].map(|n| times(&sight[n]).clamp(0.0, 1.0))
}

fn lab([r, g, b]: Rgb) -> [f64; 3] {
    let x = (0.4124564 * r + 0.3575761 * g + 0.1804375 * b) / 0.95047;
    let y = 0.2126729 * r + 0.7151522 * g + 0.072175 * b;
    let z = (0.0193339 * r + 0.119192 * g + 0.9503041 * b) / 1.08883;
    let f = |t: f64| {
        if t > 216.0 / 24389.0 { t.cbrt() } else { (24389.0 / 27.0 * t + 16.0) / 116.0 }
    };
    [116.0 * f(y) - 16.0, 500.0 * (f(x) - f(y)), 200.0 * (f(y) - f(z))]
}

fn delta_e_2000([l1, a1, b1]: [f64; 3], [l2, a2, b2]: [f64; 3]) -> f64 {
    let share = |c: f64| (c.powi(7) / (c.powi(7) + 25f64.powi(7))).sqrt();
    let g = 0.5 * (1.0 - share(f64::midpoint(a1.hypot(b1), a2.hypot(b2))));
    let (a1, a2) = (a1 * (1.0 + g), a2 * (1.0 + g));
    let (c1, c2) = (a1.hypot(b1), a2.hypot(b2));
    let hue = |a: f64, b: f64| b.atan2(a).to_degrees().rem_euclid(360.0);
    let (h1, h2) = (hue(a1, b1), hue(a2, b2));
    let apart = if c1 * c2 == 0.0 { 0.0 } else { (h2 - h1 + 540.0).rem_euclid(360.0) - 180.0 };
    let mean_hue = match c1 * c2 {
        0.0 => h1 + h2,
        _ if (h1 - h2).abs() <= 180.0 => f64::midpoint(h1, h2),
        _ => (h1 + h2 + 360.0) / 2.0 % 360.0,
    };
    let (l, c) = (f64::midpoint(l1, l2), f64::midpoint(c1, c2));
    let cos = |degrees: f64| degrees.to_radians().cos();
    let t = 1.0 - 0.17 * cos(mean_hue - 30.0)
        + 0.24 * cos(2.0 * mean_hue)
        + 0.32 * cos(3.0 * mean_hue + 6.0)
        - 0.20 * cos(4.0 * mean_hue - 63.0);
    let turn = 30.0 * (-((mean_hue - 275.0) / 25.0).powi(2)).exp();
    let middle = (l - 50.0).powi(2);
    let lightness = (l2 - l1) / (1.0 + 0.015 * middle / (20.0 + middle).sqrt());
    let chroma = (c2 - c1) / (1.0 + 0.045 * c);
    let hue = 2.0 * (c1 * c2).sqrt() * (apart / 2.0).to_radians().sin() / (1.0 + 0.015 * c * t);
    let rotation = -(2.0 * turn).to_radians().sin() * 2.0 * share(c);
    (lightness.powi(2) + chroma.powi(2) + hue.powi(2) + rotation * chroma * hue).sqrt()
}

/// Three pairs of Sharma, Wu and Dalal, "The CIEDE2000 Color-Difference Formula" (2005).
#[test]
fn delta_e_matches_published_pairs() {
    for (one, other, expected) in [
        ([50.0, 2.6772, -79.7751], [50.0, 0.0, -82.7485], 2.0425),
        ([50.0, 2.5, 0.0], [73.0, 25.0, -18.0], 27.1492),
        ([90.8027, -2.0831, 1.441], [91.1528, -1.6435, 0.0447], 1.4441),
    ] {
        let found = delta_e_2000(one, other);
        assert!((found - expected).abs() < 1e-4, "{found} instead of {expected}");
    }
}

fn contrast(one: &str, other: &str) -> f64 {
    let light = |hex: &str| {
        let [r, g, b] = linear(hex);
        0.2126 * r + 0.7152 * g + 0.0722 * b + 0.05
    };
    let (one, other) = (light(one), light(other));
    one.max(other) / one.min(other)
}

/// The colours of a page: those of light, and those of dark.
fn schemes(page: &str) -> [Scheme<'_>; 2] {
    let (light, rest) = page.split_once("@media (prefers-color-scheme: dark)").expect("dark");
    let dark = rest.split_once("* {").expect("the end of the colours").0;
    [Scheme("light", light), Scheme("dark", dark)]
}

struct Scheme<'a>(&'static str, &'a str);

impl Scheme<'_> {
    fn colour(&self, name: &str) -> Option<&str> {
        self.1.split_once(&format!("--{name}: "))?.1.get(..7)
    }

    fn named(&self, name: &str) -> &str {
        self.colour(name).unwrap_or_else(|| panic!("no colour {name} in {}", self.0))
    }

    fn backgrounds(&self) -> [&str; 2] {
        [self.named("back"), self.named("card")]
    }
}

pub fn assert_series_differ(page: &str) {
    for scheme in schemes(page) {
        let series: Vec<&str> = (0..).map_while(|n| scheme.colour(&format!("s{n}"))).collect();
        assert!(series.len() >= 12, "{}: {series:?}", scheme.0);
        for (n, one) in series.iter().enumerate() {
            for other in &series[..n] {
                for (sight, matrix) in &SIGHTS {
                    let as_seen = |hex: &str| lab(seen(linear(hex), matrix));
                    let difference = delta_e_2000(as_seen(one), as_seen(other));
                    let name = scheme.0;
                    assert!(difference > 10.0, "{name}, {sight}: {one} {other} {difference:.1}");
                }
            }
            for background in scheme.backgrounds() {
                let contrast = contrast(one, background);
                assert!(contrast >= 3.0, "{one} on {background}: {contrast:.2}");
            }
        }
    }
}

pub fn assert_text_is_legible(page: &str) {
    for scheme in schemes(page) {
        for name in ["text", "quiet", "warn", "link"] {
            for background in scheme.backgrounds() {
                let contrast = contrast(scheme.named(name), background);
                assert!(contrast >= 4.5, "{}: {name} on {background}: {contrast:.2}", scheme.0);
            }
        }
        for span in ["serve", "slow"] {
            let contrast = contrast(scheme.named(span), scheme.named("back"));
            assert!(contrast >= 4.5, "{}: numbers on {span}: {contrast:.2}", scheme.0);
        }
    }
}
