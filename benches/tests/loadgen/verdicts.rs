//! Every cause of INVALID, provoked by a run. Others are next to what they are about: drops in
//! `arrivals_beyond_connections_are_dropped`, errors and no answer in `wrong_bodies_are_found_if_verified`, the end of the
//! server in `dead_server_ends_run`.

use crate::fake::{Fake, Faults};
use crate::reference::{Mode, Reference};
use crate::{assert_in_time, run, short};
use benches::load::engine::{self, Run, Target, Watcher};
use benches::load::recording::{Environment, Interval, Recording, Totals};
use benches::load::verdict::{self, Bounds};
use benches::load::workload::{Arrivals, Protocol, Workload};
use rustix::net::{AddressFamily, SocketType};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};

/// Holds up the generator's thread ten times a second, for so long.
struct HoldUp {
    length: Duration,
    /// By computing, instead of waiting.
    computes: bool,
}

impl Watcher for HoldUp {
    fn started(&mut self, _: Instant) {
        self.hold_up();
    }

    fn interval(&mut self, _: &Interval, _: &Totals, _: &BTreeMap<String, u64>) {
        self.hold_up();
    }
}

impl HoldUp {
    fn hold_up(&self) {
        let until = Instant::now() + self.length;
        while Instant::now() < until {
            if !self.computes {
                harness::wait::pause(until.saturating_duration_since(Instant::now()));
            }
        }
    }
}

#[track_caller]
fn held_up(workload: &Workload, hold_up: HoldUp) -> Recording {
    let fake = Fake::start(workload, Faults::default());
    let target = Target::new(fake.addr, "server");
    let stop = AtomicBool::new(false);
    let mut watcher = hold_up;
    let watcher: Option<&mut dyn Watcher> = Some(&mut watcher);
    let environment = Environment::default();
    engine::run(Run { workload, target: &target, stop: &stop, watcher, environment }).unwrap()
}

fn is_invalid(recording: &Recording, why: &str) -> bool {
    recording.invalid.iter().any(|reason| reason.contains(why))
}

#[test]
fn busy_generator_is_invalid() {
    // It cannot use a core that it does not get.
    let waited = || {
        let text = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
        text.split(' ').nth(1).and_then(|nanos| nanos.parse().ok()).map(Duration::from_nanos)
    };
    assert_in_time("a generator that computes uses more than 80% of its core", || {
        let before = waited();
        let hold_up = HoldUp { length: Duration::from_millis(99), computes: true };
        let invalid = is_invalid(&held_up(&short(), hold_up), "of its core (more than 80%)");
        let starved =
            |(before, after): (Duration, Duration)| after - before > short().duration / 10;
        invalid || before.zip(waited()).is_none_or(starved)
    });
    // One that waits for its server does not.
    let workload = Workload { protocol: Protocol::Http, ..short() };
    let server = Reference::start(&workload, Mode::Delay(Duration::from_millis(20)));
    assert!(!is_invalid(&run(&workload, server.addr), "of its core"));
}

#[test]
fn late_generator_is_invalid() {
    // A third of the arrivals falls into the time in which it waits.
    let hold_up = || HoldUp { length: Duration::from_millis(30), computes: false };
    let arrivals = Arrivals::Fixed { rate: 300.0 };
    let workload = Workload { arrivals, connections: 64, ..short() };
    let recording = held_up(&workload, hold_up());
    assert!(is_invalid(&recording, "the generator sent late: lag p99"), "{:?}", recording.invalid);
    assert!(recording.lag.percentile(99.0) >= 10_000_000, "{}", recording.lag.percentile(99.0));
    // In a closed loop nothing is planned.
    let closed = held_up(&short(), hold_up());
    assert!(!is_invalid(&closed, "sent late"), "{:?}", closed.invalid);
}

#[test]
fn connections_not_made_are_invalid() {
    // A listener that accepts no connection, and whose queue has room for one of eight.
    let listener = rustix::net::socket(AddressFamily::INET, SocketType::STREAM, None).unwrap();
    rustix::net::bind(&listener, &SocketAddr::from(([127, 0, 0, 1], 0))).unwrap();
    rustix::net::listen(&listener, 0).unwrap();
    let addr = rustix::net::getsockname(&listener).unwrap().try_into().unwrap();
    let timeout = Duration::from_millis(300);
    let recording = run(&Workload { connections: 8, timeout, ..short() }, addr);
    assert!(is_invalid(&recording, " of 8 connections were made"), "{:?}", recording.invalid);
    assert!(is_invalid(&recording, "no request was answered"), "{:?}", recording.invalid);
    assert!(recording.errors["connect"] > 0, "{:?}", recording.errors);
}

#[test]
fn rate_near_ceiling_is_invalid() {
    let workload = short();
    let ceiling = engine::null_ceiling(&workload).unwrap().per_cpu_second;
    // How near a server comes depends on the machine: here it is near from a hundredth on.
    let near = Bounds { ceiling: 0.01, ..Bounds::default() };
    assert_in_time("more than 1% of what the generator can do", || {
        let fake = Fake::start(&workload, Faults::default());
        let mut recording = run(&workload, fake.addr);
        verdict::judge(&mut recording, &near, Some(ceiling));
        is_invalid(&recording, "that the generator can do")
    });
    // 4 clients with a delay of 250 ms each: 16 requests per second.
    let slow = Faults { delay: Duration::from_millis(250), ..Faults::default() };
    let mut recording = run(&workload, Fake::start(&workload, slow).addr);
    verdict::judge(&mut recording, &near, Some(ceiling));
    assert!(!is_invalid(&recording, "that the generator can do"), "{:?}", recording.invalid);
}
