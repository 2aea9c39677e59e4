//! The server from outside: what `/proc` shows of its process tree, up to ten times a second.
//!
//! Any server can be sampled, since the sampler needs nothing from it but its process id. Some figures are
//! cheap to read and some are not: for PSS the kernel walks page tables, and context switches have to be
//! read from every thread. Each of these two expensive reads waits until its share of the time is below
//! 1%, and so does a sample as a whole, which reads a file of every process. Between two reads the last figures
//! stand. With few processes that is every time; with 1,000 of them a sample is taken about once a second, and PSS
//! is read every few seconds. There are more reads at the moments that count, when [`Sampler::sample_threads`],
//! [`Sampler::sample_all`] and [`Sampler::sample_all_now`] ask for them. The last of these falls after what is measured,
//! since it keeps the generator from running.
//!
//! The kernel samples whether a process is in user or in kernel mode, once per tick: the split of the CPU time of a process
//! that lives for less than some ticks is chance. Its sum is right. So the split is that of the server's control group
//! (`control_group`), which holds the samples of all its processes. Where the server has none of its own, the split is taken
//! from the processes that have used enough CPU time, and the rest is reported as [`Sample::unsplit`].
//!
//! Not visible from outside, and so not in the figures, are the switches and waits of threads and processes
//! that live for less than the time between two samples. Their CPU time and page faults *are* counted as
//! soon as a process waits for them. The listen queue's overflows are those of all sockets in the server's
//! network namespace: the kernel counts no other way.

mod budget;
mod memory;
mod probe;
mod threads;
mod tree;

#[cfg(test)]
mod tests;

use super::recording::Sample;
use crate::{Placement, procfs};
use probe::Probe;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, pidfd_open};
use std::io;
use std::mem;
use std::os::fd::OwnedFd;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

/// The time between two samples, at the least.
pub const PERIOD: Duration = Duration::from_millis(100);

/// The part of a core that each expensive read may take, and all others together.
pub(crate) const CPU_BUDGET: f64 = 0.01;

/// How long [`Sampler::sample_all_now`] waits: the memory of a thousand large processes takes a second.
const LONGEST: Duration = Duration::from_secs(10);

/// Takes samples of a server in a thread of its own, until it is dropped.
#[derive(Debug)]
pub struct Sampler {
    /// Of the server.
    pidfd: Option<OwnedFd>,
    shared: Arc<Shared>,
    thread: Option<JoinHandle<TimeSeries>>,
}

/// The samples of a server over a run.
#[derive(Clone, Debug, Default)]
pub struct TimeSeries {
    /// When sampling began.
    begin: Option<Instant>,
    /// Which of the samples were asked for.
    requested: Vec<usize>,
    /// The first of all, before any client connected.
    pub first: Sample,
    /// In the order of time.
    pub samples: Vec<Sample>,
    /// The CPU time that sampling took.
    cpu_time: Duration,
    /// How long was sampled.
    duration: Duration,
}

impl TimeSeries {
    /// The share of a core that sampling took.
    pub fn cpu_share(&self) -> f64 {
        self.cpu_time.as_secs_f64() / self.duration.as_secs_f64().max(1e-9)
    }

    /// The samples from the one nearest to `from` to the one nearest to `to`, on an axis that begins at `from`.
    pub fn between(&self, from: f64, to: f64) -> Vec<Sample> {
        let nearest = |at: f64| {
            let distance = |sample: &Sample| ((sample.at - at).abs() * 1e9) as u64;
            (0..self.samples.len()).min_by_key(|&nth| distance(&self.samples[nth]))
        };
        let (Some(first), Some(last)) = (nearest(from), nearest(to)) else { return Vec::new() };
        let shifted = |sample: &Sample| Sample { at: sample.at - from, ..*sample };
        self.samples[first..=last.max(first)].iter().map(shifted).collect()
    }
}

#[derive(Debug, Default)]
struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    over: bool,
    latest: Option<Sample>,
    scope: Scope,
    /// How many samples were asked for.
    asked: u64,
    /// How many of them have been taken.
    taken: u64,
}

