//! What a prefork server does beyond the protocol: its children, their replacement, their counts.

use harness::oracles;
use harness::proc;
use harness::wait::{eventually, pause};
use harness::wire::Conn;
use harness::{Exit, Launch, Server};
use rustix::process::{Pid, Signal, kill_process};
use std::collections::BTreeSet;
use std::time::{Duration, Instant};

const WAYS: [&str; 3] = ["shared", "lock", "pass"];

fn launch(options: &[&str]) -> Launch {
    Launch::new(env!("CARGO_BIN_EXE_fork_server")).args(options)
}

/// A server with so many children, when all of them are there and wait for clients.
fn start(children: usize, accept: &str, more: &[&str]) -> Server {
    let number = children.to_string();
    let options = ["--prefork", &number, "--accept", accept];
    let launch = launch(&options).args(more);
    let server = launch.start().unwrap_or_else(|failure| panic!("{failure}"));
    eventually("the children are there", || {
        let pids = pids(&server);
        pids.len() == children && pids.into_iter().all(proc::asleep)
    });
    server
}

/// The living children.
fn pids(server: &Server) -> BTreeSet<i32> {
    let alive = server.children().into_iter().filter(|child| child.state != 'Z');
    alive.map(|child| child.pid).collect()
}

fn signal(pid: i32, signal: Signal) {
    kill_process(Pid::from_raw(pid).expect("a process id"), signal).expect("a living process");
}

#[track_caller]
fn answers(conn: &mut Conn) {
    assert!(conn.ask("HASH none").is("not-found"));
}

/// The lines of the table that the server leaves: pid, connections, requests, restarts; the sums come last.
fn scoreboard(server: &Server) -> Vec<Vec<u64>> {
    server.signal(Signal::TERM);
    assert_eq!(server.wait_exit(), Exit::Code(0));
    server.whole_log(); // there is no more to come
    let mut output = server.output();
    eventually("the table", || {
        output = server.output();
        output.contains("\n  all ")
    });
    let table = output.lines().skip_while(|line| !line.starts_with("child "));
    let numbers = |line: &str| {
        line.split_whitespace().skip(1).map(|word| word.parse().expect("a number")).collect()
    };
    let mut rows: Vec<Vec<u64>> = table.skip(1).map(numbers).collect();
    rows.last_mut().expect("sums").insert(0, 0);
    assert!(rows.iter().all(|row| row.len() == 4), "{output}");
    rows
}

#[test]
fn excess_clients_wait() {
    for way in WAYS {
        let server = start(2, way, &[]);
        let (mut first, mut second) = (server.connect(), server.connect());
        answers(&mut first);
        answers(&mut second);
        // Two children, three clients: the third is neither served nor refused.
        let mut third = server.connect();
        third.send("HASH none\n");
        assert!(third.is_quiet_for(Duration::from_millis(100)), "{way}");
        answers(&mut first);
        drop(first);
        assert!(third.reply().is("not-found"), "{way}");
        answers(&mut second);
        assert_eq!(pids(&server).len(), 2, "{way}");
    }
}

#[test]
fn more_children_than_connections_are_not_forked() {
    let server = launch(&["--prefork", "9", "--max-connections", "2"]).start();
    let server = server.unwrap_or_else(|failure| panic!("{failure}"));
    let named = |log: &str| log.contains("--prefork 9 lowered to 2: --max-connections");
    server.log_until("the warning", named);
    eventually("two children", || pids(&server).len() == 2);
    answers(&mut server.connect());
    assert_eq!(pids(&server).len(), 2);
}

#[test]
fn options_that_do_not_fit() {
    for options in [
        &["--accept", "lock"][..],
        &["--prefork", "0"],
        &["--prefork", "many"],
        &["--prefork", "2", "--reap", "ignore"],
    ] {
        let failure = launch(options).refuse();
        assert_eq!(failure.exit, Some(Exit::Code(2)), "{options:?}: {failure}");
        assert_eq!(failure.log.lines().count(), 1, "{options:?}: {failure}");
        assert!(failure.log.contains("--prefork"), "{options:?}: {failure}");
    }
}

#[test]
fn a_dead_child_is_replaced() {
    for way in WAYS {
        let server = start(2, way, &[]);
        let (mut victim, mut other) = (server.connect(), server.connect());
        answers(&mut victim);
        answers(&mut other);
        let before = pids(&server);
        let dead = server.child_of(&victim);
        signal(dead, Signal::KILL);
        victim.drain();
        eventually("another takes its place", || {
            let now = pids(&server);
            now.len() == 2 && !now.contains(&dead)
        });
        assert_eq!(oracles::zombies(&server.process_tree()), [0; 0], "{way}");
        answers(&mut other);
        let mut next = server.connect();
        answers(&mut next);
        assert!(!before.contains(&server.child_of(&next)), "{way}: the other is busy");
    }
}

