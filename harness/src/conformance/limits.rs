//! Many clients, hostile clients, scarce descriptors: the server lives, the others are served,
//! nothing leaks.

use std::sync::Arc;
use std::thread;
use std::time::Duration;

use rustix::process::Signal;

use super::{as_user, begun, http_get, noise, said_to_the_end, stays};
use crate::root::pattern;
use crate::server::Exit;
use crate::subject::own_user;
use crate::wait::{TIMEOUT, eventually, within};
use crate::wire::{Conn, Reply};
use crate::{Root, Server, Subject, oracles, proc};

/// A connection that the server has taken up for good, or its refusal.
pub(super) fn admitted(server: &Server) -> Result<Conn, Reply> {
    let mut conn = server.connect();
    // A refused client may be told so before its request arrives.
    let _ = conn.try_send("HASH none\n");
    match conn.reply() {
        reply if reply.is("not-found") => Ok(conn),
        refusal => Err(refusal),
    }
}

/// A connection that waits in the backlog, with a request.
#[track_caller]
fn waits(server: &Server) -> Conn {
    let mut conn = server.connect();
    conn.send("HASH none\n");
    assert!(conn.is_quiet_for(Duration::from_millis(30)), "somebody answers beyond the limit");
    conn
}

/// One client more than allowed is told `busy`; or it waits, where that is the model's way.
#[track_caller]
fn is_left_out(subject: &Subject, server: &Server) -> Option<Conn> {
    if subject.do_excess_clients_wait() {
        return Some(waits(server));
    }
    let refusal = admitted(server).err().expect("more clients than allowed at once");
    assert_eq!(refusal.code(), "busy");
    None
}

pub(super) fn more_clients_than_allowed(subject: &Subject) {
    let server = subject.start(&["--max-connections", "4"]);
    let mut served: Vec<Conn> = (0..4).map(|_| admitted(&server).expect("room for 4")).collect();
    if subject.do_excess_clients_wait() {
        let waiting: Vec<Conn> = (0..20).map(|_| waits(&server)).collect();
        served.iter_mut().for_each(stays);
        // Each that leaves makes room for the one that has waited longest.
        for mut next in waiting {
            drop(served.remove(0));
            assert!(next.reply().is("not-found"));
            served.push(next);
        }
        served.iter_mut().for_each(stays);
        return;
    }
    for _ in 0..20 {
        // Told unasked.
        let mut conn = server.connect();
        assert_eq!(conn.reply().code(), "busy");
        conn.closed();
    }
    // Those within keep their places, and a refusal that lingers costs them nothing.
    let mut lingering: Vec<Conn> = (0..20).map(|_| server.connect()).collect();
    served.iter_mut().for_each(stays);
    for conn in &mut lingering {
        assert_eq!(conn.reply().code(), "busy");
    }
    served.iter_mut().for_each(stays);
}

pub(super) fn busy_is_no_reset(subject: &Subject) {
    let server = subject.start(&["--max-connections", "1"]);
    let mut inside = admitted(&server).expect("room for one");
    let body = noise(2 << 20);
    if subject.do_excess_clients_wait() {
        // More than the kernel keeps for a client that is not served yet.
        let conns = [waits(&server), waits(&server)];
        thread::scope(|scope| {
            for (mut conn, name) in conns.into_iter().zip(["f", "g"]) {
                let body = &body;
                scope.spawn(move || {
                    conn.send([format!("PUT {name} {}\n", body.len()).as_bytes(), body].concat());
                    assert!(conn.reply().is("not-found"));
                    assert_eq!(conn.reply().ok(), b"");
                });
            }
            stays(&mut inside);
            assert_eq!(server.root().names(), [""; 0]);
            drop(inside);
        });
        assert!(server.root().read("f") == body && server.root().read("g") == body);
        return;
    }
    for _ in 0..5 {
        // The client talks on and listens only then.
        let request = [format!("PUT f {}\n", body.len()).as_bytes(), &body].concat();
        let mut conn = said_to_the_end(&server, request);
        assert_eq!(conn.reply().code(), "busy");
        conn.closed();
    }
    stays(&mut inside);
    assert_eq!(server.root().names(), [""; 0]);
}

