//! What the generator makes of connections that are refused, closed or lost, and of errors.

use crate::fake::{Fake, Faults, unlistened_port};
use crate::scripted::{Act, Scripted, held_port};
use crate::{MS, assert_in_time, run, short, target};
use benches::load::engine::{self, Run, RunError, Target, Watcher};
use benches::load::recording::{Environment, Interval, Recording, Totals};
use benches::load::workload::{Arrivals, Lifetime, Mix, Protocol, Workload};
use benches::load::{content, verdict};
use benches::{Placement, Server, VARIANTS};
use harness::wait::{eventually, pause};
use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::SocketAddr;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

const BUSY: Act =
    Act::Reply("HTTP/1.1 503 Service Unavailable", "Connection: close\r\n", b"busy\n");

fn http() -> Workload {
    Workload { protocol: Protocol::Http, ..short() }
}

#[test]
fn errors_cause_no_pause() {
    // One client: every other request fails, and its connection ends.
    let workload = Workload { connections: 1, ..http() };
    assert_in_time("an error in less than 50 ms", || {
        let server = Scripted::start(&workload, |ask| match ask.of_all % 2 {
            0 => Act::File(""),
            _ => BUSY,
        });
        run(&workload, server.addr).errors.get("busy").is_some_and(|busy| *busy > 10)
    });
}

#[test]
fn refused_clients_have_been_connected() {
    let server = Scripted::start(&http(), |ask| match ask.of_all % 3 {
        0 => Act::File(""),
        _ => BUSY,
    });
    let recording = run(&http(), server.addr);
    assert!(recording.errors["busy"] > 0, "{:?}", recording.errors);
    assert_eq!(recording.totals.connections_made, 4);
    assert!(!recording.invalid.iter().any(|why| why.contains("connections were made")));
}

#[test]
fn announced_close_resends_pipelined_requests() {
    let mix = Mix { get: 1, put: 1, ..Mix::default() };
    for (fields, mix) in [
        ("Connection: close\r\n", Mix::default()),
        ("Connection: foo, Close\r\n", Mix::default()),
        ("Connection: close\r\nConnection: keep-alive\r\n", Mix::default()),
        ("Connection: close\r\n", mix),
    ] {
        let workload = Workload { pipelining: 8, mix, sizes: vec![200, 100_000].into(), ..http() };
        let server = Scripted::start(&workload, move |ask| match ask.nth % 3 {
            2 => Act::File(fields),
            _ => Act::File(""),
        });
        let recording = run(&workload, server.addr);
        assert!(recording.errors.is_empty(), "{fields:?}: {:?}", recording.errors);
        let totals = recording.totals;
        assert!(totals.done > 0 && totals.done == totals.planned, "{totals:?}");
        assert!(server.seen.connections.load(Ordering::Relaxed) > 4);
    }
}

#[test]
fn resent_requests_keep_planned_time() {
    // Each reply takes 30 ms and is its connection's last: a request waits for the three before it, too.
    let workload = Workload { pipelining: 4, connections: 1, ..http() };
    let server = Scripted::start(&workload, |_| {
        pause(Duration::from_millis(30));
        Act::File("Connection: close\r\n")
    });
    let recording = run(&workload, server.addr);
    assert!(recording.errors.is_empty(), "{:?}", recording.errors);
    assert!(recording.totals.done >= 4, "{:?}", recording.totals);
    assert!(recording.response_time.percentile(50.0) >= 100 * MS);
}

#[test]
fn unannounced_close_loses_pipelined_requests() {
    let workload = Workload { pipelining: 4, ..http() };
    let server = Scripted::start(&workload, |ask| match ask.nth {
        2 => Act::Close,
        _ => Act::File(""),
    });
    let recording = run(&workload, server.addr);
    assert!(recording.errors["lost"] > 0, "{:?}", recording.errors);
}

#[test]
fn drained_run_has_open_connections() {
    struct Drained<'a>(&'a Scripted, Vec<usize>);
    impl Watcher for Drained<'_> {
        fn started(&mut self, _: Instant) {}

        fn drained(&mut self) {
            self.1.push(self.0.open_connections());
        }
    }
    let workload = Workload { connections: 5, ..http() };
    let server = Scripted::start(&workload, |_| Act::File(""));
    let mut drained = Drained(&server, Vec::new());
    engine::run(Run {
        workload: &workload,
        target: &target(server.addr),
        stop: &AtomicBool::new(false),
        watcher: Some(&mut drained),
        environment: Environment::default(),
    })
    .unwrap();
    assert_eq!(drained.1, [5]);
}

