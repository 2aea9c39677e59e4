//! The load itself: one thread, one epoll, no system call too many.
//!
//! A request on a live connection costs one `send` and one `recv` and its share of an `epoll_wait`. Each
//! connection is registered once, edge-triggered; a `recv` that fills less than the buffer has emptied the
//! socket, so none is made to hear that there is nothing.
//!
//! What counts:
//!
//! - A request belongs to what is measured if it was *planned* between the end of the warm-up and the end
//!   of the run. At the end nothing more is sent, and what is in flight is waited for: leaving out the
//!   slow ones would flatter the percentiles.
//! - In an open loop the response time begins at the planned moment, the service time at the sending. Where a
//!   connection must be made for a request, that is part of both.
//! - An arrival of an open loop that finds every connection busy has a new one made, up to the number of requests
//!   that may be in flight. An arrival beyond that is dropped and counted. It is not sent later.
//! - The rate of a closed loop counts a request that is under way at the beginning or the end with the share of its
//!   time that lies within. Where no request began within, those that span the whole are measured.
//! - A reply counts in the interval in which it came, by the clock, and in none if that is after the end.
//! - Slow clients are a load on the server, not a sample of it: their requests are in no latency and in no
//!   rate. Their errors, bytes and their own counts (`per_client`) are recorded. They always work in a
//!   closed loop, and the timeout is not for them.
//! - An error counts when it happens, whenever its request was sent.
//! - Requests that were sent behind a reply after which the server closes, as it has announced, are sent again on the next
//!   connection (RFC 9112, 9.6). Their response time still begins at the planned moment.
//! - A server that refuses connections is tried again every few milliseconds, up to the workload's timeout. What clients
//!   are to send waits meanwhile.
//!
//! A run may have a profile: steps or a ramp, in which clients are added to those that live, or the rate
//! rises. Each of its phases has a recording of its own. The load does not pause between two of
//! them, so a reply may come when its phase is over; it counts where its request was planned, and an
//! error in a warm-up where its request belongs.

mod ceiling;
mod client;
mod clients;
mod incidents;
mod measurement;
mod network;
mod phases;
mod requests;
mod target;
mod traffic;
mod usage;

#[cfg(test)]
mod tests;

pub use ceiling::{Ceiling, null_ceiling};
pub use target::Target;

use super::latencies::Latencies;
use super::recording::{Environment, Interval, Recording, Totals};
use super::workload::{Phase, Profile, Workload};
use client::Stage;
use rustix::io::Errno;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use std::collections::BTreeMap;
use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use traffic::Traffic;
use usage::Usage;

/// The length of an [`Interval`] and of everything that is not urgent, in nanoseconds.
const TICK: u64 = 100_000_000;

/// How often slow clients read, in nanoseconds.
const SLOW_TICK: u64 = 50_000_000;

/// How often a ramp adds clients, in nanoseconds.
const RAMP_TICK: u64 = 10_000_000;

/// The most connections that are being made at once: less than any listen queue.
const CONNECTING: usize = 100;

/// Descriptors for everything but connections.
const SPARE_DESCRIPTORS: u64 = 64;

/// All that a run needs.
pub struct Run<'a> {
    /// What is asked.
    pub workload: &'a Workload,
    /// The server.
    pub target: &'a Target,
    /// Set from elsewhere, it ends the run; what was measured until then is the result.
    pub stop: &'a AtomicBool,
    /// Sees how the run goes.
    pub watcher: Option<&'a mut dyn Watcher>,
    /// Goes into the recording as it is.
    pub environment: Environment,
}

/// Sees how a run goes. Called in the generator's own thread, so it must be quick.
pub trait Watcher {
    /// The warm-up is over at `at`, the zero of all times in the recording. Of a run in steps that is so
    /// once for every step.
    fn started(&mut self, at: Instant);

    /// The load is about to become that of another phase, with this number from 0.
    fn phase(&mut self, number: usize, phase: &Phase) {
        let _ = (number, phase);
    }

    /// What is measured is over, or one phase of it.
    fn ended(&mut self) {}

    /// The run is over, and the clients are still connected. This one may take its time.
    fn drained(&mut self) {}

    /// A tenth of a second has passed. The totals and errors are those so far.
    fn interval(&mut self, interval: &Interval, totals: &Totals, errors: &BTreeMap<String, u64>) {
        let _ = (interval, totals, errors);
    }

    /// Whether the server is known to have ended. Asked while no client can connect.
    fn server_has_exited(&mut self) -> bool {
        false
    }