#[test]
fn a_child_that_keeps_dying_is_replaced_ever_more_slowly() {
    let server = start(1, "shared", &[]);
    let start = Instant::now();
    let mut last = 0;
    for _ in 0..10 {
        let mut next = BTreeSet::new();
        eventually("a replacement", || {
            next = pids(&server);
            next.len() == 1 && !next.contains(&last)
        });
        last = next.pop_first().expect("a child");
        signal(last, Signal::KILL);
    }
    // At once, then after 10, 20, 40, 80, 160, 320, 640 and 1000 ms.
    let elapsed = start.elapsed();
    assert!(elapsed >= Duration::from_millis(2270), "{elapsed:?}");
    // The order to stop does not wait for the next one, which is a second away.
    server.signal(Signal::TERM);
    assert_eq!(server.wait_exit(), Exit::Code(0));
}

#[test]
fn want_of_descriptors_is_waited_out() {
    let server = start(2, "shared", &[]);
    let mut conn = server.connect();
    answers(&mut conn);
    server.limit_descriptors(3);
    let dead = server.child_of(&conn);
    signal(dead, Signal::KILL);
    server.log_until("the reason", |log| log.contains("no process for a child"));
    assert!(server.cpu_during(Duration::from_millis(300)) < Duration::from_millis(100));
    server.limit_descriptors(1000);
    eventually("a replacement", || pids(&server).len() == 2);
    let mut clients = [server.connect(), server.connect()];
    clients.iter_mut().for_each(answers);
}

#[test]
fn the_lock_outlives_its_holder() {
    let server = start(3, "lock", &["-v"]);
    // One of them holds it, or will in a moment; so all of them are killed, and again those that come after, until it
    // was in somebody's hand.
    eventually("the lock passes on", || {
        let before = pids(&server);
        before.iter().for_each(|pid| signal(*pid, Signal::KILL));
        eventually("others take their places", || {
            let now = pids(&server);
            now.len() == 3 && now.is_disjoint(&before)
        });
        answers(&mut server.connect()); // whoever comes next in has had the lock
        server.log().contains("the lock passes on")
    });
    let mut clients = [server.connect(), server.connect(), server.connect()];
    clients.iter_mut().for_each(answers);
}

#[test]
fn a_child_that_is_told_to_end_takes_nobody_along() {
    for way in WAYS {
        let server = start(2, way, &["--drain-timeout", "1"]);
        let mut busy = server.connect();
        answers(&mut busy);
        let serving = server.child_of(&busy);
        let idle = *pids(&server).iter().find(|pid| **pid != serving).expect("the other");
        // A stranger's signal is not the order to stop: it means this child alone.
        for pid in [idle, serving] {
            signal(pid, Signal::TERM);
            eventually("another takes its place", || {
                let now = pids(&server);
                now.len() == 2 && !now.contains(&pid)
            });
        }
        busy.rest();
        let mut clients = [server.connect(), server.connect()];
        clients.iter_mut().for_each(answers);
    }
}

#[test]
fn a_client_passed_to_a_dying_child_is_the_only_one_lost() {
    let server = start(2, "pass", &[]);
    // The child that was free last comes first; it has asked for a client, and will not take it.
    let mut probe = server.connect();
    answers(&mut probe);
    let stopped = server.child_of(&probe);
    assert_eq!(probe.ask("QUIT").ok(), b"");
    probe.closed();
    drop(probe);
    // With its tether and its channel alone: who still has a client may sleep, too, and has not asked for another.
    let waits = || {
        let sockets = proc::descriptors(stopped).into_values();
        let sockets = sockets.filter(|target| target.starts_with("socket:")).count();
        sockets == 2 && proc::asleep(stopped)
    };
    eventually("it waits for the next", waits);
    signal(stopped, Signal::STOP);
    let mut clients = [server.connect(), server.connect(), server.connect()];
    for client in &mut clients {
        client.send("HASH none\nQUIT\n");
    }
    // One is with the child that was stopped; the others share the other child.
    let served = |conn: &&Conn| !conn.is_quiet_for(Duration::from_millis(10));
    eventually("two are served", || clients.iter().filter(served).count() == 2);
    signal(stopped, Signal::KILL);
    let lost = clients.iter_mut().map(Conn::drain).filter(|said| *said == 0).count();
    assert_eq!(lost, 1);
    let mut clients = [server.connect(), server.connect()];
    clients.iter_mut().for_each(answers);
}