pub(super) fn a_place_is_freed(subject: &Subject) {
    let server = subject.start(&["--max-connections", "2"]);
    let readmitted = || {
        let mut admission = None;
        eventually("a place is free again", || {
            admission = admitted(&server).ok();
            admission.is_some()
        });
        admission.expect("admitted")
    };
    let (mut first, mut second) = (readmitted(), readmitted());
    for round in 0..6 {
        let third = is_left_out(subject, &server);
        match round % 3 {
            0 => drop(first),
            1 => first.reset(),
            _ => {
                first.ask("QUIT").ok();
                first.closed();
            }
        }
        first = second;
        second = match third {
            Some(mut waited) => {
                assert!(waited.reply().is("not-found"));
                waited
            }
            None => readmitted(),
        };
    }
    stays(&mut first);
    stays(&mut second);
}

pub(super) fn descriptor_limits(subject: &Subject) {
    // The soft limit is raised to the hard one, and the number of connections bows to it.
    let shell =
        |limit: &str| ["sh".into(), "-c".into(), format!(r#"ulimit {limit}; exec "$0" "$@""#)];
    let launch = subject.launch().through(shell("-Sn 100"));
    let server = launch.start().unwrap_or_else(|failure| panic!("{failure}"));
    let (soft, hard) = proc::descriptor_limits(server.pid()).expect("limits");
    assert_eq!(soft, hard, "soft and hard limit on descriptors");
    let launch = subject.launch().through(shell("-n 70"));
    let server = launch.start().unwrap_or_else(|failure| panic!("{failure}"));
    server.log_until("a warning", |log| log.contains('\n'));
    let mut served: Vec<Conn> = (0..6).map(|_| admitted(&server).expect("room for 6")).collect();
    is_left_out(subject, &server);
    served.iter_mut().for_each(stays);
}

pub(super) fn descriptors_run_out(subject: &Subject) {
    let server = subject.start(&[]);
    server.root().write("a", "hello");
    server.ask("GET a").ok();
    let (kinds, _) = settled(&server);
    server.limit_descriptors(64);
    let mut clients: Vec<Conn> = (0..100).map(|_| server.connect()).collect();
    // Needs no further descriptor, once the client has been taken up.
    for client in &mut clients {
        let _ = client.try_send("NONSENSE\n");
    }
    comes_to_rest(&server);
    assert!(server.is_running());
    let (mut served, mut refused) = (0, 0);
    for client in &mut clients {
        match client.reply() {
            reply if reply.is("bad-command") => served += 1,
            reply if reply.is("busy") => refused += 1,
            other => panic!("neither served nor busy: {other:?}"),
        }
    }
    eprintln!("{served} served, {refused} refused");
    assert!(served > 0, "nobody was served");
    drop(clients);
    eventually("the server recovers", || {
        let mut conn = server.connect();
        let _ = conn.try_send("GET a\n");
        conn.reply() == Reply::Ok(b"hello".to_vec())
    });
    gives_back_all_but(&kinds, &server);
}

pub(super) fn lost_spare_descriptor_is_regained(subject: &Subject) {
    let server = subject.start(&[]);
    server.ask("LIST").ok();
    server.limit_descriptors(64);
    let mut clients: Vec<Conn> = (0..100).map(|_| server.connect()).collect();
    for client in &mut clients {
        let _ = client.try_send("NONSENSE\n");
    }
    let mut served: Vec<Conn> = clients
        .into_iter()
        .filter_map(|mut client| client.reply().is("bad-command").then_some(client))
        .collect();
    // With more room a descriptor that was spent to refuse is opened again, above those of the clients.
    server.limit_descriptors(1000);
    served.extend((0..3).map(|_| {
        let mut conn = server.connect();
        assert!(conn.ask("NONSENSE").is("bad-command"));
        conn
    }));
    // So it is lost when it is spent next: its number is not below the limit any more.
    server.limit_descriptors(64);
    let mut waiting = server.connect();
    let _ = waiting.try_send("NONSENSE\n");
    comes_to_rest(&server);
    drop(served.remove(0));
    // The descriptor that has become free is for refusals first, so nobody stays without an answer.
    let mut later: Vec<Conn> = (0..5).map(|_| server.connect()).collect();
    for client in &mut later {
        let _ = client.try_send("NONSENSE\n");
    }
    for client in std::iter::once(&mut waiting).chain(&mut later) {
        let reply = client.reply();
        assert!(reply.is("bad-command") || reply.is("busy"), "{reply:?}");
    }
}

pub(super) fn a_storm_of_short_connections(subject: &Subject) {
    let server = subject.start(&[]);
    server.root().write("a", "hello");
    server.ask("GET a").ok();
    // Some of what a server holds comes with its first client and stays.
    let (kinds, size) = settled(&server);
    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for round in 0..100 {
                    let mut conn = server.connect();
                    match round % 4 {
                        0 => conn.reset(),
                        1 => drop(conn),
                        2 => assert_eq!(conn.ask("GET a").text(), "hello"),
                        _ => {
                            assert_eq!(conn.ask("QUIT").ok(), b"");
                            conn.closed();
                        }
                    }
                }
            });
        }
    });
    eventually("no zombie is left", || oracles::zombies(&server.process_tree()).is_empty());
    gives_back_all_but(&kinds, &server);
    eventually("no process is left over", || server.process_tree().len() <= size);
    stays(&mut server.connect());
}

