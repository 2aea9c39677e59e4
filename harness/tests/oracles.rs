//! The oracles against things that are known to be wrong: one that never says no proves nothing.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddrV4, TcpListener};
use std::os::unix::process::CommandExt;
use std::process::{Child, Command};
use std::thread;
use std::time::Duration;

use harness::proc::{Process, process_tree, signals};
use harness::wait::{eventually, within};
use harness::wire::Conn;
use harness::{Root, oracles, root};
use rustix::net::{AddressFamily, SocketFlags, SocketType};
use rustix::process::{Pid, Signal, kill_process_group};

/// A shell that runs `script` in a process group of its own, killed when it is dropped.
struct Shell(Child);

impl Shell {
    fn run(script: &str) -> Shell {
        let mut command = Command::new("sh");
        Shell(command.args(["-c", script]).process_group(0).spawn().expect("a shell"))
    }

    fn pid(&self) -> i32 {
        self.0.id() as i32
    }

    fn process_tree(&self) -> Vec<Process> {
        process_tree(self.pid())
    }
}

impl Drop for Shell {
    fn drop(&mut self) {
        let _ = kill_process_group(Pid::from_child(&self.0), Signal::KILL);
        let _ = self.0.wait();
    }
}

/// A listener on a free port, open in every process that is started meanwhile if `inherited`.
fn listen(inherited: bool) -> (TcpListener, SocketAddrV4) {
    let flags = if inherited { SocketFlags::empty() } else { SocketFlags::CLOEXEC };
    let (process_tree, kind) = (AddressFamily::INET, SocketType::STREAM);
    let socket = rustix::net::socket_with(process_tree, kind, flags, None).expect("a socket");
    rustix::net::bind(&socket, &SocketAddrV4::new(Ipv4Addr::LOCALHOST, 0)).expect("a port");
    rustix::net::listen(&socket, 8).expect("to listen");
    let listener = TcpListener::from(socket);
    match listener.local_addr() {
        Ok(std::net::SocketAddr::V4(address)) => (listener, address),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_parent_that_never_waits_has_zombies() {
    // The shell becomes a sleep, which knows nothing of the shell's child.
    let careless = Shell::run("true & exec sleep 100");
    eventually("a zombie", || oracles::zombies(&careless.process_tree()).len() == 1);
    // It opens a file when it has waited for both; until then one of them may well be a zombie.
    let careful = Shell::run("true & wait; true & wait; exec 7</dev/zero; sleep 100");
    eventually("both were waited for", || {
        oracles::descriptor_kinds(&careful.process_tree()).contains_key("/dev/zero")
    });
    assert!(oracles::zombies(&careful.process_tree()).is_empty());
}

#[test]
fn a_busy_wait_uses_processor_time() {
    let window = Duration::from_millis(300);
    let busy = Shell::run("while :; do :; done");
    let lazy = Shell::run("exec sleep 100");
    eventually("the loop runs", || {
        oracles::cpu_during(&busy.process_tree(), window) > Duration::from_millis(50)
    });
    eventually("the sleeper sleeps", || {
        oracles::cpu_during(&lazy.process_tree(), window) < Duration::from_millis(5)
    });
}

#[test]
fn an_inherited_listener_is_found() {
    let (_listener, address) = listen(true);
    let (_closed, private) = listen(false);
    let heir = Shell::run("exec sleep 100");
    eventually("the child holds the listener", || {
        oracles::listener_holders(&heir.process_tree(), address) == [heir.pid()]
    });
    assert!(oracles::listener_holders(&heir.process_tree(), private).is_empty());
}

#[test]
fn a_leak_changes_the_kinds_of_descriptors() {
    let shell = Shell::run("exec 7</dev/zero; exec sleep 100");
    eventually("the descriptor is open", || {
        oracles::descriptor_kinds(&shell.process_tree()).get("/dev/zero") == Some(&1)
    });
}

#[test]
fn the_feeder_exposes_framing_by_luck() {
    /// Takes every read for one line: right as long as a line comes in one piece.
    fn serve(listener: TcpListener) {
        let (mut client, _) = listener.accept().expect("a client");
        let mut buffer = [0; 100];
        while let Ok(1..) = client.read(&mut buffer) {
            let _ = client.write_all(b"line\n");
        }
    }
    for (size, replies) in [(6, 1), (1, 6)] {
        let (listener, address) = listen(false);
        let server = thread::spawn(|| serve(listener));
        let mut conn = Conn::connect(address);
        oracles::feed(&mut conn, b"hello\n", size);
        conn.finish();
        let rest = conn.rest();
        assert_eq!(rest, b"line\n".repeat(replies), "fed {size} at a time");
        server.join().expect("the server");
    }
}

#[test]
fn a_patterned_file_has_no_two_places_alike() {
    let root = Root::new();
    let size = root.patterned("file", 100_000);
    let content = root.read("file");
    assert_eq!(content.len(), size);
    assert!(content.starts_with(&root::pattern()));
    assert_ne!(content[0..4096], content[65_536..69_632]);
    assert_eq!(root.names(), ["file"]);
}

#[test]
fn who_sleeps_is_told_from_who_works() {
    let long = Duration::from_millis(300);
    let sleeper = Shell::run("exec sleep 100");
    let mut watch = oracles::SleepWatch::new(sleeper.pid());
    eventually("the sleeper sleeps on", || watch.sample() > long);
    let busy = Shell::run("while :; do :; done");
    let mut watch = oracles::SleepWatch::new(busy.pid());
    assert!(!within(2 * long, || watch.sample() > long), "a loop is taken for a sleeper");
}

#[test]
fn what_a_process_does_with_signals_is_seen() {
    let shell = Shell::run("trap '' TERM; trap : USR1; while :; do read line; done </dev/zero");
    let (term, user) = (Signal::TERM.as_raw(), Signal::USR1.as_raw());
    eventually("both are set", || {
        signals(shell.pid())
            .is_some_and(|signals| signals.ignored.contains(term) && signals.caught.contains(user))
    });
    let seen = signals(shell.pid()).expect("it lives");
    assert!(!seen.caught.contains(term) && !seen.ignored.contains(user));
    assert!(!seen.blocked.contains(term) && !seen.pending.contains(user));
}