    /// Called just before `interval`: the response times so far, and how many requests were not answered, which rank
    /// above all of them.
    fn latencies(&mut self, so_far: &Latencies, unanswered: u64) {
        let _ = (so_far, unanswered);
    }
}

/// Why there is nothing to record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RunError {
    /// No connection could be made.
    Unreachable(String),
    /// The workload cannot be run: contradictory, or beyond what the system allows.
    Unusable(String),
}

impl fmt::Display for RunError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            RunError::Unreachable(why) | RunError::Unusable(why) => f.write_str(why),
        }
    }
}

impl std::error::Error for RunError {}

/// Runs a workload.
///
/// A server that ends in mid-run ends the run, if it is not back within the workload's timeout: the recording has what was
/// measured, and `invalid` says so.
///
/// # Errors
///
/// The server cannot be reached at all, or the workload cannot be run.
pub fn run(run: Run<'_>) -> Result<Recording, RunError> {
    if run.workload.profile != Profile::Steady {
        return Err(RunError::Unusable("steps and ramps have more than one recording".into()));
    }
    let recordings = run_phases(run)?;
    recordings.into_iter().next().ok_or_else(|| RunError::Unusable("nothing was run".into()))
}

/// Runs a workload with any profile. Returns a recording for each phase that was begun, in the order of
/// [`Workload::phases`].
///
/// # Errors
///
/// As [`run`].
pub fn run_phases(run: Run<'_>) -> Result<Vec<Recording>, RunError> {
    run.workload.validate().map_err(RunError::Unusable)?;
    raise_descriptor_limit(run.workload.most_connections())?;
    let mut engine = Engine::new(run.workload, run.target, run.stop)?;
    engine.connect_all()?;
    engine.load(run.watcher)?;
    Ok(engine.into_recordings(&run.environment))
}

/// [`Workload::default_in_flight`], where the system allows as many descriptors: the server may need two for each
/// connection, one of them for a file.
pub fn affordable_in_flight(workload: &Workload) -> Option<usize> {
    let most = getrlimit(Resource::Nofile).maximum.unwrap_or(u64::MAX);
    let affordable = most.saturating_sub(SPARE_DESCRIPTORS) / 2;
    let affordable = usize::try_from(affordable).unwrap_or(usize::MAX);
    Some(workload.default_in_flight()?.min(affordable.max(1)))
}

/// Every connection is a descriptor.
fn raise_descriptor_limit(connections: usize) -> Result<(), RunError> {
    let needed = connections as u64 + SPARE_DESCRIPTORS;
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    if current.is_none_or(|current| current >= needed) {
        return Ok(());
    }
    if maximum.is_none_or(|maximum| maximum >= needed)
        && setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum }).is_ok()
    {
        return Ok(());
    }
    let limit = maximum.unwrap_or(0);
    let why = format!("{connections} connections need {needed} descriptors, the limit is {limit}");
    Err(RunError::Unusable(why))
}

/// A run: when its phases begin and end, how many clients work, and when what is not urgent is due.
struct Engine<'a> {
    workload: &'a Workload,
    target: &'a Target,
    /// Which of the target's addresses is used.
    address_note: Option<String>,
    stop: &'a AtomicBool,
    traffic: Traffic,
    /// When the clients that are being added are no longer waited for.
    connect_deadline: u64,
    next_tick: u64,
    next_slow_tick: u64,
    next_ramp_tick: u64,
}