/// Waits until the server uses less than a twentieth of a processor. It may have work to finish,
/// but one that spins never comes to rest.
#[track_caller]
pub(super) fn comes_to_rest(server: &Server) {
    eventually("a server with nothing to do uses no processor time", || {
        server.cpu_during(Duration::from_millis(500)) < Duration::from_millis(25)
    });
}

/// The descriptors and the number of processes of a server that has nothing to do.
fn settled(server: &Server) -> (std::collections::BTreeMap<String, usize>, usize) {
    let look = || (oracles::descriptor_kinds(&server.process_tree()), server.process_tree().len());
    let mut last = look();
    eventually("the server comes to rest", || {
        // That nothing changes is not enough: a parent that still has children to fork may wait for a core as long.
        let asleep = oracles::asleep_during(&server.process_tree(), Duration::from_millis(30));
        let now = look();
        let rests = asleep && now == last;
        last = now;
        rests
    });
    last
}

/// Waits until the server holds no more of any kind than it did. It may hold less: on a busy machine its first client
/// was perhaps not quite gone yet when it was looked at before.
#[track_caller]
fn gives_back_all_but(kinds: &std::collections::BTreeMap<String, usize>, server: &Server) {
    let now = || oracles::descriptor_kinds(&server.process_tree());
    let had = |kind: &String| kinds.get(kind).copied().unwrap_or(0);
    let back = || now().iter().all(|(kind, count)| *count <= had(kind));
    assert!(within(TIMEOUT, back), "{:?} were {kinds:?}", now());
}

pub(super) fn clients_that_vanish(subject: &Subject) {
    let server = subject.start(&[]);
    server.root().sparse("large", 16 << 20);
    server.ask("LIST").ok();
    let (kinds, size) = settled(&server);
    for round in 0..120 {
        let mut conn = server.connect();
        if round % 3 == 0 {
            conn.send(http_get("/large"));
        } else {
            conn.send("GET large\nGET large\n");
        }
        // The reply is under way.
        conn.bytes(10);
        if round % 2 == 0 {
            conn.reset();
        }
    }
    assert!(server.is_running());
    gives_back_all_but(&kinds, &server);
    eventually("no process is left over", || server.process_tree().len() <= size);
    stays(&mut server.connect());
}

