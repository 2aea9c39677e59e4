//! What is seen while it runs: one line on a terminal, nothing in a pipe.

use benches::load::engine::Watcher;
use benches::load::observe::{self, Observer};
use benches::load::recording::{Interval, Latencies, Totals};
use benches::text;
use std::collections::BTreeMap;
use std::io::{self, IsTerminal};
use std::time::{Duration, Instant};

/// The line is drawn anew after so many intervals.
const EVERY: usize = 5;

/// The one who watches.
pub struct Live {
    observer: Option<Observer>,
    origin: Option<Instant>,
    /// The length of the run, in seconds.
    length: f64,
    terminal: bool,
    intervals: usize,
    /// Requests since the line was last drawn, and when that was.
    done: u64,
    drawn: f64,
    percentiles: String,
}

impl Live {
    /// For a run of this length; with an observer, the server is shown as well.
    pub fn new(observer: Option<Observer>, length: Duration) -> Live {
        let terminal = io::stderr().is_terminal();
        if terminal {
            eprint!("warming up");
        }
        let length = length.as_secs_f64();
        Live {
            observer,
            origin: None,
            length,
            terminal,
            intervals: 0,
            done: 0,
            drawn: 0.0,
            percentiles: String::new(),
        }
    }

    /// Clears the line; gives back the observer, and when the warm-up was over.
    pub fn end(self) -> (Option<Observer>, Option<Instant>) {
        if self.terminal {
            eprint!("\r\x1b[K");
        }
        (self.observer, self.origin)
    }

    fn is_due(&self) -> bool {
        self.terminal && (self.intervals + 1).is_multiple_of(EVERY)
    }

    fn server(&self) -> String {
        let Some(sample) = self.observer.as_ref().and_then(Observer::latest) else {
            return String::new();
        };
        let memory = sample.pss + sample.page_tables + sample.kernel_stacks;
        format!(
            " | server: {} processes, {} threads, {:.1} MiB",
            sample.processes,
            sample.threads,
            memory as f64 / 1024.0 / 1024.0
        )
    }
}

impl Watcher for Live {
    fn started(&mut self, at: Instant) {
        self.origin = Some(at);
        if let Some(observer) = &self.observer {
            observer.look_at_threads();
        }
    }

    fn latencies(&mut self, so_far: &Latencies) {
        if self.is_due() {
            let show =
                |percentile| text::duration(Duration::from_nanos(so_far.percentile(percentile)));
            self.percentiles =
                format!("p50 {}, p99 {}, max {}", show(50.0), show(99.0), show(100.0));
        }
    }

    fn interval(&mut self, interval: &Interval, _: &Totals, errors: &BTreeMap<String, u64>) {
        // While all clients are still there.
        let period = observe::PERIOD.as_secs_f64();
        let (from, to) = (self.length - 1.5 * period, self.length - 0.5 * period);
        if let Some(observer) = &self.observer
            && (from..to).contains(&interval.at)
        {
            observer.look_at_all();
        }
        self.done += interval.done;
        if self.is_due() {
            let rate = self.done as f64 / (interval.at - self.drawn).max(1e-3);
            let errors: u64 = errors.values().sum();
            eprint!(
                "\r\x1b[K{:.1} s: {}, {}, {errors} errors{}",
                interval.at,
                text::rate(rate),
                self.percentiles,
                self.server()
            );
            self.done = 0;
            self.drawn = interval.at;
        }
        self.intervals += 1;
    }
}