#[test]
fn children_end_with_their_parent() {
    for way in WAYS {
        let server = start(4, way, &["--drain-timeout", "60"]);
        let mut idle = server.connect();
        answers(&mut idle);
        server.signal(Signal::KILL);
        server.wait_exit();
        eventually("the children end", || pids(&server).is_empty());
        let gone = std::net::TcpStream::connect(server.address());
        assert!(gone.is_err(), "{way}: somebody still listens");
    }
}

#[test]
fn the_scoreboard_is_right() {
    for way in WAYS {
        let server = start(3, way, &[]);
        server.root().write("a", "hello");
        for requests in [1, 2, 3, 10] {
            let mut conn = server.connect();
            // One after the other, and all at once.
            for _ in 0..requests {
                assert_eq!(conn.ask("GET a").text(), "hello");
            }
            conn.send("GET a\n".repeat(requests) + "QUIT\n");
            conn.rest();
        }
        // Who says nothing has a connection and no request; a killed child's count stays.
        let silent = server.connect();
        let mut last = server.connect();
        last.ask("NONSENSE").code();
        last.ask("HASH none").code();
        let dead = server.child_of(&last);
        eventually("the silent one is there", || {
            let address = server.address();
            !oracles::connection_holders(&server.process_tree(), address, silent.local()).is_empty()
        });
        // It counts a request when the reply is out.
        eventually("it waits for the next request", || proc::asleep(dead));
        signal(dead, Signal::KILL);
        last.drain();
        eventually("another takes its place", || {
            let now = pids(&server);
            now.len() == 3 && !now.contains(&dead)
        });
        let pids = pids(&server);
        let rows = scoreboard(&server);
        let (sums, rows) = rows.split_last().expect("sums");
        assert_eq!(sums[1..], [6, 2 * 16 + 4 + 2, 1], "{way}: {rows:?}");
        for column in 1..4 {
            assert_eq!(rows.iter().map(|row| row[column]).sum::<u64>(), sums[column], "{way}");
        }
        let named: BTreeSet<i32> = rows.iter().map(|row| row[0] as i32).collect();
        assert_eq!(named, pids, "{way}");
    }
}

#[test]
fn a_child_holds_what_it_needs() {
    for way in WAYS {
        let server = start(3, way, &[]);
        let mut conn = server.connect();
        answers(&mut conn);
        let serving = server.child_of(&conn);
        let root = server.root().path().display().to_string();
        for pid in pids(&server) {
            let mut targets: Vec<String> = proc::descriptors(pid).into_values().collect();
            targets.retain(|target| !target.starts_with("pipe:") && target != "/dev/null");
            // The tether, and where its clients come from; and its client.
            let sockets = 2 + usize::from(pid == serving);
            let (own, others): (Vec<_>, Vec<_>) =
                targets.into_iter().partition(|target| target.starts_with("socket:"));
            assert_eq!(own.len(), sockets, "{way}: {own:?}");
            assert_eq!(others, [&root[..]], "{way}");
            assert_eq!(
                oracles::listener_holders(&server.process_tree(), server.address()).contains(&pid),
                way != "pass"
            );
        }
    }
}

#[test]
fn draining_costs_nothing() {
    for way in WAYS {
        let server = start(3, way, &[]);
        let size = server.root().patterned("large", 16 << 20);
        let mut conn = Conn::connect_narrow(server.address());
        conn.send("GET large\n");
        assert_eq!(conn.ok_line(), size);
        server.signal(Signal::TERM);
        eventually("those without a client end", || pids(&server).len() == 1);
        assert!(
            server.cpu_during(Duration::from_millis(300)) < Duration::from_millis(100),
            "{way}"
        );
        conn.widen();
        assert_eq!(conn.drain(), size);
        assert_eq!(server.wait_exit(), Exit::Code(0));
    }
}

#[test]
fn waiting_costs_nothing() {
    for way in WAYS {
        let server = start(16, way, &[]);
        let mut clients: Vec<Conn> = (0..16).map(|_| server.connect()).collect();
        clients.iter_mut().for_each(answers);
        let mut waiting = server.connect();
        waiting.send("HASH none\n");
        pause(Duration::from_millis(100));
        assert!(server.cpu_during(Duration::from_millis(300)) < Duration::from_millis(30), "{way}");
        drop(clients);
        assert!(waiting.reply().is("not-found"));
    }
}
