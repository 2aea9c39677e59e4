//! Several processes at one listening socket: one limit, one stop, and what a death costs.

use harness::wait::eventually;
use harness::wire::{Conn, Reply};
use harness::{Exit, Server, Subject, oracles, proc};
use rustix::process::{Pid, Signal, kill_process};

fn server(processes: &str, options: &[&str]) -> Server {
    let subject = Subject::new(env!("CARGO_BIN_EXE_coroutine_server"));
    let server = subject.args(["--processes", processes]).start(options);
    server.root().write("a", "hello");
    server
}

/// The processes that serve, once all are there.
fn children<const N: usize>(server: &Server) -> [i32; N] {
    let living = || -> Vec<i32> {
        let children = server.children();
        children.iter().filter(|child| child.state != 'Z').map(|child| child.pid).collect()
    };
    eventually("all processes are there", || living().len() == N);
    living().try_into().expect("so many")
}

fn send(pid: i32, signal: Signal) {
    kill_process(Pid::from_raw(pid).expect("a process id"), signal).expect("a child of the server");
}

/// Stops a process, so that the others get all new clients.
fn freeze(pid: i32) {
    send(pid, Signal::STOP);
    eventually("it is stopped", || proc::process(pid).is_some_and(|process| process.state == 'T'));
}

/// A client that has been served, and by whom.
fn served_by(server: &Server, pid: i32) -> Conn {
    let mut conn = server.connect();
    assert_eq!(conn.ask("GET a").text(), "hello");
    let holders =
        oracles::connection_holders(&server.process_tree(), server.address(), conn.local());
    assert_eq!(holders, [pid]);
    conn
}

/// Two clients with the first process and two with the second.
fn two_each(server: &Server, first: i32, second: i32) -> ([Conn; 2], [Conn; 2]) {
    freeze(second);
    let of_first = [served_by(server, first), served_by(server, first)];
    send(second, Signal::CONT);
    freeze(first);
    let of_second = [served_by(server, second), served_by(server, second)];
    send(first, Signal::CONT);
    (of_first, of_second)
}

#[test]
fn the_limit_holds_over_all_processes() {
    let server = server("2", &["--max-connections", "4"]);
    let [first, second] = children(&server);
    let (of_first, of_second) = two_each(&server, first, second);
    for full in [first, second] {
        freeze(full);
        assert_eq!(server.connect().reply().code(), "busy");
        send(full, Signal::CONT);
    }
    drop(of_first);
    // A place is anybody's, whoever had it.
    let mut conns = Vec::new();
    eventually("the places are free again", || {
        let mut conn = server.connect();
        if let Reply::Ok(_) = conn.ask("GET a") {
            conns.push(conn);
        }
        conns.len() == 2
    });
    assert_eq!(server.connect().reply().code(), "busy");
    drop(of_second);
}

#[test]
fn a_killed_process_is_replaced_and_its_places_are_free() {
    let server = server("2", &["--max-connections", "4"]);
    let [first, second] = children(&server);
    let (of_first, mut of_second) = two_each(&server, first, second);
    send(first, Signal::KILL);
    for mut conn in of_first {
        conn.drain();
    }
    of_second.iter_mut().for_each(|conn| assert_eq!(conn.ask("GET a").text(), "hello"));
    server.log_until("the death", |log| log.contains("signal 9"));
    let replaced = || !children::<2>(&server).contains(&first);
    eventually("another process is there", replaced);
    assert_eq!(oracles::zombies(&server.process_tree()), [0; 0]);
    let mut again = [server.connect(), server.connect()];
    again.iter_mut().for_each(|conn| assert_eq!(conn.ask("GET a").text(), "hello"));
    assert_eq!(server.connect().reply().code(), "busy");
    server.signal(Signal::TERM);
    assert_eq!(server.wait_exit(), Exit::Code(0));
}

#[test]
fn want_of_descriptors_is_waited_out() {
    let server = server("2", &[]);
    let [first, second] = children(&server);
    // Wait until both processes serve: the limit would end a process that has not finished its start.
    drop(two_each(&server, first, second));
    server.limit_descriptors(3);
    send(first, Signal::KILL);
    server.log_until("the reason", |log| log.contains("could not be started"));
    server.log_until("the next try", |log| log.matches("could not be started").count() > 1);
    assert_eq!(children(&server), [second]);
    server.limit_descriptors(1000);
    let mut conn = server.connect();
    assert_eq!(conn.ask("GET a").text(), "hello");
    children::<2>(&server);
    server.signal(Signal::TERM);
    assert_eq!(server.wait_exit(), Exit::Code(0));
}

