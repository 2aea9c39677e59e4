use super::client::Stage;
use super::clients::Clients;
use super::nanos;
use super::phases::Phases;
use crate::load::recording::{Environment, ErrorKind};
use crate::load::workload::{Profile, Workload};
use std::time::Duration;

const SECOND: u64 = 1_000_000_000;

/// One second of warm-up and ten that are measured, in each phase.
fn workload(profile: Profile) -> Workload {
    let (warm_up, duration) = (Duration::from_secs(1), Duration::from_secs(10));
    Workload { profile, warm_up, duration, connections: 4, ..Workload::default() }
}

#[test]
fn ramp_spreads_slow_clients() {
    let slow = |profile| {
        let workload = Workload { slow_share: 0.5, ..workload(profile) };
        Clients::new(&workload).slow().to_vec()
    };
    assert_eq!(slow(Profile::Steady), [0, 1]);
    assert_eq!(slow(Profile::Ramp { from: 1.0, to: 6.0 }), [1, 3, 5]);
}

#[test]
fn open_loop_queues_each_client_once() {
    let mut clients = Clients::new(&workload(Profile::Steady));
    [2, 0, 2].into_iter().for_each(|client| clients.queue(client));
    clients[2].closing = true;
    assert_eq!((clients.take_ready(), clients.take_ready()), (Some(0), None));
}

#[test]
fn paused_client_takes_no_request() {
    let mut clients = Clients::new(&workload(Profile::Steady));
    clients.pause(3, 3 * SECOND);
    clients.pause(2, 2 * SECOND);
    clients.pause(3, 4 * SECOND);
    assert!(!clients.can_take(3));
    assert_eq!(clients.next_pause_end(), Some(2 * SECOND));
    assert_eq!((clients.take_paused(SECOND), clients.take_paused(2 * SECOND)), (None, Some(2)));
    assert_eq!(clients.take_paused(3 * SECOND), None, "the longer pause counts");
    assert_eq!(clients.take_paused(4 * SECOND), Some(3));
    assert!(clients.can_take(2) && clients.can_take(3));
}

#[test]
fn refused_client_waits_its_turn() {
    let mut clients = Clients::new(&workload(Profile::Steady));
    [1, 3, 1].into_iter().for_each(|client| clients.refuse(client));
    assert_eq!(clients.refused(), [1, 3]);
    [1, 2].into_iter().for_each(|client| clients.queue(client));
    clients.open = 1;
    assert_eq!(clients.take_ready(), Some(2), "it has a connection or makes one");
    clients[1].stage = Stage::Open;
    assert_eq!((clients.take_refused(false), clients.take_refused(false)), (Some(3), None));
    clients.refuse(3);
    assert_eq!(clients.take_refused(true), None, "it has nothing to send");
    assert_eq!(clients[3].stage, Stage::Closed);
}

#[test]
fn late_beginning_shifts_the_window() {
    let window = |profile, now| {
        let mut phases = Phases::new(&workload(profile), 4);
        phases.set_window(0);
        phases.begin_late(now);
        (phases.current.begin, phases.current.end)
    };
    assert_eq!(window(Profile::Steady, 3 * SECOND / 2), (SECOND, 11 * SECOND));
    assert_eq!(window(Profile::Steady, 5 * SECOND), (5 * SECOND, 15 * SECOND));
    let ramp = Profile::Ramp { from: 1.0, to: 2.0 };
    assert_eq!(window(ramp, 5 * SECOND), (SECOND, 11 * SECOND));
}

#[test]
fn ramp_grows_evenly_while_it_is_measured() {
    let mut phases = Phases::new(&workload(Profile::Ramp { from: 0.0, to: 10.0 }), 1);
    phases.set_window(0);
    assert_eq!(phases.ramp_clients(SECOND), None, "warm-up");
    phases.warmed_up = true;
    let length = nanos(phases.phase().workload.duration);
    // The first of ten phases, from 0 to 1.
    assert_eq!(phases.ramp_clients(SECOND), Some(0));
    assert_eq!(phases.ramp_clients(SECOND + length), Some(1));
}

#[test]
fn warm_up_error_counts_in_phase_of_its_request() {
    let mut phases = Phases::new(&workload(Profile::Steps { levels: vec![1.0, 2.0] }), 1);
    phases.set_window(0);
    phases.warmed_up = true;
    phases.fail(ErrorKind::Lost, 1, 2 * SECOND, phases.of(2 * SECOND));
    phases.current.stop(11 * SECOND, None);
    phases.advance(2);
    phases.set_window(11 * SECOND);
    phases.fail(ErrorKind::Timeout, 2, 23 * SECOND / 2, Some(0));
    phases.fail(ErrorKind::Timeout, 4, 23 * SECOND / 2, None);
    phases.warmed_up = true;
    phases.fail(ErrorKind::Busy, 1, 13 * SECOND, Some(0));
    let recordings = phases.into_recordings("server", &Environment::default(), false, true);
    let errors: Vec<_> = recordings.iter().map(|recording| &recording.errors).collect();
    let expected = |pairs: &[(&str, u64)]| {
        pairs.iter().map(|&(kind, count)| (kind.to_owned(), count)).collect()
    };
    assert_eq!(errors, [&expected(&[("lost", 1), ("timeout", 2)]), &expected(&[("busy", 1)])]);
    assert!(recordings[1].invalid[0].starts_with("the server ended"));
}
