//! What is seen while it runs: one line on a terminal, nothing in a pipe.

use benches::load::engine::Watcher;
use benches::load::latencies::Latencies;
use benches::load::recording::{Interval, Totals};
use benches::load::sampler::Sampler;
use benches::load::workload::{Phase, Workload};
use benches::text;
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// The line is drawn anew after so many intervals.
const EVERY: usize = 5;

/// The one who watches.
pub struct Live {
    sampler: Option<Sampler>,
    /// When the warm-up was over, that of the first step.
    origin: Option<Instant>,
    /// What stands first in the line: which step it is.
    step: String,
    steps: usize,
    /// How wide the terminal is; none if there is none.
    terminal: Option<usize>,
    intervals: usize,
    /// Requests since the line was last drawn, and when that was.
    done: u64,
    drawn: f64,
    percentiles: Vec<Part>,
}

impl Live {
    /// For a run of this workload; with a sampler, the server is shown as well.
    pub fn new(sampler: Option<Sampler>, workload: &Workload) -> Live {
        Live {
            terminal: text::terminal_width(),
            sampler,
            origin: None,
            step: String::new(),
            steps: workload.phases().len(),
            intervals: 0,
            done: 0,
            drawn: 0.0,
            percentiles: Vec::new(),
        }
    }

    /// Clears the line; gives back the sampler, and when the warm-up was over.
    pub fn end(self) -> (Option<Sampler>, Option<Instant>) {
        if self.terminal.is_some() {
            text::progress("");
        }
        (self.sampler, self.origin)
    }

    fn draw(&self, parts: &[Part]) {
        let Some(width) = self.terminal else { return };
        text::progress(&fitting(parts, width.saturating_sub(1)));
    }

    fn is_due(&self) -> bool {
        self.terminal.is_some() && (self.intervals + 1).is_multiple_of(EVERY)
    }

    fn server(&self) -> Option<Part> {
        let sample = self.sampler.as_ref().and_then(Sampler::latest)?;
        let memory = (sample.pss + sample.page_tables + sample.kernel_stacks) as f64;
        let mib = memory / 1024.0 / 1024.0;
        let (processes, threads) = (sample.processes, sample.threads);
        let plural = |count: u64, one: &str, many: &str| match count {
            1 => format!("1 {one}"),
            n => format!("{n} {many}"),
        };
        let long = format!(
            "{}, {}, {mib:.1} MiB",
            plural(processes, "process", "processes"),
            plural(threads, "thread", "threads")
        );
        Some((long, format!("{processes}p {threads}t {mib:.1}MiB")))
    }
}

/// A part of the line, and the same in few letters.
type Part = (String, String);

fn part(text: String) -> Part {
    let short = text.replace(' ', "");
    (text, short)
}

/// All parts if there is room for them, or else the short ones, as many as fit: a line that is broken could
/// not be taken back.
fn fitting(parts: &[Part], width: usize) -> String {
    let length = |text: &str| text.chars().count();
    let parts: Vec<&Part> = parts.iter().filter(|(text, _)| !text.is_empty()).collect();
    let long: Vec<&str> = parts.iter().map(|(text, _)| text.as_str()).collect();
    let whole = long.join("  ");
    if length(&whole) <= width {
        return whole;
    }
    let mut line = String::new();
    for (_, short) in parts {
        let gap = if line.is_empty() { "" } else { " " };
        if length(&line) + gap.len() + length(short) > width {
            break;
        }
        line += gap;
        line += short;
    }
    line
}

impl Watcher for Live {
    fn server_has_exited(&mut self) -> bool {
        self.sampler.as_ref().is_some_and(Sampler::server_has_exited)
    }

    fn started(&mut self, at: Instant) {
        self.origin.get_or_insert(at);
        (self.intervals, self.done, self.drawn) = (0, 0, 0.0);
        if let Some(sampler) = &self.sampler {
            sampler.sample_threads();
        }
    }

    fn phase(&mut self, number: usize, phase: &Phase) {
        if self.steps > 1 {
            self.step = format!("{}/{} ({:.0})", number + 1, self.steps, phase.to);
        }
        self.draw(&[part(self.step.clone()), ("warming up".into(), "warming up".into())]);
    }

    fn ended(&mut self) {
        if let Some(sampler) = &self.sampler
            && self.steps > 1
        {
            sampler.sample_all();
        }
    }

    fn drained(&mut self) {
        if let Some(sampler) = &self.sampler {
            sampler.sample_all_now();
        }
    }

    fn latencies(&mut self, so_far: &Latencies, unanswered: u64) {
        if self.is_due() {
            let show = |name: &str, percentile| {
                let found = so_far.percentile_below(percentile, unanswered);
                let above = if found == Some(f64::INFINITY) { "> " } else { "" };
                let nanos = found.filter(|nanos| nanos.is_finite()).map(|nanos| nanos as u64);
                let time = Duration::from_nanos(nanos.unwrap_or(so_far.0.max()));
                let time = format!("{above}{}", text::duration(time));
                (format!("{name} {time}"), format!("{name} {}", time.replace(' ', "")))
            };
            self.percentiles = vec![show("p50", 50.0), show("p99", 99.0), show("max", 100.0)];
        }
    }

    fn interval(&mut self, interval: &Interval, _: &Totals, errors: &BTreeMap<String, u64>) {
        self.done += interval.done;
        if self.is_due() {
            let rate = self.done as f64 / (interval.at - self.drawn).max(1e-3);
            let errors: u64 = errors.values().sum();
            let plural = if errors == 1 { "" } else { "s" };
            let mut parts = vec![part(self.step.clone()), part(format!("{:.1} s", interval.at))];
            parts.push(part(text::rate(rate)));
            // What can be spared stands last.
            let mut percentiles = self.percentiles.iter().cloned();
            parts.extend(percentiles.by_ref().take(2));
            parts.push((format!("{errors} error{plural}"), format!("{errors} err")));
            parts.extend(self.server());
            parts.extend(percentiles);
            self.draw(&parts);
            self.done = 0;
            self.drawn = interval.at;
        }
        self.intervals += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::{fitting, part};

    #[test]
    fn line_fits_terminal_width() {
        let parts = ["10.0 s", "", "70.2 k/s", "p50 1.00 ms"].map(|text| part(text.into()));
        assert_eq!(fitting(&parts, 29), "10.0 s  70.2 k/s  p50 1.00 ms");
        assert_eq!(fitting(&parts, 28), "10.0s 70.2k/s p501.00ms");
        assert_eq!(fitting(&parts, 22), "10.0s 70.2k/s");
        assert_eq!(fitting(&parts, 3), "");
        // Signs of more than one byte take one place.
        assert_eq!(fitting(&[part("28.1 µs".into())], 7), "28.1 µs");
    }
}