/// A run against a server that is away for 300 ms after 50 requests.
fn run_with_restart(workload: &Workload) -> Recording {
    let workload = Workload { duration: Duration::from_secs(600), ..workload.clone() };
    let (_held, addr) = held_port();
    let serve = || Scripted::start_on(addr, &workload, |_| Act::File(""));
    let first = serve();
    let stop = AtomicBool::new(false);
    let run = || {
        engine::run(Run {
            workload: &workload,
            target: &target(addr),
            stop: &stop,
            watcher: None,
            environment: Environment::default(),
        })
    };
    thread::scope(|scope| {
        let running = scope.spawn(|| run().unwrap());
        let asked = |server: &Scripted, count| {
            let requests = &server.seen.requests;
            eventually("requests", || {
                requests.load(Ordering::Relaxed) >= count || running.is_finished()
            });
        };
        asked(&first, 50);
        first.end();
        pause(Duration::from_millis(300));
        let second = serve();
        asked(&second, 100);
        let served = &second.seen.connections;
        eventually("all clients", || served.load(Ordering::Relaxed) >= 4 || running.is_finished());
        stop.store(true, Ordering::Relaxed);
        running.join().unwrap()
    })
}

#[test]
fn restarted_server_is_waited_for() {
    let per_request = Workload { lifetime: Lifetime::PerRequest, ..http() };
    let open = Workload { arrivals: Arrivals::Fixed { rate: 400.0 }, connections: 256, ..http() };
    for workload in [http(), per_request, open] {
        let recording = run_with_restart(&workload);
        assert!(!verdict::server_ended(&recording), "{:?}", recording.invalid);
        // What was under way when the server ended is lost; what came later waited.
        let errors = &recording.errors;
        let lost = errors.get("lost").copied().unwrap_or(0);
        assert!(errors.keys().all(|kind| kind == "lost"), "{errors:?}");
        assert!(lost <= workload.connections as u64, "{errors:?}");
        assert!(recording.response_time.0.max() >= 250 * MS);
        let away = "the server was away once, for 0.";
        assert!(recording.notes.iter().any(|note| note.starts_with(away)), "{:?}", recording.notes);
    }
}

#[test]
fn exited_server_ends_run_at_once() {
    struct Exited;
    impl Watcher for Exited {
        fn started(&mut self, _: Instant) {}
        fn interval(&mut self, _: &Interval, _: &Totals, _: &BTreeMap<String, u64>) {}
        fn server_has_exited(&mut self) -> bool {
            true
        }
    }
    let long = Duration::from_secs(600);
    let workload = Workload { duration: long, timeout: long, ..short() };
    let fake = Fake::start(&workload, Faults { dies_after: Some(50), ..Faults::default() });
    let recording = engine::run(Run {
        workload: &workload,
        target: &target(fake.addr),
        stop: &AtomicBool::new(false),
        watcher: Some(&mut Exited),
        environment: Environment::default(),
    });
    let recording = recording.unwrap();
    assert!(verdict::server_ended(&recording), "{:?}", recording.invalid);
    let (totals, errors) = (recording.totals, recording.errors.values().sum::<u64>());
    assert_eq!(totals.planned, totals.done + errors, "each request fails once");
}

#[test]
fn some_refused_connections_are_retried() {
    // The server does not listen after its first requests, and every connection ends at its tenth.
    let (_held, addr) = held_port();
    let workload = Workload { timeout: Duration::from_millis(300), ..http() };
    let server = Scripted::start_on(addr, &workload, |ask| match ask.nth {
        10 if ask.of_all % 2 == 0 => Act::File("Connection: close\r\n"),
        _ => Act::File(""),
    });
    let workload = Workload { duration: Duration::from_secs(60), ..workload };
    let recording = thread::scope(|scope| {
        let running = scope.spawn(|| run(&workload, addr));
        eventually("requests", || server.seen.requests.load(Ordering::Relaxed) > 4);
        server.stop_listening();
        eventually("an end or an error", || {
            running.is_finished() || server.seen.requests.load(Ordering::Relaxed) > 2000
        });
        server.end();
        running.join().unwrap()
    });
    assert!(verdict::server_ended(&recording), "{:?}", recording.invalid);
    let (totals, errors) = (recording.totals, recording.errors.values().sum::<u64>());
    assert_eq!(totals.planned, totals.done + errors, "each request fails once");
}