/// What is read whether or not it is due.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
enum Scope {
    #[default]
    Due,
    Threads,
    All,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Sampler {
    /// Samples `root` and its descendants from the generator's core. The first sample is taken when this
    /// returns: clients that connect afterwards are no part of it.
    ///
    /// # Errors
    ///
    /// There is no such process, or no thread can be started.
    pub fn start(root: Pid, placement: Placement) -> io::Result<Sampler> {
        let shared = Arc::new(Shared::default());
        let mut probe = Probe::new(root)?;
        let begin = Instant::now();
        let first = probe.sample(0.0, Scope::All);
        shared.lock().latest = Some(first);
        let (theirs, builder) = (shared.clone(), thread::Builder::new().name("sampler".into()));
        // A thread begins on the cores of the one that starts it.
        let thread = placement
            .on_client_core(|| builder.spawn(move || sample(probe, begin, first, &theirs)))?;
        let pidfd = pidfd_open(root, PidfdFlags::empty()).ok();
        Ok(Sampler { pidfd, shared, thread: Some(thread) })
    }

    /// Whether the server's first process has ended.
    pub fn server_has_exited(&self) -> bool {
        let Some(pidfd) = &self.pidfd else { return false };
        let mut fds = [PollFd::new(pidfd, PollFlags::IN)];
        matches!(poll(&mut fds, Some(&Timespec::default())), Ok(1))
    }

    /// The last sample, if there is one; its time counts from the beginning of sampling.
    pub fn latest(&self) -> Option<Sample> {
        self.shared.lock().latest
    }

    /// Takes a last sample, ends sampling and puts all on the axis that begins at `origin`.
    ///
    /// Of the samples before that only the last is kept: it is what the sums of the others count from.
    pub fn finish(mut self, origin: Instant) -> TimeSeries {
        let mut series = self.end();
        let begin = series.begin.unwrap_or(origin);
        let shift = origin.saturating_duration_since(begin).as_secs_f64();
        series.samples.iter_mut().for_each(|sample| sample.at -= shift);
        series.first = series.samples.first().copied().unwrap_or_default();
        // Best is one that was asked for at that moment: all of it is of that moment.
        let soon = PERIOD.as_secs_f64() * 1.5;
        let beginning = |at: f64| (0.0..soon).contains(&at);
        let requested = series.requested.iter().find(|&&nth| beginning(series.samples[nth].at));
        let before = series.samples.iter().take_while(|sample| sample.at <= 0.0).count();
        let begin = requested.copied().unwrap_or(before.saturating_sub(1));
        series.samples.drain(..begin);
        series
    }

    /// Has the counts of every thread sampled now. Returns at once.
    pub fn sample_threads(&self) {
        self.request(Scope::Threads);
    }

    /// Has everything sampled now, memory too. Returns at once.
    pub fn sample_all(&self) {
        self.request(Scope::All);
    }

    /// Samples everything, memory too. Returns when that is done.
    pub fn sample_all_now(&self) {
        let asked = self.request(Scope::All);
        let state = self.shared.lock();
        let missing = |state: &mut State| state.taken < asked;
        let waited = self.shared.changed.wait_timeout_while(state, LONGEST, missing);
        drop(waited);
    }

    /// Returns the number of this request, from 1.
    fn request(&self, scope: Scope) -> u64 {
        let mut state = self.shared.lock();
        state.scope = state.scope.max(scope);
        state.asked += 1;
        self.shared.changed.notify_all();
        state.asked
    }

    fn end(&mut self) -> TimeSeries {
        self.shared.lock().over = true;
        self.shared.changed.notify_all();
        let thread = self.thread.take();
        thread.and_then(|thread| thread.join().ok()).unwrap_or_default()
    }
}

impl Drop for Sampler {
    fn drop(&mut self) {
        let _ = self.end();
    }
}

fn sample(mut probe: Probe, begin: Instant, first: Sample, shared: &Shared) -> TimeSeries {
    let mut series =
        TimeSeries { samples: vec![first], requested: vec![0], ..TimeSeries::default() };
    let mut due = begin;
    let mut over = false;
    while !over {
        // Samples that were missed are not made up for.
        due = (due + probe.period()).max(Instant::now());
        let mut state = shared.lock();
        loop {
            let wait = due.saturating_duration_since(Instant::now());
            if state.over || state.scope != Scope::Due || wait.is_zero() {
                break;
            }
            let (next, _) =
                shared.changed.wait_timeout(state, wait).unwrap_or_else(PoisonError::into_inner);
            state = next;
        }
        over = state.over;
        // The last sample is a full one: the sums must be those of the end.
        let scope = if over { Scope::All } else { mem::take(&mut state.scope) };
        let asked = state.asked;
        drop(state);
        let sample = probe.sample(begin.elapsed().as_secs_f64(), scope);
        if scope != Scope::Due {
            series.requested.push(series.samples.len());
        }
        series.samples.push(sample);
        let mut state = shared.lock();
        (state.latest, state.taken) = (Some(sample), asked);
        shared.changed.notify_all();
    }
    series.begin = Some(begin);
    series.duration = begin.elapsed();
    series.cpu_time = own_cpu_time();
    series
}

/// The CPU time of the calling thread.
fn own_cpu_time() -> Duration {
    let times = procfs::schedule_times("/proc/thread-self", &mut Vec::new());
    times.map_or(Duration::ZERO, |(run, _)| run)
}
