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
//! - An arrival that finds every connection busy is dropped and counted. It is not sent later.
//! - Slow clients are a load on the server, not a sample of it: their requests are in no latency and in no
//!   rate. Their errors, bytes and their own counts (`per_client`) are recorded. They always work in a
//!   closed loop, and the timeout is not for them.
//! - An error counts when it happens, whenever its request was sent.
//!
//! A run may have a profile: steps or a ramp, in which clients are added to those that live, or the rate
//! rises. Each of its phases is recorded for itself (`Part`). The load does not pause between two of
//! them, so a reply may come when its phase is over; it counts where its request was planned, and an
//! error in a warm-up where its request belongs.

use super::connection::{Asked, Known, Reader, Reply};
use super::content::{LINE, MOST_NAMES, Upload};
use super::null;
use super::recording::{
    Environment, ErrorKind, Generator, Interval, Latencies, Recording, SCHEMA, Totals,
};
use super::schedule::{Choice, Schedule, Verb};
use super::verdict::{self, Bounds, SERVER_ENDED};
use super::workload::{
    Arrivals, Distribution, Lifetime, Mix, Phase, Profile, Protocol, Sizes, Workload,
};
use nix::sys::socket::{setsockopt, sockopt::IpBindAddressNoPort};
use rustix::buffer::spare_capacity;
use rustix::event::{Timespec, epoll};
use rustix::io::Errno;
use rustix::net::{self, AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, sockopt};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use rustix::time::{ClockId, clock_gettime};
use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::io;
use std::mem;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// The length of an [`Interval`] and of everything that is not urgent, in nanoseconds.
const TICK: u64 = 100_000_000;

/// How often slow clients read, in nanoseconds.
const SLOW_TICK: u64 = 50_000_000;

/// How long a client waits after an error before it connects again, in nanoseconds.
const BACK_OFF: u64 = 100_000_000;

/// So many connections are being made at once at the beginning: less than any listen queue.
const CONNECTING: usize = 100;

/// As much as one `recv` takes.
const BUFFER: usize = 256 * 1024;

/// Uploads up to this size are sent together with their head.
const SMALL_UPLOAD: u64 = 64 * 1024;

/// Source addresses used against a server on this machine. Each has some 28,000 ports, and a port is not free
/// for a minute after its connection has ended.
const SOURCES: u32 = 250;

/// How long a null run lasts, and how many connections it has.
const NULL_RUN: Duration = Duration::from_millis(300);
const NULL_CONNECTIONS: usize = 256;

/// How often a null run is tried in which nothing was done.
const NULL_RUNS: u32 = 5;

/// How often a ramp adds clients, in nanoseconds.
const RAMP_TICK: u64 = 10_000_000;

/// Of a request that belongs to no part of what is measured.
const NO_PART: u32 = u32::MAX;

/// Descriptors for everything but connections.
const SPARE_DESCRIPTORS: u64 = 64;

/// Whom a run talks to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// Where it listens.
    pub addr: SocketAddr,
    /// Its name in reports.
    pub name: String,
}