#[test]
fn pause_after_error_is_reported() {
    let pause_after_error = Duration::from_millis(50);
    let workload = Workload { connections: 2, pause_after_error, ..http() };
    for fields in ["", "Connection: close\r\n"] {
        let server = Scripted::start(&workload, move |_| {
            Act::Reply("HTTP/1.1 503 Service Unavailable", fields, b"")
        });
        let recording = run(&workload, server.addr);
        let busy = recording.errors["busy"];
        // Each client at most once in 50 ms.
        assert!((2..=22).contains(&busy), "{:?}", recording.errors);
        let note = format!("clients paused 0.05 s after each of {busy} errors");
        assert!(recording.notes.contains(&note), "{:?}", recording.notes);
    }
}

#[test]
fn retry_after_replaces_pause() {
    let pause_after_error = Duration::from_millis(1);
    let workload = Workload { connections: 2, pause_after_error, ..http() };
    let busy = |_| Act::Reply("HTTP/1.1 503 Busy", "Retry-After: 60\r\n", b"");
    let recording = run(&workload, Scripted::start(&workload, busy).addr);
    assert_eq!(recording.errors["busy"], 2, "{:?}", recording.errors);
    let note = "clients paused 60 s after each of 2 errors, as Retry-After of the server asked";
    assert!(recording.notes.iter().any(|found| found == note), "{:?}", recording.notes);
    assert!(recording.seconds < 10.0);
    // Without a pause the field is not heeded.
    let workload = Workload { pause_after_error: Duration::ZERO, ..workload };
    assert!(run(&workload, Scripted::start(&workload, busy).addr).errors["busy"] > 2);
}

/// A server at these addresses.
fn at(addrs: &[SocketAddr]) -> Target {
    let authority = "files.example:8080".to_owned();
    Target { addrs: addrs.to_vec(), authority, name: "server".into() }
}

fn run_at(workload: &Workload, target: &Target) -> Result<Recording, RunError> {
    let (stop, environment) = (AtomicBool::new(false), Environment::default());
    engine::run(Run { workload, target, stop: &stop, watcher: None, environment })
}

#[test]
fn each_address_is_tried_in_turn() {
    let (_taken, dead) = unlistened_port();
    let per_request = Workload { lifetime: Lifetime::PerRequest, ..http() };
    for workload in [http(), per_request] {
        let server = Scripted::start(&workload, |_| Act::File(""));
        let recording = run_at(&workload, &at(&[dead, server.addr])).unwrap();
        assert!(recording.errors.is_empty() && recording.totals.done > 0);
        let notes = recording.notes.join("\n");
        assert!(notes.contains(&format!("{} was used", server.addr)), "{notes}");
        assert!(notes.contains(&format!("{dead} (connection refused)")), "{notes}");
        assert_eq!(*server.seen.host.lock().unwrap(), "files.example:8080");
    }
}

#[test]
fn all_dead_addresses_are_listed() {
    let ((_one, first), (_other, second)) = (unlistened_port(), unlistened_port());
    let error = run_at(&short(), &at(&[first, second])).unwrap_err().to_string();
    for part in ["files.example:8080 cannot be reached", &first.to_string(), &second.to_string()] {
        assert!(error.contains(part), "{error}");
    }
    assert_eq!(error.matches("connection refused").count(), 2, "{error}");
}

#[test]
fn localhost_is_found_in_both_families() {
    for listen in ["127.0.0.1:0", "[::1]:0"] {
        let Ok(probe) = server_core::listen(listen) else { continue };
        drop(probe);
        let server = Scripted::start_on(listen.parse().unwrap(), &http(), |_| Act::File(""));
        let name = format!("localhost:{}", server.addr.port());
        let target = Target::resolve(&name).unwrap();
        // Not every machine has both for the name.
        if target.addrs.contains(&server.addr) {
            let recording = run_at(&http(), &target).unwrap();
            assert!(recording.totals.done > 0 && recording.errors.is_empty());
            assert_eq!(*server.seen.host.lock().unwrap(), name);
        }
    }
}

/// The notes of a run of few clients against a server that makes the same reply to all.
fn notes_of(reply: fn() -> Act) -> (String, String) {
    let workload = Workload { duration: Duration::from_millis(200), ..http() };
    let server = Scripted::start(&workload, move |_| reply());
    (run(&workload, server.addr).notes.join("\n"), server.addr.to_string())
}