pub(super) fn a_reader_that_stalls(subject: &Subject) {
    let server = subject.start(&[]);
    let size = server.root().patterned("large", 100 << 20);
    let mut conn = Conn::connect_narrow(server.address());
    conn.send("GET large\n");
    assert_eq!(conn.ok_line(), size);
    comes_to_rest(&server);
    if subject.at_once(2) == 2 {
        for _ in 0..20 {
            stays(&mut server.connect());
        }
    }
    conn.widen();
    assert_eq!(conn.follow(&pattern(), 0, size), size);
    stays(&mut conn);
}

pub(super) fn many_readers_that_stall(subject: &Subject) {
    let server = subject.start(&[]);
    let size = server.root().patterned("large", 8 << 20);
    let block = pattern();
    let stalled = subject.at_once(16) - 1;
    let mut stalled: Vec<Conn> =
        (0..stalled).map(|_| Conn::connect_narrow(server.address())).collect();
    for conn in &mut stalled {
        conn.send("GET large\n");
        assert_eq!(conn.ok_line(), size);
    }
    for _ in 0..20 {
        stays(&mut server.connect());
    }
    for mut conn in stalled {
        conn.widen();
        assert_eq!(conn.follow(&block, 0, size), size);
    }
}

pub(super) fn idle_clients_starve_nobody(subject: &Subject) {
    let server = subject.start(&[]);
    server.root().write("a", "hello");
    let mut idle: Vec<Conn> = (0..subject.at_once(200) - 1).map(|_| server.connect()).collect();
    for conn in &mut idle {
        assert_eq!(conn.ask("GET a").text(), "hello");
    }
    for _ in 0..20 {
        assert_eq!(server.ask("GET a").text(), "hello");
    }
    for conn in &mut idle {
        assert_eq!(conn.ask("GET a").text(), "hello");
    }
    comes_to_rest(&server);
}

pub(super) fn memory_is_bounded(subject: &Subject) {
    let server = subject.start(&[]);
    server.root().sparse("large", 256 << 20);
    server.ask("LIST").ok();
    settled(&server); // or children that are forked later would count as growth
    let before = oracles::memory(&server.process_tree());
    let enough = |what: &str| {
        let now = oracles::memory(&server.process_tree());
        let grown = now.saturating_sub(before) >> 20;
        assert!(grown < 24, "{grown} MiB more memory for {what}");
    };
    // A large upload that is only announced; a large file that nobody reads, a hundred times; a
    // line without an end.
    let mut conn = server.connect();
    conn.send("PUT f 1073741824\nx");
    assert!(oracles::until_read(&conn));
    enough("an upload");
    drop(conn);
    let mut conn = Conn::connect_narrow(server.address());
    conn.send("GET large\n".repeat(100));
    assert_eq!(conn.ok_line(), 256 << 20);
    crate::wait::pause(Duration::from_millis(100));
    enough("a download");
    conn.reset();
    let mut conn = server.connect();
    let line = vec![b'x'; 1 << 20];
    for _ in 0..64 {
        if conn.try_send(&line).is_err() {
            break;
        }
    }
    enough("a line without an end");
}

pub(super) fn stray_signals(subject: &Subject) {
    let server = subject.start(&[]);
    let content = noise(1 << 20);
    let mut conn = server.connect();
    conn.send(format!("PUT f {}\n", content.len()));
    // None of these means anything to a server, but each may interrupt a system call.
    for piece in content.chunks(4096) {
        conn.send(piece);
        for signal in [Signal::CHILD, Signal::WINCH, Signal::URG, Signal::CONT] {
            server.signal_group(signal);
        }
    }
    assert_eq!(conn.reply().ok(), b"");
    assert!(server.root().read("f") == content);
    assert!(conn.ask("GET f").ok() == content);
    drop(conn);
    stays(&mut server.connect());
}