/// All that a run needs.
pub struct Run<'a> {
    /// What is asked.
    pub workload: &'a Workload,
    /// Of whom.
    pub target: &'a Target,
    /// Set from elsewhere, it ends the run; what was measured until then is the result.
    pub stop: &'a AtomicBool,
    /// Who wants to see how it goes.
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

    /// A tenth of a second has passed. The totals and errors are those so far.
    fn interval(&mut self, interval: &Interval, totals: &Totals, errors: &BTreeMap<String, u64>);

    /// Called just before `interval`: the response times so far.
    fn latencies(&mut self, so_far: &Latencies) {
        let _ = so_far;
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
/// A server that ends in mid-run ends the run: the recording has what was measured, and `invalid` says so.
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

/// Runs a workload that may have a profile; gives a recording for each phase that was begun, in the order of
/// [`Workload::phases`].
///
/// # Errors
///
/// As [`run`].
pub fn run_phases(run: Run<'_>) -> Result<Vec<Recording>, RunError> {
    check(run.workload)?;
    raise_descriptor_limit(run.workload.most_connections())?;
    let mut engine = Engine::new(run.workload, run.target, run.stop)?;
    engine.connect_all()?;
    engine.load(run.watcher)?;
    Ok(engine.into_recordings(&run.environment))
}

/// Whether a workload makes sense.
///
/// # Errors
///
/// What is wrong with it, in a line.
pub fn check(workload: &Workload) -> Result<(), RunError> {
    let unusable = |why: String| Err(RunError::Unusable(why));
    let Mix { get, put, list, hash, quit } = workload.mix;
    if [get, put, list, hash, quit].iter().all(|weight| *weight == 0) {
        return unusable(
            "the mix asks for nothing: give one of its weights a value above 0".into(),
        );
    }
    if workload.protocol == Protocol::Http && (hash > 0 || quit > 0) {
        return unusable("HTTP has no HASH and no QUIT: leave them out of the mix".into());
    }
    if workload.connections == 0 || workload.pipelining == 0 {
        return unusable("at least 1 connection and a pipelining depth of 1 are needed".into());
    }
    if u32::try_from(workload.connections).is_err() {
        return unusable(format!("{} connections are too many", workload.connections));
    }
    if workload.names == 0 || workload.names > MOST_NAMES {
        return unusable(format!("there must be 1 to {MOST_NAMES} names"));
    }
    check_sizes(&workload.sizes)?;
    if !(0.0..=10.0).contains(&workload.zipf) {
        return unusable("the exponent of Zipf's law must be between 0 and 10".into());
    }
    if !(0.0..=1.0).contains(&workload.slow_share) {
        return unusable("the share of slow clients must be between 0 and 1".into());
    }
    if workload.slow_share > 0.0 && workload.slow_rate == 0 {
        return unusable("slow clients must read at least 1 byte per second".into());
    }
    if let Lifetime::Churn { ratio } = workload.lifetime
        && !(0.0..=1.0).contains(&ratio)
    {
        return unusable("the churn ratio must be between 0 and 1".into());
    }
    let levels = match &workload.profile {
        Profile::Steady => workload.arrivals.rate().into_iter().collect(),
        Profile::Steps { levels } => levels.clone(),
        Profile::Ramp { from, to } => vec![*from, *to],
    };
    if workload.profile != Profile::Steady && !(1..=1000).contains(&levels.len()) {
        return unusable("there must be 1 to 1000 steps".into());
    }
    if workload.arrivals == Arrivals::Closed {
        // Levels are connections.
        let whole = |level: &f64| level.fract() == 0.0 && (1.0..=1e9).contains(level);
        if let Some(level) = levels.iter().find(|level| !whole(level)) {
            return unusable(format!("{level} is no number of connections to step to"));
        }
    } else if !levels.iter().all(|rate| *rate > 0.0 && *rate <= 1e8) {
        return unusable("the rate must be above 0 and at most 100,000,000 per second".into());
    }
    if workload.duration.is_zero() || workload.timeout.is_zero() {
        return unusable("duration and timeout must be above 0".into());
    }
    let year = Duration::from_secs(366 * 86_400);
    if [workload.duration, workload.warm_up, workload.timeout].iter().any(|time| *time > year) {
        return unusable("no time may be longer than a year".into());
    }
    Ok(())
}

fn check_sizes(sizes: &Sizes) -> Result<(), RunError> {
    const LARGEST: u64 = 1 << 50;
    let unusable = |why: String| Err(RunError::Unusable(why));
    let (max, fine) = match *sizes {
        Sizes::List(ref sizes) if sizes.is_empty() => {
            return unusable("at least one size of files is needed".into());
        }
        Sizes::List(ref sizes) => (sizes.iter().copied().max().unwrap_or(0), true),
        Sizes::Distribution(Distribution::Lognormal { median, sigma, max }) => {
            (max, (1..=max).contains(&median) && (0.0..=10.0).contains(&sigma))
        }
        Sizes::Distribution(Distribution::Pareto { min, alpha, max }) => {
            (max, (1..=max).contains(&min) && alpha > 0.0 && alpha <= 100.0)
        }
    };
    if max > LARGEST {
        return unusable(format!("files of {max} bytes are too large"));
    }
    if !fine {
        return unusable(
            "a law of sizes needs median or min between 1 and max, sigma of 0 to 10, alpha above 0 to 100"
                .into(),
        );
    }
    Ok(())
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

/// A request that has been sent, or is about to be.
#[derive(Clone, Copy, Debug)]
struct Exchange {
    asked: Asked,
    planned: u64,
    sent: u64,
    /// The number of the part that it is measured in, or [`NO_PART`].
    part: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Closed,
    Connecting,
    Open,
    /// After an error: not to be used for a while.
    Resting,
}

/// A client: one connection after another.
#[derive(Debug)]
struct Slot {
    stage: Stage,
    socket: Option<OwnedFd>,
    /// Tells the events of this connection from those of an earlier one.
    generation: u32,
    pending: VecDeque<Exchange>,
    reader: Reader,
    out: Vec<u8>,
    out_at: usize,
    upload: Option<Upload>,
    /// The last request of this connection is on its way.
    closing: bool,
    /// Sending has failed. What the server has said before that may still be read.
    broken: bool,
    /// Stands in the queue of those that can take a request.
    queued: bool,
    connect_began: u64,
    slow: bool,
    /// A slow client: there may be something to read.
    readable: bool,
    /// A slow client: so much it may read by now.
    budget: f64,
    /// It had a connection, and was not turned away.
    made: bool,
    finished: u64,
}

impl Slot {
    fn new(slow: bool) -> Slot {
        Slot {
            stage: Stage::Closed,
            socket: None,
            generation: 0,
            pending: VecDeque::new(),
            reader: Reader::default(),
            out: Vec::new(),
            out_at: 0,
            upload: None,
            closing: false,
            broken: false,
            queued: false,
            connect_began: 0,
            slow,
            readable: false,
            budget: 0.0,
            made: false,
            finished: 0,
        }
    }
}

/// Why a connection came to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    /// As was agreed.
    Agreed,
    /// Something went wrong: what is pending failed like this.
    Failed(ErrorKind),
}

/// What is measured of one phase.
#[derive(Debug)]
struct Part {
    /// From and to.
    window: (u64, u64),
    totals: Totals,
    errors: BTreeMap<ErrorKind, u64>,
    service: Latencies,
    response: Latencies,
    lag: Latencies,
    /// What the current interval has, or what comes when the part is over.
    interval: Latencies,
    interval_errors: u64,
    intervals: Vec<Interval>,
    /// How many requests each client has finished; known when the part is over.
    per_client: Vec<u64>,
    /// The generator's processor time at the beginning, and over the whole.
    cpu: (f64, f64),
    measured: u64,
}

impl Part {
    fn new(connections: usize) -> Part {
        Part {
            window: (u64::MAX, u64::MAX),
            totals: Totals { connections_asked: connections as u64, ..Totals::default() },
            errors: BTreeMap::new(),
            service: Latencies::new(),
            response: Latencies::new(),
            lag: Latencies::new(),
            interval: Latencies::new(),
            interval_errors: 0,
            intervals: Vec::new(),
            per_client: Vec::new(),
            cpu: (0.0, 0.0),
            measured: 0,
        }
    }

    /// Ends an interval.
    fn note(&mut self, now: u64) -> Interval {
        let interval = Interval {
            at: now.saturating_sub(self.window.0) as f64 / 1e9,
            done: self.interval.0.len(),
            errors: self.interval_errors,
            p50: self.interval.percentile(50.0),
            p99: self.interval.percentile(99.0),
            max: self.interval.0.max(),
        };
        self.intervals.push(interval);
        self.response.merge(&self.interval);
        self.interval.0.reset();
        self.interval_errors = 0;
        interval
    }

    fn has_more(&self) -> bool {
        !self.interval.0.is_empty() || self.interval_errors > 0
    }

    fn named_errors(&self) -> BTreeMap<String, u64> {
        self.errors.iter().map(|(kind, count)| (kind.as_str().to_owned(), *count)).collect()
    }
}

struct Engine<'a> {
    workload: &'a Workload,
    target: &'a Target,
    stop: &'a AtomicBool,
    known: Known,
    epoll: OwnedFd,
    slots: Vec<Slot>,
    /// Clients that can take a request, in an open loop.
    ready: VecDeque<u32>,
    /// Clients that rest, and until when.
    resting: VecDeque<(u64, u32)>,
    slow: Vec<u32>,
    choice: Choice,
    schedule: Option<Schedule>,
    /// Depth of pipelining.
    depth: usize,
    /// Source addresses are rotated, and which is next.
    sources: Option<u32>,
    /// Connections are ended by a reset, which leaves no port waiting.
    resets: bool,
    versions: u64,
    /// Zero of all times here.
    zero: Instant,
    /// When arrivals begin to be counted from.
    base: u64,
    phases: Vec<Phase>,
    /// What is measured now, or will be when the warm-up is over.
    part: Part,
    /// What was measured before that.
    past: Vec<Part>,
    /// Whether the warm-up of the current part is over.
    begun: bool,
    /// As many of the clients are to work.
    active: usize,
    /// As many of them have been told to connect.
    started: usize,
    /// How long is waited for clients that are being added.
    patience: u64,
    /// Nothing more is sent.
    draining: bool,
    open: usize,
    connecting: usize,
    ever_open: bool,
    /// The last thing that a connection attempt has said.
    refused: Option<Errno>,
    ended: Option<u64>,
    /// Requests that are measured and have no reply yet.
    outstanding: u64,
    buffer: Vec<u8>,
    /// Bytes read, those of the warm-up too.
    received: u64,
    next_tick: u64,
}

