//! Events between real processes.

mod common;

use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use common::Peer;
use ipc::Error;
use ipc::event::Event;
use ipc::shared::{Location, Value};

fn event() -> Event {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let count = COUNT.fetch_add(1, Ordering::Relaxed);
    Event::create(format!("/ipc-event-{}-{count}", std::process::id())).unwrap()
}

/// Sleeps in the kernel: state S, and the call that it is in is futex.
fn wait_until_asleep(peer: &Peer) {
    let start = Instant::now();
    let path = format!("/proc/{}/syscall", peer.pid());
    let futex = format!("{} ", libc::SYS_futex);
    while !std::fs::read_to_string(&path).is_ok_and(|call| call.starts_with(&futex)) {
        assert!(start.elapsed() < Duration::from_secs(60), "the peer does not wait");
        std::thread::yield_now();
    }
}

#[test]
fn event_is_set_until_cleared() {
    let event = event();
    assert!(!event.is_set());
    let start = Instant::now();
    let waited = Duration::from_millis(20);
    assert!(matches!(event.wait_timeout(waited), Err(Error::TimedOut { .. })));
    assert!(start.elapsed() >= waited);
    event.set();
    event.set();
    event.wait();
    event.wait_timeout(Duration::ZERO).unwrap();
    assert!(event.is_set());
    event.clear();
    event.clear();
    assert!(!event.is_set());
    assert!(event.wait_timeout(Duration::ZERO).is_err());
}

#[test]
fn set_releases_waiters_of_all_processes() {
    const ROUNDS: usize = 20;
    let event = event();
    let address = event.memory().address();
    let rounds = ROUNDS.to_string();
    let mut peers: Vec<_> =
        (0..8).map(|_| Peer::start("event", "wait", &[&address, &rounds])).collect();
    for round in 0..ROUNDS {
        for peer in &mut peers {
            assert_eq!(peer.line(), "waiting");
        }
        // In some rounds all sleep, in the others the set comes while they are on their way.
        if round % 2 == 0 {
            peers.iter().for_each(wait_until_asleep);
        }
        if round % 4 == 0 {
            let setter = Peer::start("event", "set", &[&address]);
            assert_eq!(setter.finish(), Some(0));
        } else {
            event.set();
        }
        for peer in &mut peers {
            assert_eq!(peer.line(), "released");
        }
        event.clear();
        for peer in &mut peers {
            peer.write_line("again");
        }
    }
    for peer in peers {
        assert_eq!(peer.finish(), Some(0));
    }
}

/// A flag alone would let them sleep on: it is clear again before they have looked.
#[test]
fn pulse_releases_sleeping_waiters() {
    let event = event();
    let address = event.memory().address();
    let mut peers: Vec<_> =
        (0..8).map(|_| Peer::start("event", "wait", &[&address, "1"])).collect();
    for peer in &mut peers {
        assert_eq!(peer.line(), "waiting");
        wait_until_asleep(peer);
    }
    event.set();
    event.clear();
    for peer in &mut peers {
        assert_eq!(peer.line(), "released");
    }
    assert!(!event.is_set());
}

#[test]
fn no_wake_up_is_lost() {
    let (ping, pong) = (event(), event());
    let addresses = [ping.memory().address(), pong.memory().address()];
    let peer = Peer::start("event", "wait_and_clear", &[&addresses[0], &addresses[1], "10000"]);
    for round in 0..10_000 {
        ping.set();
        let answer = pong.wait_timeout(Duration::from_secs(60));
        answer.unwrap_or_else(|error| panic!("round {round}: {error}"));
        pong.clear();
    }
    assert_eq!(peer.finish(), Some(0));
}

#[test]
fn killed_waiter_blocks_no_other() {
    let event = event();
    let address = event.memory().address();
    let mut dead = Peer::start("event", "wait", &[&address, "1"]);
    let mut alive = Peer::start("event", "wait", &[&address, "1"]);
    for peer in [&mut dead, &mut alive] {
        assert_eq!(peer.line(), "waiting");
        wait_until_asleep(peer);
    }
    dead.kill();
    event.set();
    assert_eq!(alive.line(), "released");
}

#[test]
fn other_object_is_not_an_event() {
    let name = format!("/ipc-event-{}-other", std::process::id());
    let value = Value::create(&name, 1_u64).unwrap();
    assert!(matches!(Event::open(&name), Err(Error::Unusable { .. })));
    assert_eq!(value.get(), 1);
    drop(value);
    drop(Event::create(&name).unwrap());
    assert_eq!(Event::open(&name).map(drop).unwrap_err().errno(), Some(nix::errno::Errno::ENOENT));
    let unnamed = Event::create(Location::Memfd("event".into())).unwrap();
    let same = Event::open(unnamed.memory().address().parse::<Location>().unwrap()).unwrap();
    same.set();
    assert!(unnamed.is_set());
}