impl<'a> Engine<'a> {
    fn new(
        workload: &'a Workload,
        target: &'a Target,
        stop: &'a AtomicBool,
    ) -> Result<Engine<'a>, RunError> {
        let target::Choice { addr, note } = target.choose(workload.timeout)?;
        Ok(Engine {
            workload,
            target,
            address_note: note,
            stop,
            traffic: Traffic::new(workload, target, addr)?,
            connect_deadline: 0,
            next_tick: 0,
            next_slow_tick: 0,
            next_ramp_tick: 0,
        })
    }

    fn stopped(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }

    /// Makes all connections that the run begins with.
    fn connect_all(&mut self) -> Result<(), RunError> {
        let traffic = &mut self.traffic;
        if traffic.requests.connect_each() {
            return Ok(());
        }
        let deadline = traffic.now() + nanos(self.workload.timeout);
        let mut next = 0;
        // Requests are not begun before all connections are made.
        traffic.draining = true;
        loop {
            while next < traffic.clients.active() && traffic.clients.connecting < CONNECTING {
                traffic.connect(next);
                next += 1;
            }
            let now = traffic.now();
            let made = traffic.clients.connecting == 0 && next == traffic.clients.active();
            if made || self.stop.load(Ordering::Relaxed) {
                break;
            }
            // At least one look: a process that did not get to run may have been connected long since.
            traffic.wait(TICK.min(deadline.saturating_sub(now)))?;
            if now >= deadline {
                break;
            }
        }
        traffic.draining = false;
        match self.traffic.refused {
            _ if self.traffic.ever_open => Ok(()),
            Some(errno) => Err(self.unreachable(errno)),
            None if self.stopped() => Ok(()),
            None => Err(self.unreachable(Errno::TIMEDOUT)),
        }
    }

    fn unreachable(&self, errno: Errno) -> RunError {
        self.target.unreachable(self.traffic.addr, errno)
    }

    /// The run itself: warm-up, what is measured, and the wait for what is in flight.
    fn load(&mut self, mut watcher: Option<&mut dyn Watcher>) -> Result<(), RunError> {
        let start = self.traffic.now();
        self.traffic.requests.start(start);
        (self.next_tick, self.next_slow_tick, self.next_ramp_tick) = (start, start, start);
        self.begin_phase(start, &mut watcher);
        self.refill_all();
        loop {
            let mut now = self.traffic.now();
            if self.ramps() && now >= self.next_ramp_tick {
                self.next_ramp_tick = now + RAMP_TICK;
                self.follow_ramp(now);
            }
            self.start_clients(now);
            if !self.traffic.phases.warmed_up && now >= self.traffic.phases.current.begin {
                self.begin_measurement(now, &mut watcher);
            }
            let over = self.stopped() || self.traffic.server_ended;
            if !self.traffic.draining && (now >= self.traffic.phases.current.end || over) {
                if !over {
                    self.traffic.dispatch(now); // those that are due are still of this phase
                }
                if !over {
                    self.traffic.measure_spanning();
                }
                let usage = self.traffic.phases.warmed_up.then(Usage::now);
                self.traffic.phases.current.stop(now, usage);
                self.show_intervals(&mut watcher);
                if let Some(watcher) = &mut watcher {
                    watcher.ended();
                }
                if over || self.traffic.phases.is_last() {
                    self.traffic.draining = true;
                } else {
                    self.next_phase(&mut watcher);
                    continue;
                }
            }
            if self.traffic.draining && (over || self.traffic.outstanding == 0) {
                if let Some(watcher) = &mut watcher {
                    watcher.drained();
                }
                break;
            }
            self.traffic.dispatch(now);
            if now >= self.next_tick {
                self.traffic.check_times(now);
                if self.traffic.is_away()
                    && watcher.as_mut().is_some_and(|watcher| watcher.server_has_exited())
                {
                    self.traffic.give_up();
                }
                self.next_tick += TICK * ((now - self.next_tick) / TICK + 1);
                if self.traffic.phases.warmed_up {
                    self.traffic.phases.current.end_intervals(now);
                    self.show_intervals(&mut watcher);
                }
            }
            if now >= self.next_slow_tick {
                self.next_slow_tick = now + SLOW_TICK;
                self.traffic.read_slowly(self.workload.slow_rate as f64 * SLOW_TICK as f64 / 1e9);
            }
            now = self.traffic.now();
            self.traffic.wait(self.next_event().saturating_sub(now))?;
        }
        match self.traffic.refused {
            Some(errno) if !self.traffic.ever_open => Err(self.unreachable(errno)),
            _ => Ok(()),
        }
    }

    /// When something is due, if no socket has an event before.
    fn next_event(&self) -> u64 {
        let Traffic { clients, phases, requests, draining, .. } = &self.traffic;
        let mut until = self.next_tick;
        if !clients.slow().is_empty() {
            until = until.min(self.next_slow_tick);
        }
        if !draining {
            until = until.min(phases.current.end);
            if let Some(arrival) = requests.next_arrival() {
                until = until.min(arrival);
            }
            if self.ramps() {
                until = until.min(self.next_ramp_tick);
            }
        }
        if !phases.warmed_up {
            until = until.min(phases.current.begin);
        }
        until
    }

    /// Whether clients are added one by one.
    fn ramps(&self) -> bool {
        self.traffic.phases.is_ramp() && !self.traffic.requests.is_open_loop()
    }

    fn refill_all(&mut self) {
        (0..self.traffic.clients.active()).for_each(|client| self.traffic.refill(client));
    }

    /// Begins the warm-up of the current phase, at `from`.
    fn begin_phase(&mut self, from: u64, watcher: &mut Option<&mut dyn Watcher>) {
        let phases = &self.traffic.phases;
        let phase = phases.phase();
        if let Some(watcher) = watcher {
            watcher.phase(phases.number(), phase);
        }
        if !self.traffic.requests.is_open_loop() && phases.clients_come_at_once() {
            let (clients, now) = (phase.from as usize, self.traffic.now());
            self.connect_deadline = now + nanos(self.workload.timeout);
            self.resize(clients);
            self.traffic.phases.current.totals.connections_asked = clients as u64;
            if !self.traffic.clients.all_started() {
                // It begins when they are connected.
                self.traffic.phases.postpone();
                return self.start_clients(now);
            }
        }
        self.traffic.phases.set_window(from);
    }

    /// Begins to measure the current phase.
    fn begin_measurement(&mut self, now: u64, watcher: &mut Option<&mut dyn Watcher>) {
        // In an open loop the requests of a late beginning are planned already.
        if !self.traffic.requests.is_open_loop() && self.traffic.phases.begin_late(now) {
            // Clients may have stopped at the end that was planned before.
            self.refill_all();
        }
        self.traffic.phases.warmed_up = true;
        self.traffic.phases.current.start(Usage::now());
        self.traffic.clients.reset_finished();
        let begin = self.traffic.phases.current.begin;
        self.next_tick = begin + TICK;
        if let Some(watcher) = watcher {
            watcher.started(self.traffic.instant(begin));
        }
    }

    /// Goes on to the next phase.
    fn next_phase(&mut self, watcher: &mut Option<&mut dyn Watcher>) {
        let end = self.traffic.phases.current.end;
        let active = self.traffic.clients.active();
        self.traffic.close_phase(active);
        self.traffic.phases.advance(active);
        self.begin_phase(end, watcher);
    }

    /// Has so many clients work from now on.
    fn resize(&mut self, clients: usize) {
        let before = self.traffic.clients.resize(clients);
        for client in clients..before {
            // Those that have nothing under way go at once, the others when they have their replies.
            self.traffic.retire(client);
        }
    }

    /// Connects clients that are new, not too many at once, and begins the phase when all are connected.
    fn start_clients(&mut self, now: u64) {
        let traffic = &mut self.traffic;
        if traffic.draining {
            return;
        }
        while traffic.clients.connecting < CONNECTING
            && let Some(client) = traffic.clients.start_next()
        {
            if traffic.requests.connect_each() {
                traffic.refill(client);
            } else if traffic.clients[client].stage == Stage::Closed {
                traffic.connect(client);
            }
        }
        let connected = traffic.clients.all_started()
            && (traffic.clients.connecting == 0 || traffic.requests.connect_each());
        if traffic.phases.is_postponed() && (connected || now >= self.connect_deadline) {
            traffic.phases.set_window(now);
        }
    }

    /// Has as many clients work as the ramp has at this moment.
    fn follow_ramp(&mut self, now: u64) {
        if self.traffic.draining {
            return;
        }
        if let Some(clients) = self.traffic.phases.ramp_clients(now)
            && clients != self.traffic.clients.active()
        {
            self.resize(clients);
            let asked = &mut self.traffic.phases.current.totals.connections_asked;
            *asked = (*asked).max(clients as u64);
        }
    }

    /// Shows the watcher the intervals that it has not seen.
    fn show_intervals(&mut self, watcher: &mut Option<&mut dyn Watcher>) {
        let Some(watcher) = watcher else { return };
        while let Some(interval) = self.traffic.phases.current.show_next() {
            let current = &self.traffic.phases.current;
            watcher.latencies(&current.response, current.unanswered());
            watcher.interval(&interval, &self.traffic.totals(), &current.named_errors());
        }
    }

    fn into_recordings(mut self, environment: &Environment) -> Vec<Recording> {
        let asked = self.traffic.phases.current.totals.connections_asked;
        self.traffic.close_phase(asked as usize);
        let open_loop = self.traffic.requests.is_open_loop();
        let stopped = self.stopped();
        let Traffic { phases, server_ended, addr, .. } = self.traffic;
        let mut recordings =
            phases.into_recordings(&self.target.name, environment, open_loop, server_ended);
        if !stopped {
            incidents::explain_silence(&mut recordings, addr);
        }
        for recording in &mut recordings {
            recording.notes.extend(self.address_note.clone());
        }
        recordings
    }
}

fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX / 4)
}