impl<'a> Engine<'a> {
    fn new(
        workload: &'a Workload,
        target: &'a Target,
        stop: &'a AtomicBool,
    ) -> Result<Engine<'a>, RunError> {
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)
            .map_err(|error| RunError::Unusable(format!("epoll: {error}")))?;
        let clients = workload.most_connections();
        let phases = workload.phases();
        let share = workload.slow_share;
        let slow = (share * clients as f64).ceil() as usize;
        let steady = workload.profile == Profile::Steady;
        // Where clients are added, slow ones are among those that are added.
        let is_slow = |client: usize| match steady {
            true => client < slow,
            false => (share * client as f64).floor() < (share * (client + 1) as f64).floor(),
        };
        let active = match (workload.arrivals, phases.first()) {
            (Arrivals::Closed, Some(first)) => first.from as usize,
            _ => clients,
        };
        let per_request = workload.lifetime == Lifetime::PerRequest;
        // Ends of connections are frequent, or so many connections are made that one address is not enough.
        let many = workload.lifetime != Lifetime::KeepAlive || workload.mix.quit > 0;
        let v4_loopback = matches!(target.addr.ip(), IpAddr::V4(ip) if ip.is_loopback());
        Ok(Engine {
            workload,
            target,
            stop,
            known: Known::new(workload, target.addr),
            epoll,
            slots: (0..clients).map(|client| Slot::new(is_slow(client))).collect(),
            ready: VecDeque::with_capacity(clients),
            resting: VecDeque::new(),
            slow: (0..clients as u32).filter(|client| is_slow(*client as usize)).collect(),
            choice: Choice::new(workload),
            schedule: Schedule::of(workload),
            depth: if per_request { 1 } else { workload.pipelining },
            sources: (v4_loopback && (many || clients > 1000)).then_some(0),
            resets: many && !v4_loopback,
            versions: 0,
            zero: Instant::now(),
            base: 0,
            phases,
            part: Part::new(active),
            past: Vec::new(),
            begun: false,
            active,
            started: active,
            patience: 0,
            draining: false,
            open: 0,
            connecting: 0,
            ever_open: false,
            refused: None,
            ended: None,
            outstanding: 0,
            buffer: Vec::with_capacity(BUFFER),
            received: 0,
            next_tick: u64::MAX,
        })
    }

    fn now(&self) -> u64 {
        self.zero.elapsed().as_nanos() as u64
    }

    fn stopped(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }

    /// Makes all connections that the run begins with.
    fn connect_all(&mut self) -> Result<(), RunError> {
        if self.workload.lifetime == Lifetime::PerRequest {
            return Ok(());
        }
        let deadline = self.now() + nanos(self.workload.timeout);
        let mut next = 0;
        // Requests are not begun before all connections are made.
        self.draining = true;
        loop {
            while next < self.active && self.connecting < CONNECTING {
                self.connect(next);
                next += 1;
            }
            let now = self.now();
            if self.connecting == 0 && next == self.active || self.stopped() {
                break;
            }
            // One look at least: who did not get to run may have been connected long since.
            self.poll(TICK.min(deadline.saturating_sub(now)))?;
            if now >= deadline {
                break;
            }
        }
        self.draining = false;
        match self.refused {
            _ if self.ever_open => Ok(()),
            Some(errno) => Err(self.unreachable(errno)),
            None if self.stopped() => Ok(()),
            None => Err(self.unreachable(Errno::TIMEDOUT)),
        }
    }

    fn unreachable(&self, errno: Errno) -> RunError {
        let why = io::Error::from(errno).to_string();
        let why = why.split(" (os error").next().unwrap_or_default().to_lowercase();
        RunError::Unreachable(format!("{} cannot be reached: {why}", self.target.addr))
    }

    /// The run itself: warm-up, what is measured, and the wait for what is in flight.
    fn load(&mut self, mut watcher: Option<&mut dyn Watcher>) -> Result<(), RunError> {
        let start = self.now();
        self.base = start;
        self.next_tick = start;
        let (mut next_slow, mut next_growth) = (start, start);
        let ramp = self.is_ramp() && self.schedule.is_none();
        self.enter(start, &mut watcher);
        for client in 0..self.active {
            self.offer(client);
        }
        loop {
            let mut now = self.now();
            if ramp && now >= next_growth {
                next_growth = now + RAMP_TICK;
                self.follow_ramp(now);
            }
            self.grow(now);
            if !self.begun && now >= self.part.window.0 {
                self.begin_late(now);
                self.begun = true;
                self.part.cpu.0 = cpu_time();
                self.slots.iter_mut().for_each(|slot| slot.finished = 0);
                self.next_tick = self.part.window.0 + TICK;
                if let Some(watcher) = &mut watcher {
                    watcher.started(self.zero + Duration::from_nanos(self.part.window.0));
                }
            }
            let over = self.stopped() || self.ended.is_some();
            if !self.draining && (now >= self.part.window.1 || over) {
                if !over {
                    self.dispatch(now); // those that are due are still of this phase
                }
                self.leave(now);
                if let Some(watcher) = &mut watcher {
                    watcher.ended();
                }
                if over || self.is_last() {
                    self.draining = true;
                } else {
                    self.go_on(&mut watcher);
                    continue;
                }
            }
            if self.draining && (over || self.outstanding == 0) {
                break;
            }
            self.dispatch(now);
            if now >= self.next_tick {
                self.tick(now);
                if self.begun {
                    self.note(now, &mut watcher);
                }
            }
            if now >= next_slow {
                next_slow = now + SLOW_TICK;
                self.read_slowly();
            }
            now = self.now();
            let mut until = self.next_tick;
            if !self.slow.is_empty() {
                until = until.min(next_slow);
            }
            if !self.draining {
                until = until.min(self.part.window.1);
                if let Some(schedule) = &self.schedule {
                    until = until.min(self.base + schedule.peek());
                }
                if ramp {
                    until = until.min(next_growth);
                }
            }
            if !self.begun {
                until = until.min(self.part.window.0);
            }
            self.poll(until.saturating_sub(now))?;
        }
        let now = self.now();
        self.past.iter_mut().filter(|part| part.has_more()).for_each(|part| {
            part.note(now);
        });
        if self.part.has_more() {
            self.note(now, &mut watcher);
        }
        match self.refused {
            Some(errno) if !self.ever_open => Err(self.unreachable(errno)),
            _ => Ok(()),
        }
    }

    fn is_ramp(&self) -> bool {
        matches!(self.workload.profile, Profile::Ramp { .. })
    }

    /// Whether no phase comes after this one.
    fn is_last(&self) -> bool {
        self.past.len() + 1 >= self.phases.len()
    }

    /// Begins the warm-up of the phase whose turn it is, at `from`.
    fn enter(&mut self, from: u64, watcher: &mut Option<&mut dyn Watcher>) {
        let number = self.past.len();
        let phase = &self.phases[number];
        if let Some(watcher) = watcher {
            watcher.phase(number, phase);
        }
        // A ramp's clients come one by one.
        if self.schedule.is_none() && !(self.is_ramp() && number > 0) {
            let (clients, now) = (phase.from as usize, self.now());
            self.patience = now + nanos(self.workload.timeout);
            self.resize(clients);
            self.part.totals.connections_asked = self.active as u64;
            if self.started < self.active {
                // It begins when they are there.
                self.part.window = (u64::MAX, u64::MAX);
                return self.grow(now);
            }
        }
        self.set_window(from);
    }

    fn set_window(&mut self, from: u64) {
        let number = self.past.len();
        // A ramp has no steps to get used to.
        let warm = match self.is_ramp() && number > 0 {
            true => Duration::ZERO,
            false => self.workload.warm_up,
        };
        let begin = from + nanos(warm);
        self.part.window = (begin, begin + nanos(self.phases[number].workload.duration));
    }

    /// Where this process did not get to run when the warm-up ended, what is measured begins now instead: in a closed loop, where
    /// nothing is planned before it is sent. Otherwise it might be over before it has begun.
    fn begin_late(&mut self, now: u64) {
        let (begin, end) = self.part.window;
        let late = now - begin;
        let closed = self.schedule.is_none() && !self.is_ramp() && !self.workload.warm_up.is_zero();
        if closed && late > (end - begin) / 10 {
            self.part.window = (now, end + late);
            // Some may have been told that it is over.
            (0..self.active).for_each(|client| self.offer(client));
        }
    }

    /// Ends what is measured now.
    fn leave(&mut self, now: u64) {
        let (begin, end) = self.part.window;
        self.part.window.1 = end.min(now);
        self.part.measured = self.part.window.1.saturating_sub(begin);
        if self.begun {
            self.part.cpu.1 = cpu_time() - self.part.cpu.0;
        }
    }

    /// Goes on to the next phase.
    fn go_on(&mut self, watcher: &mut Option<&mut dyn Watcher>) {
        let end = self.part.window.1;
        if self.part.has_more() {
            self.note(self.now(), watcher);
        }
        self.part.totals = self.totals_now();
        let clients = &self.slots[..self.active];
        self.part.per_client = clients.iter().map(|slot| slot.finished).collect();
        let next = Part::new(self.active);
        self.past.push(mem::replace(&mut self.part, next));
        self.begun = false;
        self.enter(end, watcher);
    }

    /// Has so many clients work from now on.
    fn resize(&mut self, clients: usize) {
        let before = mem::replace(&mut self.active, clients);
        self.started = self.started.min(clients);
        for client in clients..before {
            // Those that have nothing under way go at once, the others when they have their replies.
            self.retire(client);
        }
    }

    /// Connects clients that are new, not too many at once, and begins to measure when all are there.
    fn grow(&mut self, now: u64) {
        if self.draining {
            return;
        }
        while self.started < self.active && self.connecting < CONNECTING {
            let client = self.started;
            self.started += 1;
            if self.workload.lifetime == Lifetime::PerRequest {
                self.offer(client);
            } else if self.slots[client].stage == Stage::Closed {
                self.connect(client);
            }
        }
        let there = self.started == self.active
            && (self.connecting == 0 || self.workload.lifetime == Lifetime::PerRequest);
        if self.part.window.0 == u64::MAX && (there || now >= self.patience) {
            self.set_window(now);
        }
    }

    /// As many clients as the ramp has at this moment.
    fn follow_ramp(&mut self, now: u64) {
        let phase = &self.phases[self.past.len()];
        let (begin, end) = self.part.window;
        if !self.begun || now < begin || self.draining {
            return;
        }
        let share = ((now - begin) as f64 / (end - begin).max(1) as f64).min(1.0);
        let clients = (phase.from + (phase.to - phase.from) * share).round() as usize;
        if clients != self.active {
            self.resize(clients);
            let asked = &mut self.part.totals.connections_asked;
            *asked = (*asked).max(clients as u64);
        }
    }

    /// Ends the connection of a client that is no longer to work, if nothing is under way.
    fn retire(&mut self, client: usize) {
        let slot = &self.slots[client];
        if slot.stage == Stage::Open && slot.pending.is_empty() && slot.upload.is_none() {
            self.end(client, End::Agreed);
        }
    }

    /// Waits for events, so many nanoseconds at most, and handles them.
    fn poll(&mut self, patience: u64) -> Result<(), RunError> {
        let timeout = Timespec {
            tv_sec: (patience / 1_000_000_000) as i64,
            tv_nsec: (patience % 1_000_000_000) as i64,
        };
        let mut events: Vec<epoll::Event> = Vec::with_capacity(256);
        match epoll::wait(&self.epoll, spare_capacity(&mut events), Some(&timeout)) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(errno) => return Err(RunError::Unusable(format!("epoll: {errno}"))),
        }
        for event in events {
            let (data, flags) = (event.data.u64(), event.flags);
            let client = (data & 0xffff_ffff) as usize;
            if self.slots[client].generation == (data >> 32) as u32 {
                self.handle(client, flags);
            }
        }
        Ok(())
    }

    fn handle(&mut self, client: usize, flags: epoll::EventFlags) {
        use epoll::EventFlags;
        let hung = flags.intersects(EventFlags::HUP | EventFlags::ERR | EventFlags::RDHUP);
        let slot = &mut self.slots[client];
        if slot.stage == Stage::Connecting {
            let error = match &slot.socket {
                Some(socket) if flags.intersects(EventFlags::ERR | EventFlags::HUP) => {
                    sockopt::socket_error(socket)
                }
                _ => Ok(Ok(())),
            };
            match error {
                Ok(Ok(())) if flags.intersects(EventFlags::OUT | EventFlags::IN) => {
                    self.connected(client);
                }
                Ok(Ok(())) => return,
                Ok(Err(errno)) | Err(errno) => return self.not_connected(client, errno),
            }
        }
        let slot = &mut self.slots[client];
        if flags.contains(EventFlags::OUT) && (!slot.out.is_empty() || slot.upload.is_some()) {
            self.send(client);
        }
        if hung || flags.contains(EventFlags::IN) {
            let slot = &mut self.slots[client];
            if slot.slow && !slot.broken {
                slot.readable = true;
            } else {
                self.read(client, hung, usize::MAX);
            }
        }
    }

    /// Begins a connection. What the client is to send goes out as soon as it is made.
    fn connect(&mut self, client: usize) {
        let now = self.now();
        self.slots[client].connect_began = now;
        let result = self.try_connect(client);
        match result {
            Ok(()) | Err(Errno::INPROGRESS) => {
                self.slots[client].stage = Stage::Connecting;
                self.connecting += 1;
                if result.is_ok() {
                    self.connected(client);
                }
            }
            Err(errno) => self.not_connected(client, errno),
        }
    }

    fn try_connect(&mut self, client: usize) -> rustix::io::Result<()> {
        let addr = self.target.addr;
        let family = if addr.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
        let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
        let socket = net::socket_with(family, SocketType::STREAM, flags, None)?;
        let slot = &mut self.slots[client];
        if slot.slow {
            // Else the kernel would read quickly for it.
            let _ = sockopt::set_socket_recv_buffer_size(&socket, 4096);
        }
        if self.depth > 1 || self.workload.mix.put > 0 {
            sockopt::set_tcp_nodelay(&socket, true)?;
        }
        if let Some(source) = &mut self.sources {
            let first = u32::from(Ipv4Addr::new(127, 0, 0, 2));
            let ip = Ipv4Addr::from(first + *source);
            *source = (*source + 1) % SOURCES;
            // The port is chosen when the other end is known, so that it need be unique for that end only.
            let _ = setsockopt(&socket, IpBindAddressNoPort, &true);
            net::bind(&socket, &SocketAddr::from((ip, 0)))?;
        }
        if self.resets {
            // There is one address to come from, with 28,000 ports, and who closes first keeps his for a
            // minute. By then every byte of the reply has been read.
            sockopt::set_socket_linger(&socket, Some(Duration::ZERO))?;
        }
        let result = net::connect(&socket, &addr);
        if !matches!(result, Ok(()) | Err(Errno::INPROGRESS)) {
            return result;
        }
        use epoll::EventFlags;
        let flags = EventFlags::IN | EventFlags::OUT | EventFlags::RDHUP | EventFlags::ET;
        let data = client as u64 | u64::from(slot.generation) << 32;
        epoll::add(&self.epoll, &socket, epoll::EventData::new_u64(data), flags)?;
        slot.socket = Some(socket);
        result
    }

    fn connected(&mut self, client: usize) {
        self.slots[client].stage = Stage::Open;
        self.slots[client].made = true;
        self.connecting -= 1;
        self.open += 1;
        self.ever_open = true;
        self.refused = None;
        self.offer(client);
    }

    fn not_connected(&mut self, client: usize, errno: Errno) {
        if matches!(errno, Errno::CONNRESET | Errno::PIPE) {
            // It was connected, and the server has ended it since.
            self.slots[client].closing = true;
            self.connected(client);
            return self.end(client, End::Failed(ErrorKind::Lost));
        }
        let gone = matches!(errno, Errno::CONNREFUSED | Errno::HOSTUNREACH | Errno::NETUNREACH);
        self.refused = Some(errno);
        self.end(client, End::Failed(ErrorKind::Connect));
        if gone && self.open == 0 && self.connecting == 0 && self.base > 0 {
            // Nobody is connected, and nobody listens.
            self.ended.get_or_insert(self.now());
        }
    }

    /// Says that a client can take a request, if it can; in a closed loop that is to give it one.
    fn offer(&mut self, client: usize) {
        if self.draining {
            return;
        }
        if client >= self.active {
            return self.retire(client);
        }
        let slot = &self.slots[client];
        if self.schedule.is_some() && !slot.slow {
            if self.can_take(client) && !slot.queued {
                self.slots[client].queued = true;
                self.ready.push_back(client as u32);
            }
            return;
        }
        if slot.stage == Stage::Connecting || !self.can_take(client) {
            return;
        }
        let now = self.now();
        if now >= self.part.window.1 && self.is_last() {
            return;
        }
        while self.can_take(client) {
            self.request(client, now, now);
        }
        self.set_out(client);
    }

    fn can_take(&self, client: usize) -> bool {
        let slot = &self.slots[client];
        let depth = if slot.slow { 1 } else { self.depth };
        slot.stage != Stage::Resting
            && !slot.closing
            && !slot.broken
            && slot.upload.is_none()
            && slot.pending.len() < depth
    }

    /// Sends all arrivals that are due.
    fn dispatch(&mut self, now: u64) {
        while let Some(schedule) = &mut self.schedule {
            let planned = self.base + schedule.peek();
            if planned > now || planned >= self.part.window.1 || self.draining {
                return;
            }
            schedule.step();
            let counts = planned >= self.part.window.0;
            self.part.totals.planned += u64::from(counts);
            let Some(client) = self.take_ready() else {
                self.part.totals.dropped += u64::from(counts);
                continue;
            };
            let sent = self.now();
            if counts {
                self.part.lag.record(sent - planned);
            }
            self.request(client, planned, sent);
            self.set_out(client);
            self.offer(client);
        }
    }

    fn take_ready(&mut self) -> Option<usize> {
        while let Some(client) = self.ready.pop_front() {
            let client = client as usize;
            self.slots[client].queued = false;
            if self.can_take(client) {
                return Some(client);
            }
        }
        None
    }

    /// Adds a request to what a client is to send.
    fn request(&mut self, client: usize, planned: u64, sent: u64) {
        let verb = self.choice.verb();
        let name = self.choice.name();
        let last = verb == Verb::Quit
            || match self.workload.lifetime {
                Lifetime::KeepAlive => false,
                Lifetime::PerRequest => true,
                Lifetime::Churn { ratio } => self.choice.happens(ratio),
            };
        let slot = &mut self.slots[client];
        let asked = Asked { verb, name, last };
        self.known.encode(&asked, &mut slot.out);
        if verb == Verb::Put {
            self.versions += 1;
            let content = &self.known.content;
            let mut upload = Upload::new(content, name, self.versions);
            // As much as goes well into one segment with the head; the rest is sent from where it is.
            let small = content.length(name) <= SMALL_UPLOAD;
            let joined = if small { SMALL_UPLOAD } else { LINE as u64 };
            let mut at = 0;
            while at < joined && upload.left() > 0 {
                let piece = upload.next(content);
                let length = piece.len();
                slot.out.extend_from_slice(piece);
                upload.advance(length);
                at += length as u64;
            }
            slot.upload = (upload.left() > 0).then_some(upload);
        }
        slot.closing |= last;
        let counts = planned >= self.part.window.0 && planned < self.part.window.1;
        let part = if counts { self.past.len() as u32 } else { NO_PART };
        slot.pending.push_back(Exchange { asked, planned, sent, part });
        if counts && !slot.slow {
            self.outstanding += 1;
            self.part.totals.planned += u64::from(self.schedule.is_none());
        }
    }

    /// Sends what a client has to send, over a new connection if it has none.
    fn set_out(&mut self, client: usize) {
        match self.slots[client].stage {
            Stage::Open => self.send(client),
            Stage::Closed => {
                self.connect(client);
                if self.slots[client].stage == Stage::Connecting {
                    // On this machine the connection is made by now, though `connect` does not say so.
                    self.send(client);
                }
            }
            Stage::Connecting | Stage::Resting => {}
        }
    }

    fn send(&mut self, client: usize) {
        let slot = &mut self.slots[client];
        let Some(socket) = &slot.socket else {
            return;
        };
        let content = &self.known.content;
        let mut flags = SendFlags::NOSIGNAL;
        flags.set(SendFlags::MORE, slot.upload.is_some());
        let result = loop {
            let from_out = slot.out_at < slot.out.len();
            let piece = match &slot.upload {
                _ if from_out => &slot.out[slot.out_at..],
                Some(upload) if upload.left() > 0 => {
                    flags = SendFlags::NOSIGNAL;
                    upload.next(content)
                }
                _ => break Ok(()),
            };
            let whole = piece.len();
            let sent = match net::send(socket, piece, flags) {
                Ok(sent) => sent,
                Err(Errno::INTR) => continue,
                Err(errno) => break Err(errno),
            };
            if self.begun {
                self.part.totals.bytes_out += sent as u64;
            }
            if from_out {
                slot.out_at += sent;
            } else if let Some(upload) = &mut slot.upload {
                upload.advance(sent);
            }
            if sent < whole {
                // The rest when there is room.
                return;
            }
        };
        match result {
            Ok(()) => {
                slot.out.clear();
                slot.out_at = 0;
                if slot.upload.take().is_some() && self.depth > 1 {
                    self.offer(client);
                }
            }
            Err(Errno::AGAIN | Errno::NOTCONN | Errno::INPROGRESS) => {}
            // This was where the socket told, and it tells once.
            Err(errno) if slot.stage == Stage::Connecting => self.not_connected(client, errno),
            Err(_) => {
                slot.broken = true;
                self.read(client, true, usize::MAX);
            }
        }
    }

    /// Reads what has arrived, `most` bytes at the most.
    fn read(&mut self, client: usize, hung: bool, most: usize) {
        let generation = self.slots[client].generation;
        let mut buffer = mem::take(&mut self.buffer);
        let mut left = most;
        loop {
            let slot = &mut self.slots[client];
            let Some(socket) = &slot.socket else {
                break;
            };
            buffer.clear();
            // Enough already, but where reading has led to sending, and that to reading.
            buffer.reserve_exact(BUFFER);
            let wanted = BUFFER.min(left);
            let received = if wanted == BUFFER {
                net::recv(socket, spare_capacity(&mut buffer), RecvFlags::empty()).map(|(n, _)| n)
            } else {
                buffer.resize(wanted, 0);
                net::recv(socket, &mut buffer[..], RecvFlags::empty()).map(|(n, _)| n)
            };
            let got = match received {
                Ok(0) => {
                    self.hung_up(client);
                    break;
                }
                Ok(got) => got,
                Err(Errno::INTR) => continue,
                Err(Errno::AGAIN) => {
                    slot.readable = false;
                    if slot.broken {
                        self.end(client, End::Failed(ErrorKind::Lost));
                    }
                    break;
                }
                Err(_) => {
                    self.end(client, End::Failed(ErrorKind::Lost));
                    break;
                }
            };
            let now = self.now();
            self.feed(client, &buffer[..got], now);
            if self.slots[client].generation != generation {
                break;
            }
            left = left.saturating_sub(got);
            if got < wanted && !hung {
                // That was all; what comes later makes an event of its own.
                self.slots[client].readable = false;
                break;
            }
            if left == 0 {
                break;
            }
        }
        self.buffer = buffer;
        // Those that come while the events of a crowd are handled are not kept waiting.
        if self.schedule.is_some() {
            self.dispatch(self.now());
        }
    }

    fn feed(&mut self, client: usize, mut input: &[u8], now: u64) {
        self.received += input.len() as u64;
        if now >= self.part.window.0 {
            self.part.totals.bytes_in += input.len() as u64;
        }
        let mut finished = false;
        while !input.is_empty() {
            let slot = &mut self.slots[client];
            let asked = slot.pending.front().map(|exchange| &exchange.asked);
            let (used, reply) = slot.reader.feed(&self.known, asked, input);
            input = &input[used..];
            if let Some(reply) = reply {
                finished = true;
                if self.finish(client, reply, now) {
                    return;
                }
            }
        }
        if finished {
            self.offer(client);
        }
    }

    /// A reply is there; gives whether it was the connection's last.
    fn finish(&mut self, client: usize, reply: Reply, now: u64) -> bool {
        let slot = &mut self.slots[client];
        let exchange = slot.pending.pop_front();
        match (reply.result, exchange) {
            (Ok(()), Some(exchange)) => self.record(client, &exchange, now),
            // Said at the end of an idle connection, to which nothing was owed.
            (Err(ErrorKind::Timeout), None) | (Ok(()), None) => {}
            (Err(kind), exchange) => {
                if kind == ErrorKind::Busy {
                    slot.made = false;
                }
                if let Some(exchange) = exchange {
                    self.answered(client, &exchange);
                }
                self.fail(kind, 1, now, exchange.map_or(NO_PART, |exchange| exchange.part));
                if reply.closes {
                    self.end(client, End::Failed(ErrorKind::Lost));
                    return true;
                }
            }
        }
        if reply.closes || exchange.is_some_and(|exchange| exchange.asked.last) {
            self.end(client, End::Agreed);
            return true;
        }
        false
    }

    /// A request need not be waited for any longer.
    fn answered(&mut self, client: usize, exchange: &Exchange) {
        if exchange.part != NO_PART && !self.slots[client].slow {
            self.outstanding = self.outstanding.saturating_sub(1);
        }
    }

    fn record(&mut self, client: usize, exchange: &Exchange, now: u64) {
        self.answered(client, exchange);
        if exchange.part == NO_PART {
            return;
        }
        let slot = &mut self.slots[client];
        let part = match self.past.get_mut(exchange.part as usize) {
            Some(past) => {
                // It came when the next phase had begun.
                let finished = past.per_client.get_mut(client);
                let first =
                    finished.is_some_and(|finished| mem::replace(finished, *finished + 1) == 0);
                past.totals.clients_served += u64::from(first);
                past
            }
            None => {
                slot.finished += 1;
                &mut self.part
            }
        };
        if slot.slow {
            return;
        }
        part.totals.done += 1;
        part.interval.record(now.saturating_sub(exchange.planned));
        if self.schedule.is_some() {
            part.service.record(now.saturating_sub(exchange.sent));
        }
    }

    /// Counts errors; `of` is the part that the request belongs to.
    fn fail(&mut self, kind: ErrorKind, count: u64, now: u64, of: u32) {
        let part = match self.past.get_mut(of as usize) {
            _ if now >= self.part.window.0 => &mut self.part,
            Some(past) => past,
            None => return,
        };
        if count > 0 {
            *part.errors.entry(kind).or_default() += count;
            part.interval_errors += count;
        }
    }

    /// The server has ended its side.
    fn hung_up(&mut self, client: usize) {
        let slot = &mut self.slots[client];
        if let Some(reply) = slot.reader.finish(&self.known) {
            let now = self.now();
            if self.finish(client, reply, now) {
                return;
            }
        }
        let end = match self.slots[client].pending.is_empty() {
            // Idle for too long, or turned away: it has been told, or nothing was owed.
            true => End::Agreed,
            false => End::Failed(ErrorKind::Lost),
        };
        self.end(client, end);
    }

    /// Ends a connection. What is pending on it has failed.
    fn end(&mut self, client: usize, end: End) {
        let now = self.now();
        let slot = &mut self.slots[client];
        match slot.stage {
            Stage::Connecting => self.connecting -= 1,
            Stage::Open => self.open -= 1,
            Stage::Closed | Stage::Resting => {}
        }
        let was_connected = slot.stage == Stage::Open;
        slot.socket = None;
        slot.generation = slot.generation.wrapping_add(1);
        slot.reader.reset();
        slot.out.clear();
        slot.out_at = 0;
        slot.upload = None;
        slot.closing = false;
        slot.broken = false;
        slot.readable = false;
        let pending = mem::take(&mut slot.pending);
        let kind = match end {
            End::Agreed => ErrorKind::Lost,
            End::Failed(kind) => kind,
        };
        for exchange in &pending {
            self.answered(client, exchange);
        }
        let part = pending.front().map_or(NO_PART, |exchange| exchange.part);
        let mut failed = pending.len() as u64;
        if failed == 0 && !was_connected && end != End::Agreed {
            failed = 1;
        }
        self.fail(kind, failed, now, part);
        // The next connection uses the same room.
        self.slots[client].pending = pending;
        self.slots[client].pending.clear();
        match end {
            End::Agreed => {
                self.slots[client].stage = Stage::Closed;
                self.offer(client);
            }
            End::Failed(_) => {
                self.slots[client].stage = Stage::Resting;
                self.resting.push_back((now + BACK_OFF, client as u32));
            }
        }
    }

    /// What need not be done at once: timeouts and rests.
    fn tick(&mut self, now: u64) {
        let timeout = nanos(self.workload.timeout);
        for client in 0..self.slots.len() {
            let slot = &self.slots[client];
            let connecting = slot.stage == Stage::Connecting;
            let since = match slot.pending.front() {
                Some(exchange) if !slot.slow || connecting => exchange.sent,
                None if connecting => slot.connect_began,
                _ => continue,
            };
            if since + timeout <= now {
                let kind = if connecting { ErrorKind::Connect } else { ErrorKind::Timeout };
                self.end(client, End::Failed(kind));
            }
        }
        while let Some((until, client)) = self.resting.front().copied() {
            if until > now {
                break;
            }
            self.resting.pop_front();
            self.slots[client as usize].stage = Stage::Closed;
            self.offer(client as usize);
        }
        self.next_tick += TICK * ((now - self.next_tick) / TICK + 1);
    }

    fn read_slowly(&mut self) {
        for at in 0..self.slow.len() {
            let client = self.slow[at] as usize;
            let slot = &mut self.slots[client];
            let share = self.workload.slow_rate as f64 * SLOW_TICK as f64 / 1e9;
            // What was not used is not saved up for long.
            slot.budget = (slot.budget + share).min(2.0 * share.max(1.0));
            if slot.readable && slot.budget >= 1.0 {
                let most = slot.budget as usize;
                let before = self.received;
                self.read(client, false, most);
                let read = self.received - before;
                self.slots[client].budget -= (read.max(1) as f64).min(most as f64);
            }
        }
    }

    /// Ends an interval, and shows it to whoever watches.
    fn note(&mut self, now: u64, watcher: &mut Option<&mut dyn Watcher>) {
        let interval = self.part.note(now);
        if let Some(watcher) = watcher {
            watcher.latencies(&self.part.response);
            watcher.interval(&interval, &self.totals_now(), &self.part.named_errors());
        }
    }

    fn totals_now(&self) -> Totals {
        let asked = self.part.totals.connections_asked;
        let clients = || self.slots.iter().take(asked as usize);
        // One that was never needed was not refused.
        let ramp = self.is_ramp();
        let tried = |slot: &&Slot| slot.generation > 0 || slot.stage == Stage::Connecting && !ramp;
        let unmade = clients().filter(tried).filter(|slot| !slot.made).count() as u64;
        Totals {
            connections_made: asked.saturating_sub(unmade),
            clients_served: clients().filter(|slot| slot.finished > 0).count() as u64,
            ..self.part.totals
        }
    }

    fn into_recordings(mut self, environment: &Environment) -> Vec<Recording> {
        self.part.totals = self.totals_now();
        let clients = &self.slots[..self.part.totals.connections_asked as usize];
        self.part.per_client = clients.iter().map(|slot| slot.finished).collect();
        // One that was not begun says nothing, unless there is no other.
        let mut parts = self.past;
        if self.begun || parts.is_empty() {
            parts.push(self.part);
        }
        let (open, count) = (self.schedule.is_some(), parts.len());
        let first = parts.first().map_or(0, |part| part.window.0);
        // In a ramp clients come in the middle: that they have fewer replies is not unfair.
        let joined = matches!(self.workload.profile, Profile::Ramp { .. }) && !open;
        let recordings = parts.into_iter().zip(&self.phases).enumerate();
        let recordings = recordings.map(|(nth, (part, phase))| {
            let seconds = part.measured as f64 / 1e9;
            let share = if seconds > 0.0 { part.cpu.1 / seconds } else { 0.0 };
            let service_time = if open { part.service.clone() } else { part.response.clone() };
            let mut recording = Recording {
                schema: SCHEMA,
                server: self.target.name.clone(),
                workload: phase.workload.clone(),
                environment: environment.clone(),
                since: part.window.0.saturating_sub(first) as f64 / 1e9,
                seconds,
                totals: part.totals,
                errors: part.named_errors(),
                service_time,
                response_time: part.response,
                lag: part.lag,
                intervals: part.intervals,
                per_client: if joined { Vec::new() } else { part.per_client },
                generator: Generator { cpu_seconds: part.cpu.1, share },
                empty: None,
                samples: Vec::new(),
                invalid: Vec::new(),
            };
            if self.ended.is_some() && nth + 1 == count {
                recording.invalid.push(format!("{SERVER_ENDED} after {seconds:.1} s of the run"));
            }
            verdict::judge(&mut recording, &Bounds::default(), None);
            recording
        });
        recordings.collect()
    }
}

fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX / 4)
}

/// Processor time of this thread, in seconds.
fn cpu_time() -> f64 {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    time.tv_sec as f64 + time.tv_nsec as f64 / 1e9
}

/// What the generator can do when the server costs nothing.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Ceiling {
    /// Requests per second of the generator's processor time.
    pub per_cpu_second: f64,
}

/// Runs the gets of a workload against an in-process reply: what the generator itself can do.
///
/// # Errors
///
/// As [`run`].
pub fn null_ceiling(workload: &Workload) -> Result<Ceiling, RunError> {
    let workload = Workload {
        // Enough of them to be handled in batches, as in the run itself.
        connections: workload.most_connections().min(NULL_CONNECTIONS),
        arrivals: Arrivals::Closed,
        profile: Profile::Steady,
        duration: NULL_RUN,
        warm_up: NULL_RUN / 4,
        mix: Mix::default(),
        slow_share: 0.0,
        ..workload.clone()
    };
    check(&workload)?;
    let unusable = |error: io::Error| RunError::Unusable(format!("null run: {error}"));
    let server = null::Server::start(&workload).map_err(unusable)?;
    let target = Target { addr: server.addr(), name: "null".into() };
    let stop = AtomicBool::new(false);
    let mut left = NULL_RUNS;
    loop {
        let (watcher, environment) = (None, Environment::default());
        let recording =
            run(Run { workload: &workload, target: &target, stop: &stop, watcher, environment })?;
        left -= 1;
        let done = recording.totals.done;
        // Where nobody got to run for as long as it lasted, it says nothing.
        if done > 0 || left == 0 {
            let cpu = recording.generator.cpu_seconds.max(1e-9);
            return Ok(Ceiling { per_cpu_second: done as f64 / cpu });
        }
    }
}