#[test]
fn tls_port_is_explained() {
    const ALERT: &[u8] = &[0x15, 3, 3, 0, 2, 2, 70];
    const PLAIN: &[u8] = b"<title>400 The plain HTTP request was sent to HTTPS port</title>";
    let nginx = || Act::Reply("HTTP/1.1 400 Bad Request", "Connection: close\r\n", PLAIN);
    for reply in [|| Act::Bytes(ALERT), nginx] {
        let (notes, addr) = notes_of(reply);
        assert!(notes.contains(&format!("{addr} speaks TLS")), "{notes}");
        assert!(notes.contains("plain port into --addr"), "{notes}");
    }
    let (notes, _) = notes_of(|| Act::Close);
    assert!(notes.contains("without a reply") && !notes.contains("TLS"), "{notes}");
}

#[test]
fn silent_tls_port_is_explained() {
    // It closes every connection, one that begins with a TLS record after an alert.
    let listener = server_core::listen("127.0.0.1:0").unwrap();
    let addr = listener.local_addr().unwrap();
    thread::spawn(move || {
        for mut socket in listener.incoming().map_while(Result::ok) {
            let mut first = [0; 512];
            let got = socket.read(&mut first).unwrap_or(0);
            if got > 3 && first[..3] == [0x16, 3, 1] {
                let _ = socket.write_all(&[0x15, 3, 3, 0, 2, 2, 40]);
            }
        }
    });
    let notes = run(&short(), addr).notes.join("\n");
    assert!(notes.contains(&format!("{addr} speaks TLS")), "{notes}");
    assert!(!notes.contains("without a reply"), "{notes}");
}

#[test]
fn first_refusal_is_shown() {
    let (notes, _) = notes_of(|| Act::Reply("HTTP/1.1 404 Not Found", "", b"no\x1b[2J"));
    assert!(notes.contains("first refusal: HTTP/1.1 404 Not Found"), "{notes}");
    let (notes, _) = notes_of(|| Act::Reply("HTTP/1.1 404 \x1b[2J", "", b""));
    assert!(notes.contains(r"HTTP/1.1 404 \x1b[2J"), "{notes}");
    let (notes, _) = notes_of(|| Act::File(""));
    assert_eq!(notes, "");
}

#[test]
fn killed_server_ends_run_at_once() {
    let root = tempfile::tempdir().unwrap();
    content::make_files(root.path(), &Workload::default()).unwrap();
    let serve = Command::new(env!("CARGO_BIN_EXE_serve"));
    let variant = VARIANTS.iter().find(|variant| variant.label == "thread_server").unwrap();
    let server = Server::start(serve, variant, root.path(), &[], Placement::Unpinned).unwrap();
    let pid = server.pid().as_raw_pid().to_string();
    // After its first reply the server opens descriptors for clients alone.
    let mut first = file_service::client::Client::connect(server.addr()).unwrap();
    first.list(None).unwrap();
    let descriptors = || std::fs::read_dir(format!("/proc/{pid}/fd")).unwrap().count();
    let before = descriptors();
    let child = Command::new(env!("CARGO_BIN_EXE_loadgen"))
        .args(["--addr", &server.addr().to_string(), "--pid", &pid, "-c", "2", "--no-null-run"])
        .args(["--warm-up", "0", "--duration", "600", "--timeout", "600"])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    eventually("two clients", || descriptors() >= before + 2);
    rustix::process::kill_process(server.pid(), rustix::process::Signal::KILL).unwrap();
    let output = child.wait_with_output().unwrap();
    let stdout = String::from_utf8_lossy(&output.stdout);
    assert_eq!(output.status.code(), Some(1), "{stdout}");
    assert!(stdout.contains(verdict::SERVER_ENDED), "{stdout}");
}

#[test]
fn scenario_and_flag_set_the_pause() {
    let directory = tempfile::tempdir().unwrap();
    let path = |name: &str| directory.path().join(name).to_str().unwrap().to_owned();
    std::fs::write(path("s.toml"), "pause_after_error = 0.2\n").unwrap();
    let busy = |_| Act::Reply("HTTP/1.1 503 Busy", "", b"");
    for (flags, pause) in [(&[][..], "0.2 s"), (&["--pause-after-error", "0.1"], "0.1 s")] {
        let addr = Scripted::start(&http(), busy).addr.to_string();
        let output = Command::new(env!("CARGO_BIN_EXE_loadgen"))
            .args(["--addr", &addr, "--protocol", "http", "--scenario", &path("s.toml")])
            .args(["--warm-up", "0", "--duration", "0.5", "-c", "2", "--no-null-run"])
            .args(["--json", &path("r.json")])
            .args(flags)
            .output()
            .unwrap();
        let json = std::fs::read_to_string(path("r.json")).unwrap();
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert!(json.contains(&format!("clients paused {pause} after")), "{json} {stderr}");
    }
}