#[test]
fn the_processes_end_with_their_parent() {
    let server = server("3", &[]);
    let pids = children::<3>(&server);
    let mut conn = server.connect();
    assert_eq!(conn.ask("GET a").text(), "hello");
    send(server.pid(), Signal::KILL);
    conn.closed();
    let gone = |pid| proc::process(pid).is_none_or(|process| process.state == 'Z');
    eventually("all are gone", || pids.iter().all(|&pid| gone(pid)));
}

#[test]
fn a_transfer_outlives_the_parent() {
    let server = server("2", &[]);
    children::<2>(&server);
    let size = server.root().patterned("large", 16 << 20);
    let mut conn = Conn::connect_narrow(server.address());
    conn.send("GET large\n");
    assert_eq!(conn.ok_line(), size);
    send(server.pid(), Signal::KILL);
    eventually("nobody listens", || Conn::try_connect(server.address()).is_err());
    conn.widen();
    assert_eq!(conn.follow(&harness::root::pattern(), 0, size), size);
}

#[test]
fn a_signal_to_one_process_stops_all() {
    let server = server("2", &[]);
    let [first, _] = children(&server);
    send(first, Signal::TERM);
    assert_eq!(server.wait_exit(), Exit::Code(0));
    assert_eq!(server.whole_log(), "");
}

#[test]
fn a_second_signal_leaves_nobody_behind() {
    let server = server("2", &["--drain-timeout", "60"]);
    let pids = children::<2>(&server);
    server.root().sparse("large", 64 << 20);
    let mut conn = Conn::connect_narrow(server.address());
    conn.send("GET large\n");
    conn.ok_line();
    server.signal(Signal::TERM);
    eventually("nobody listens", || Conn::try_connect(server.address()).is_err());
    server.signal(Signal::TERM);
    assert_eq!(server.wait_exit(), Exit::Code(128 + 15));
    // The parent has waited for them: not even zombies are left.
    assert!(pids.iter().all(|&pid| proc::process(pid).is_none()));
}

#[test]
fn ignored_children_can_be_waited_for_all_the_same() {
    let subject = Subject::new(env!("CARGO_BIN_EXE_coroutine_server")).args(["--processes", "2"]);
    let ignoring = ["env", "--ignore-signal=CHLD"];
    let server = subject.launch().through(ignoring).start().expect("a server");
    let [first, _] = children(&server);
    send(first, Signal::KILL);
    server.log_until("the death", |log| log.contains("signal 9"));
    server.signal(Signal::TERM);
    assert_eq!(server.wait_exit(), Exit::Code(0));
}

#[test]
fn the_places_of_a_burst_are_all_given() {
    let server = server("2", &["--max-connections", "20"]);
    let [first, second] = children(&server);
    let sockets = || oracles::descriptor_kinds(&server.process_tree())["socket"];
    let clients = two_each(&server, first, second);
    let without_clients = sockets() - 4;
    drop(clients);
    for _ in 0..20 {
        eventually("all have left", || sockets() == without_clients);
        let mut conns: Vec<Conn> = (0..40).map(|_| server.connect()).collect();
        // Who is refused may be so before it has asked.
        conns.iter_mut().for_each(|conn| drop(conn.try_send("GET a\n")));
        let replies = conns.iter_mut().map(Conn::reply);
        assert_eq!(replies.filter(|reply| matches!(reply, Reply::Ok(_))).count(), 20);
    }
}

#[test]
fn a_trace_is_shared() {
    let folder = harness::Root::new();
    let path = folder.join("trace.json");
    let server = server("2", &["--trace", path.to_str().expect("a path in UTF-8")]);
    let [first, second] = children(&server);
    drop(two_each(&server, first, second));
    server.signal(Signal::TERM);
    assert_eq!(server.wait_exit(), Exit::Code(0));
    let trace = std::fs::read_to_string(&path).expect("a trace");
    for pid in [first, second] {
        let requests = trace
            .lines()
            .filter(|line| line.contains(&format!("\"pid\":{pid},")) && line.contains("\"GET a\""));
        assert_eq!(requests.count(), 2, "{trace}");
    }
    // Numbers are given once, whoever accepts.
    let accepted = |n| trace.contains(&format!("\"args\":{{\"connection\":{n},\"peer\""));
    assert!((1..=4).all(accepted) && !accepted(5), "{trace}");
}
