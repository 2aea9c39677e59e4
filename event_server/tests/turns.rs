//! What a client of one loop may expect of it while others are there, and what the loop refuses.

use harness::oracles::{connection_holders, until_read};
use harness::proc::{cpu_time, descriptors};
use harness::sockets;
use harness::wait::eventually;
use harness::wire::{Conn, Reply};
use harness::{Exit, Launch, Server};
use rustix::process::{Resource, Rlimit, Signal, getrlimit, setrlimit};
use std::time::Duration;

/// Every way of asking who is ready.
const POLLERS: [&[&str]; 4] = [
    &["--poller", "select"],
    &["--poller", "poll"],
    &["--poller", "epoll", "--trigger", "level"],
    &["--poller", "epoll", "--trigger", "edge"],
];

fn launch(poller: &[&str], more: &[&str]) -> Launch {
    Launch::new(env!("CARGO_BIN_EXE_event_server")).args(poller).args(more)
}

#[track_caller]
fn start(poller: &[&str], more: &[&str]) -> Server {
    launch(poller, more).start().unwrap_or_else(|failure| panic!("{failure}"))
}

/// A client that the server has accepted, and waits for.
fn parked(server: &Server) -> Conn {
    let mut conn = server.connect();
    assert!(conn.ask("GET no-such").is("not-found"));
    conn
}

/// Lets everything in `meanwhile` happen to the server between two of its waits.
fn in_one_batch(server: &Server, meanwhile: impl FnOnce()) {
    server.signal(Signal::STOP);
    let stopped = || server.process_tree().iter().all(|process| process.state == 'T');
    eventually("the server is stopped", stopped);
    meanwhile();
    server.signal(Signal::CONT);
}

/// Sends, and waits until that has arrived at a server that does not read.
fn send_unread(conn: &mut Conn, bytes: &[u8]) {
    conn.send(bytes);
    let end = || sockets::connection(conn.peer(), conn.local());
    let arrived = || end().is_some_and(|end| end.unread as usize == bytes.len());
    eventually("the bytes arrive", arrived);
}

#[test]
fn an_edge_is_for_epoll_only() {
    for poller in ["select", "poll"] {
        let failure = launch(&["--poller", poller], &["--trigger", "edge"]).refuse();
        assert_eq!(failure.exit, Some(Exit::Code(2)), "{failure}");
        assert_eq!(failure.output, "", "it never listened");
        assert_eq!(failure.log.lines().count(), 1, "{failure}");
        for word in ["event_server: ", "--trigger edge", "--poller epoll", poller] {
            assert!(failure.log.contains(word), "{word:?} is missing: {failure}");
        }
    }
    start(&["--poller", "poll"], &["--trigger", "level"]).ask("LIST").ok();
}

#[test]
fn bad_options() {
    for bad in [["--poller", "kqueue"], ["--trigger", "both"], ["--workers", "0"]] {
        let failure = launch(&bad, &[]).refuse();
        assert_eq!(failure.exit, Some(Exit::Code(2)), "{failure}");
        assert_eq!(failure.log.lines().count(), 1, "{failure}");
        assert!(failure.log.contains(bad[0]), "{failure}");
    }
}

/// A client whose thousand requests have all arrived gives way to another after its share of them.
#[test]
fn one_client_with_much_to_do_starves_nobody() {
    const MANY: usize = 1_000;
    for poller in POLLERS {
        let server = start(poller, &["-vv"]);
        let (mut fast, mut modest) = (parked(&server), parked(&server));
        in_one_batch(&server, || {
            send_unread(&mut fast, "FAST\n".repeat(MANY).as_bytes());
            send_unread(&mut modest, b"MODEST\n");
        });
        assert!(modest.reply().is("bad-command"));
        for _ in 0..MANY {
            assert!(fast.reply().is("bad-command"));
        }
        let whole = |log: &str| log.matches("FAST").count() == MANY;
        let log = server.log_until("all requests are logged", whole);
        let before = log.split("MODEST").next().map_or(0, |log| log.matches("FAST").count());
        assert!(before < MANY / 2, "{poller:?}: {before} requests of one client came first");
        // By edge nothing may be forgotten for having arrived during somebody's turn.
        assert!(fast.ask("GET no-such").is("not-found"));
    }
}

/// Bytes that arrive while a client is in the list are read, whatever its last read has seen.
#[test]
fn what_arrives_between_two_shares_is_answered() {
    for poller in POLLERS {
        let server = start(poller, &[]);
        let mut conn = parked(&server);
        // A read that is not full, so that nothing more seems to be there, with more than one share in it.
        for _ in 0..50 {
            conn.send("\n".repeat(300));
            conn.send("X\n");
            for _ in 0..301 {
                assert!(conn.reply().is("bad-command"), "{poller:?}");
            }
        }
    }
}