pub(super) fn no_thread_while_serving(subject: &Subject) {
    let (user, root) = (own_user(), Arc::new(Root::new()));
    let size = root.patterned("large", 16 << 20);
    let launch = as_user(subject, &root, user).through(["prlimit", "--nproc=1000:1000"]);
    let server = launch.start().unwrap_or_else(|failure| panic!("{failure}"));
    eventually("a client is served", || admitted(&server).is_ok());
    settled(&server); // children that are forked beforehand are there
    let mut inside = (subject.at_once(2) == 2).then(|| admitted(&server).expect("room for one"));
    server.limit_threads(user, 1);
    for round in 0..3 {
        let put = format!("PUT f{round} 5\nhello");
        for request in ["GET large 0 5", "LIST", "HASH large", &put] {
            let mut conn = server.connect();
            let _ = conn.try_send(request);
            let _ = conn.try_send("\n");
            let reply = conn.reply();
            let served = matches!(reply, Reply::Ok(_));
            assert!(served || reply.is("busy") || reply.is("internal"), "{request}: {reply:?}");
        }
        inside.iter_mut().for_each(stays);
    }
    // A child that dies cannot be replaced: the others serve.
    let shared = !server.children().is_empty() && subject.do_excess_clients_wait();
    if let Some(child) = server.children().first().filter(|_| shared) {
        let pid = rustix::process::Pid::from_raw(child.pid).expect("a process id");
        rustix::process::kill_process(pid, Signal::KILL).expect("to kill it");
        let ended = || proc::process(child.pid).is_none_or(|child| child.has_ended());
        eventually("the child ends", ended); // until then it may take a client
        stays(&mut server.connect());
    }
    // With room again clients are served, and under the limit the last of them leaves in order.
    server.limit_threads(user, 1000);
    let mut download = Conn::connect_narrow(server.address());
    eventually("a client is served again", || {
        download = Conn::connect_narrow(server.address());
        let _ = download.try_send("GET large\n");
        download.line() == format!("OK {size}").into_bytes()
    });
    server.limit_threads(user, 1);
    server.signal(Signal::TERM);
    if let Some(conn) = &mut inside {
        conn.rest();
    }
    download.widen();
    assert_eq!(download.follow(&pattern(), 0, size), size);
    drop(download);
    assert_eq!(server.wait_exit(), Exit::Code(0));
    let log = server.whole_log();
    assert!(!log.contains("panicked"), "{log}");
}

pub(super) fn a_child_holds_only_its_own_socket(subject: &Subject) {
    let server = subject.start(&[]);
    let mut clients: Vec<Conn> = (0..5).map(|_| server.connect()).collect();
    clients.iter_mut().for_each(stays);
    let holders = oracles::listener_holders(&server.process_tree(), server.address());
    if !subject.do_children_listen() {
        assert_eq!(holders, [server.pid()], "only the parent listens");
    }
    for client in &clients {
        server.child_of(client);
    }
}

pub(super) fn a_child_that_is_killed(subject: &Subject) {
    let server = subject.start(&["--max-connections", "2"]);
    server.root().sparse("large", 64 << 20);
    let mut other = admitted(&server).expect("room for two");
    for _ in 0..10 {
        let mut victim = None;
        eventually("the place of the dead is free", || {
            victim = admitted(&server).ok();
            victim.is_some()
        });
        let mut victim = victim.expect("admitted");
        victim.send("GET large\n");
        victim.ok_line();
        let child = rustix::process::Pid::from_raw(server.child_of(&victim));
        let child = child.expect("a process id");
        rustix::process::kill_process(child, Signal::KILL).expect("to kill it");
        assert!(victim.drain() < 64 << 20, "a dead child went on sending");
        stays(&mut other);
    }
    eventually("no zombie is left", || oracles::zombies(&server.process_tree()).is_empty());
}

pub(super) fn children_whose_parent_is_killed(subject: &Subject) {
    let server = subject.start(&["--idle-timeout", "1"]);
    let idle = Duration::from_secs(1);
    let clients = [(); 3].map(|()| begun(|| server.connect(), "HASH none\n", idle));
    let mut clients = clients.map(|(conn, _)| conn);
    clients.iter_mut().for_each(|conn| assert!(conn.reply().is("not-found")));
    server.signal(Signal::KILL);
    server.wait_exit();
    eventually("the children end", || server.children().iter().all(|child| child.state == 'Z'));
}