/// In one batch twenty clients end and twenty others come, who get the same descriptors and places.
#[test]
fn what_is_said_of_one_who_left_reaches_nobody() {
    for poller in POLLERS {
        let server = start(poller, &[]);
        let mut leaving: Vec<Conn> = (0..20).map(|_| parked(&server)).collect();
        let mut coming = Vec::new();
        in_one_batch(&server, || {
            for (at, conn) in leaving.iter_mut().enumerate() {
                match at % 3 {
                    0 => send_unread(conn, b"QUIT\n"),
                    1 => conn.finish(),
                    _ => {
                        conn.send("GET no-such\n");
                        conn.finish();
                    }
                }
            }
            for at in 0..20 {
                server.root().write(format!("mine-{at}"), format!("content {at}"));
                let mut conn = server.connect();
                conn.send(format!("GET mine-{at}\n"));
                coming.push(conn);
            }
        });
        for (at, conn) in leaving.iter_mut().enumerate() {
            match at % 3 {
                0 => assert!(conn.reply().ok().is_empty(), "{poller:?}"),
                1 => {}
                _ => assert!(conn.reply().is("not-found"), "{poller:?}"),
            }
            conn.closed();
        }
        for (at, conn) in coming.iter_mut().enumerate() {
            assert_eq!(conn.reply().text(), format!("content {at}"), "{poller:?}");
        }
        // They stay, and are silent unless they are asked.
        for (at, conn) in coming.iter_mut().enumerate() {
            assert_eq!(conn.ask(format!("GET mine-{at}")).text(), format!("content {at}"));
        }
    }
}

/// A client that sends on, or has ended its side, and reads nothing: the server neither spins nor waits for ever.
#[test]
fn a_stuck_reply_costs_nothing_and_has_an_end() {
    for poller in POLLERS {
        for ends in [false, true] {
            let server = start(poller, &["--transfer-timeout", "3"]);
            server.root().sparse("large", 256 << 20);
            let mut stuck = Conn::connect_narrow(server.address());
            stuck.send("GET large\n");
            stuck.ok_line();
            // Where this process was held up until the client was cut, it is said to nobody.
            let _ = stuck.try_send("GET large\n");
            if ends {
                stuck.finish();
            }
            let spent = server.cpu_during(Duration::from_secs(1));
            assert!(spent < Duration::from_millis(500), "{poller:?}: {spent:?} while it waits");
            let (client, address) = (stuck.local(), server.address());
            let gone = || connection_holders(&server.process_tree(), address, client);
            eventually("the stuck client is cut", || gone().is_empty());
            server.ask("LIST").ok();
        }
    }
}

/// While a long job is out, its client's bytes and its end are no reason for the loop to wake.
#[test]
fn a_client_that_leaves_during_its_job_costs_nothing() {
    for poller in POLLERS {
        let server = start(poller, &[]);
        server.root().sparse("large", 128 << 20);
        let (mut patient, mut leaving) = (parked(&server), parked(&server));
        for conn in [&mut patient, &mut leaving] {
            conn.send("HASH large\n");
            assert!(until_read(conn));
            conn.send("LIST\n");
        }
        leaving.reset();
        assert_eq!(patient.reply().ok().len(), 65, "{poller:?}");
        patient.reply().ok();
        let uses_the_file = || {
            let fds = descriptors(server.pid());
            fds.values().any(|target| target.ends_with("/large"))
        };
        eventually("both jobs are done", || !uses_the_file());
        // A loop that spins meanwhile uses as much of the processor as a job.
        let (whole, main) = (cpu_time(server.pid()).expect("it runs"), first_thread(&server));
        assert!(main * 6 < whole, "{poller:?}: {main:?} of {whole:?} in the loop");
        assert!(server.ask("GET no-such").is("not-found"));
    }
}

/// Processor time of the thread that runs the loop.
fn first_thread(server: &Server) -> Duration {
    let path = format!("/proc/{0}/task/{0}/schedstat", server.pid());
    let text = std::fs::read_to_string(path).expect("its statistics");
    let nanoseconds = text.split(' ').next().and_then(|text| text.parse().ok());
    Duration::from_nanos(nanoseconds.expect("a number"))
}

/// Clients from descriptor 1,024 up are told that there is no room, and the others are served on.
#[test]
fn select_ends_where_its_sets_end() {
    const CLIENTS: usize = 1_150;
    let limit = getrlimit(Resource::Nofile);
    if limit.maximum.is_some_and(|maximum| maximum < 2 * CLIENTS as u64) {
        eprintln!("SKIPPED: needs {} descriptors", 2 * CLIENTS);
        return;
    }
    setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit })
        .expect("up to the hard limit");
    let server = start(&["--poller", "select"], &["--max-connections", "2000"]);
    server.root().write("hello.txt", "hello");
    let (mut held, mut refused) = (Vec::new(), 0);
    for _ in 0..CLIENTS {
        let mut conn = server.connect();
        // Who is refused may be let go before it has asked.
        let _ = conn.try_send("GET hello.txt\n");
        match conn.reply() {
            Reply::Ok(content) => {
                assert_eq!(content, b"hello");
                held.push(conn);
            }
            reply => {
                assert!(reply.is("busy"), "{reply:?}");
                conn.closed();
                refused += 1;
            }
        }
    }
    assert!(held.len() > 900 && held.len() < 1024, "{} are held", held.len());
    assert_eq!(held.len() + refused, CLIENTS);
    for conn in &mut held {
        assert_eq!(conn.ask("GET hello.txt").ok(), b"hello");
    }
    held.truncate(1);
    eventually("there is room again", || matches!(server.ask("GET hello.txt"), Reply::Ok(_)));
    server.signal(Signal::TERM);
    assert_eq!(server.wait_exit(), Exit::Code(0));
}

/// A new client wakes one of four workers; with a turn to accept, at most the one who gets it as well.
#[test]
fn no_herd() {
    const CLIENTS: usize = 100;
    for poller in POLLERS {
        let server = start(poller, &["--workers", "4", "-vv"]);
        let before = worker_switches(&server);
        let mut conns = Vec::new();
        for count in 1..=CLIENTS {
            conns.push(server.connect());
            let accepted = |log: &str| log.matches(" connected ").count() == count;
            server.log_until("the client is accepted", accepted);
        }
        let switches = worker_switches(&server) - before;
        drop(conns);
        server.signal(Signal::TERM);
        assert_eq!(server.wait_exit(), Exit::Code(0));
        let log = server.whole_log();
        let (wakes, accepted) = (counts(&log, "wakes="), counts(&log, "accepted="));
        assert_eq!(accepted.iter().sum::<usize>(), CLIENTS, "{poller:?}");
        let wakes = wakes.iter().sum::<usize>();
        assert!(wakes * 10 <= CLIENTS * 11, "{poller:?}: {wakes} wake-ups for {CLIENTS} clients");
        // The kernel may have woken a worker and let it sleep again. A little is allowed for locks.
        let most = if poller.contains(&"epoll") { CLIENTS * 3 / 2 } else { CLIENTS * 2 };
        assert!(switches <= most, "{poller:?}: {switches} switches to a worker");
    }
}

/// How often a worker has gone to sleep.
fn worker_switches(server: &Server) -> usize {
    let tasks = std::fs::read_dir(format!("/proc/{}/task", server.pid())).expect("its threads");
    let switches = tasks.flatten().filter_map(|task| {
        let status = std::fs::read_to_string(task.path().join("status")).ok()?;
        let field = |name: &str| status.lines().find_map(|line| line.strip_prefix(name));
        field("Name:")?.trim().starts_with("worker").then_some(())?;
        field("voluntary_ctxt_switches:")?.trim().parse::<usize>().ok()
    });
    switches.sum()
}

/// What the workers say of themselves when they end.
fn counts(log: &str, name: &str) -> Vec<usize> {
    let counts = log.split_whitespace().filter_map(|word| word.strip_prefix(name));
    counts.map(|count| count.parse().expect("a count")).collect()
}

/// Four workers get about as many clients, though the kernel would rather wake the same one again.
#[test]
fn clients_are_spread_over_the_workers() {
    for poller in POLLERS {
        let server = start(poller, &["--workers", "4", "-vv"]);
        let conns: Vec<Conn> = (0..80).map(|_| parked(&server)).collect();
        server.signal(Signal::TERM);
        assert_eq!(server.wait_exit(), Exit::Code(0));
        drop(conns);
        let counts = counts(&server.whole_log(), "accepted=");
        let (least, most) = (counts.iter().min(), counts.iter().max());
        assert_eq!(counts.len(), 4);
        assert!(most.copied() <= least.map(|least| least + 10), "{poller:?}: {counts:?}");
    }
}
