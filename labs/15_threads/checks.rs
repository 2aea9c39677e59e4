//! Threads from outside: whom they serve, how many there are, what they lose, and whether they share the work.

use crate::context::{
    Check, Client, Finding, Program, Server, Stop, TIMEOUT, TestContext, UNWRITTEN, Verdict, fail,
    quote, thread_syscalls,
};
use harness::wait::{pause, within};
use harness::{oracles, proc, sockets};
use nix::sys::signal::Signal;
use std::collections::BTreeMap;
use std::ops::Range;
use std::time::{Duration, Instant};

pub(crate) const CHECKS: &[(&str, Check)] = &[
    ("threads.last_first", threads_last_first),
    ("threads.bounded", threads_bounded),
    ("threads.panic", threads_panic),
    ("threads.finishes", threads_finishes),
    ("pool.last_first", pool_last_first),
    ("pool.bounded", pool_bounded),
    ("pool.in_order", pool_in_order),
    ("pool.panic", pool_panic),
    ("pool.wakes", pool_wakes),
    ("pool.spurious", pool_spurious),
    ("pool.sleeps", pool_sleeps),
    ("pool.finishes", pool_finishes),
    ("pool.ends", pool_ends),
    ("stats.exact", stats_exact),
    ("speedup.answer", speedup_answer),
    ("speedup.threads", speedup_threads),
    ("speedup.measured", speedup_measured),
    ("speedup.ratio", speedup_ratio),
];

/// A file that is there, as it is asked for, and the reply.
const ASK: &str = "GET hello.txt\n";
const FILE: &str = "hello\n";
const REPLY: &str = "OK 6\nhello\n";
const GOODBYE: &str = "OK 0\n";

/// How long the server may take for what it should do at once.
const SOON: Duration = TIMEOUT;

/// Threads that a server may have beside those that serve: `main`, and two more for whatever it likes.
const OTHERS: usize = 3;

// ---- servers and clients ----

/// A server with a file to serve; `sync` is how its locks behave.
fn serve(context: &TestContext, options: &str, sync: &str) -> Verdict<Server> {
    let root = context.directory().join("root");
    std::fs::create_dir(&root)?;
    std::fs::write(root.join("hello.txt"), FILE)?;
    let launch = context.program("server").arg("--root").arg(root).args(options.split(' '));
    launch.env("LAB_SYNC", sync).env("RUST_BACKTRACE", "0").start()?.listening()
}

fn pool(context: &TestContext, workers: usize, queue: usize, sync: &str) -> Verdict<Server> {
    serve(context, &format!("--model pool --workers {workers} --queue {queue}"), sync)
}

fn threads(context: &TestContext, limit: usize) -> Verdict<Server> {
    serve(context, &format!("--model thread --limit {limit}"), "")
}

/// Adds to a failure what the server is doing.
fn with_server_state<T>(server: &mut Server, verdict: Verdict<T>) -> Verdict<T> {
    let change = |finding: &mut Finding| {
        let said = server.program.describe();
        if said.contains(UNWRITTEN) {
            finding.observed = said;
        } else {
            if finding.observed.starts_with("nothing") && thread_count(server) > 0 {
                finding.observed += &format!(": {}", likely_cause(server));
            }
            finding.observed += &format!("; {}", state(server));
        }
    };
    verdict.map_err(|stop| stop.map_finding(change))
}

/// A new client.
fn connect(server: &mut Server) -> Verdict<Client> {
    let client = server.connect();
    with_server_state(server, client)
}

/// What the server is doing, thread by thread.
fn state(server: &mut Server) -> String {
    let threads = threads_of(server.program.pid());
    if threads.is_empty() { server.program.describe() } else { threads }
}

/// As in "3 threads in futex, 1 in poll".
fn threads_of(pid: i32) -> String {
    let calls = thread_syscalls(pid);
    let total = proc::threads(pid).len();
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    for call in calls.values() {
        *counts.entry(call).or_default() += 1;
    }
    if total > calls.len() {
        counts.insert("no waiting call", total - calls.len());
    }
    let counts: Vec<String> =
        counts.into_iter().map(|(call, n)| format!("{n} in {call}")).collect();
    match total {
        0 => String::new(),
        1 => format!("of pid {pid} there is 1 thread: {}", counts.join(", ")),
        n => format!("of pid {pid} there are {n} threads: {}", counts.join(", ")),
    }
}

/// The likely cause of a client not being served, judged by the threads.
fn likely_cause(server: &Server) -> &'static str {
    let pid = server.program.pid();
    let calls = thread_syscalls(pid);
    let reading = calls.values().filter(|call| ["recvfrom", "read"].contains(call)).count();
    let waiting = calls.values().filter(|call| **call == "futex").count();
    if proc::threads(pid).len() == 1 {
        "no thread is left beside the one that accepts"
    } else if calls.get(&pid) == Some(&"futex") {
        "the thread that accepts waits itself: for a thread that it joins, or for a lock"
    } else if reading == 0 && waiting > 0 {
        "the client was accepted, and all that could serve it sleep: nobody has woken one"
    } else if waiting > 0 {
        "one thread reads, and others wait: for a lock that it holds, or because nobody has woken them"
    } else {
        "no thread serves this client"
    }
}

fn thread_count(server: &Server) -> usize {
    proc::process(server.program.pid()).map_or(0, |process| process.threads)
}

/// How many connections the server has accepted and still holds.
fn connections_held(server: &Server) -> usize {
    let descriptors = proc::descriptors(server.program.pid());
    let sockets = descriptors.values().filter(|target| target.starts_with("socket:")).count();
    sockets.saturating_sub(usize::from(sockets::listener(server.address).is_some()))
}

/// How many connections nobody has accepted yet.
fn backlog(server: &Server) -> usize {
    sockets::listener(server.address).map_or(0, |listener| listener.unread as usize)
}

/// Whether every thread sleeps, and none has got up for a while.
fn asleep(server: &Server) -> bool {
    oracles::asleep_during(&server.program.process_tree(), Duration::from_millis(60))
}

/// Whether nothing will happen any more before something comes from outside: everybody waits, and not for the clock.
fn stuck(server: &Server) -> bool {
    let calls = thread_syscalls(server.program.pid());
    !calls.values().any(|call| *call == "nanosleep") && (0..4).all(|_| asleep(server))
}

/// Waits for what should happen at once. Gives up when the time is up or the server is stuck.
fn wait_until(server: &Server, mut condition: impl FnMut() -> bool) -> bool {
    let until = Instant::now() + SOON;
    loop {
        if within(Duration::from_millis(100), &mut condition) {
            return true;
        }
        if Instant::now() >= until || stuck(server) {
            return condition();
        }
    }
}

/// Waits until every thread sleeps. One that never does is another check's business.
fn wait_until_asleep(server: &Server) {
    within(Duration::from_secs(1), || asleep(server));
}

/// What has become of a client so far.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Admission {
    Waiting,
    Served,
    Refused,
    Closed,
}

/// Looks without waiting, and takes nothing away.
fn admission(client: &Client) -> Verdict<Admission> {
    let stream = client.stream();
    let mut bytes = [0; 8];
    stream.set_nonblocking(true)?;
    let got = stream.peek(&mut bytes);
    stream.set_nonblocking(false)?;
    Ok(match got {
        Ok(0) => Admission::Closed,
        Ok(n) if bytes[..n].starts_with(b"OK") => Admission::Served,
        Ok(_) => Admission::Refused,
        Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => Admission::Waiting,
        Err(_) => Admission::Closed,
    })
}

/// A whole request and its reply; the client stays.
fn ask(server: &mut Server, client: &mut Client, what: &str) -> Verdict {
    let asked = client.send(ASK).and_then(|()| expect_reply(server, client, what));
    with_server_state(server, asked)
}

/// Waits until anything has come for the client, or the end.
fn wait_for_reply(server: &Server, client: &Client, what: &str) -> Verdict {
    let begun = Instant::now();
    if wait_until(server, || !matches!(admission(client), Ok(Admission::Waiting))) {
        return Ok(());
    }
    fail(what, format!("nothing for {:.1?}, though nothing else is to be done", begun.elapsed()))
}

fn expect_reply(server: &Server, client: &mut Client, what: &str) -> Verdict {
    wait_for_reply(server, client, what)?;
    let got = client.read_exactly(REPLY.len(), what)?;
    if got == REPLY.as_bytes() {
        return Ok(());
    }
    fail(what, format!("{} instead of {REPLY:?}", quote(&String::from_utf8_lossy(&got))))
}

/// The client sends QUIT, and the server closes.
fn quit(server: &mut Server, mut client: Client, what: &str) -> Verdict {
    let left = client.send("QUIT\n").and_then(|()| {
        wait_for_reply(server, &client, what)?;
        let got = client.read_exactly(GOODBYE.len(), what)?;
        if got != GOODBYE.as_bytes() {
            return fail(what, quote(&String::from_utf8_lossy(&got)));
        }
        client.read_end(what)
    });
    with_server_state(server, left)
}

const HALF: usize = 7;

/// A client that has sent half a request, which was read: somebody serves it. Who is refused comes again, for a while:
/// the place of another may not be free before that other has noticed its end.
fn admitted(server: &mut Server, first: Client, what: &str) -> Verdict<Client> {
    let until = Instant::now() + SOON;
    let mut client = first;
    loop {
        let (here, there) = (client.local_address()?, server.address);
        let settled = wait_until(server, || {
            oracles::unread(there, here) == Some(0)
                || !matches!(admission(&client), Ok(Admission::Waiting))
        });
        match admission(&client)? {
            Admission::Waiting if settled => return Ok(client),
            Admission::Waiting => {
                let why = likely_cause(server);
                let observed = format!("the half request of one of them lies unread: {why}");
                return with_server_state(server, fail(what, observed));
            }
            Admission::Served => {
                return with_server_state(server, fail(what, "a reply to half a request"));
            }
            Admission::Refused | Admission::Closed if Instant::now() < until => {
                pause(Duration::from_millis(5));
                client = connect(server)?;
                let _ = client.send(&ASK[..HALF]);
            }
            Admission::Refused => {
                return with_server_state(server, fail(what, "this client is refused"));
            }
            Admission::Closed => {
                return with_server_state(
                    server,
                    fail(what, "the connection is closed without a word"),
                );
            }
        }
    }
}

/// N clients come together, each with half a request; the last one finishes first.
fn last_first(server: &mut Server, count: usize) -> Verdict {
    let mut halves = Vec::new();
    for _ in 0..count {
        let mut client = connect(server)?;
        // Who is refused at once shows that later.
        let _ = client.send(&ASK[..HALF]);
        halves.push(client);
    }
    let what =
        format!("{count} clients served at the same time, each of which has sent half a request");
    let mut clients = Vec::new();
    for half in halves {
        clients.push(admitted(server, half, &what)?);
    }
    for (n, client) in clients.iter_mut().enumerate().rev() {
        let what = format!(
            "a reply to client {} of {count}, while those before it hold half a request",
            n + 1
        );
        let got = client.send(&ASK[HALF..]).and_then(|()| expect_reply(server, client, &what));
        with_server_state(server, got)?;
    }
    for client in clients.into_iter().rev() {
        quit(server, client, "`OK 0` and the end of the connection after QUIT")?;
    }
    Ok(())
}

// ---- both models ----

/// `at_once` clients are served, `waiting` wait; of ten more none gets a thread or a place in the queue.
fn bounded(server: &mut Server, at_once: usize, waiting: usize) -> Verdict {
    let mut served = Vec::new();
    for n in 1..=at_once {
        let mut client = connect(server)?;
        ask(server, &mut client, &format!("a reply to client {n} of {at_once} at the same time"))?;
        served.push(client);
    }
    let what = format!(
        "no more than {at_once} clients served and {waiting} waiting in the program; any others told `ERR busy`, or not accepted"
    );
    let extra = 10;
    let mut others = Vec::new();
    for _ in 0..waiting + extra {
        let mut client = connect(server)?;
        let _ = client.send(ASK);
        others.push(client);
    }
    let count = |others: &[Client], wanted: Admission| -> Verdict<usize> {
        let admissions = others.iter().map(admission).collect::<Verdict<Vec<Admission>>>()?;
        Ok(admissions.into_iter().filter(|admission| *admission == wanted).count())
    };
    let until = Instant::now() + SOON;
    loop {
        let (held, threads) = (connections_held(server), thread_count(server));
        let all = at_once + others.len();
        let more = count(&others, Admission::Served)?;
        if threads > at_once + OTHERS || more > 0 {
            let observed = format!(
                "{all} clients have come: {} are served at once; the server has {threads} threads",
                at_once + more
            );
            return fail(&what, observed);
        }
        if held > at_once + waiting + 2 {
            let observed = format!(
                "{all} clients have come: the server has accepted {held} connections and holds them, and refuses nobody"
            );
            return fail(&what, observed);
        }
        if count(&others, Admission::Closed)? > 0 {
            return with_server_state(
                server,
                fail(&what, "a connection was closed without a word"),
            );
        }
        // Who is not accepted while every thread sleeps will not be accepted soon. And one that was may be in the hands
        // of who waits for room.
        let (refused, left) = (count(&others, Admission::Refused)?, backlog(server));
        let enough = refused + left + 1 >= extra && refused <= extra;
        if enough && (left == 0 || asleep(server) && backlog(server) == left) {
            break;
        }
        if Instant::now() >= until {
            let observed = format!(
                "{all} clients have come: {refused} were refused, {held} are held, {} are not accepted",
                backlog(server)
            );
            return with_server_state(server, fail(&what, observed));
        }
        pause(Duration::from_millis(3));
    }
    if let Some(client) = served.pop() {
        quit(server, client, "`OK 0` and the end of the connection after QUIT")?;
    }
    // Who waits is served now; and if nobody does, the next who comes.
    others.retain(|client| matches!(admission(client), Ok(Admission::Waiting | Admission::Served)));
    let nobody = others.is_empty();
    let until = Instant::now() + SOON;
    while count(&others, Admission::Served)? == 0 {
        if nobody
            && others.iter().all(|client| {
                matches!(admission(client), Ok(Admission::Refused | Admission::Closed))
            })
        {
            let mut client = connect(server)?;
            let _ = client.send(ASK);
            others = vec![client];
        }
        if Instant::now() >= until {
            let what = "one more to be served when one of those that were served has left";
            return with_server_state(server, fail(what, "nobody is"));
        }
        pause(Duration::from_millis(3));
    }
    match count(&others, Admission::Served)? {
        1 => Ok(()),
        n => fail("exactly one more to be served when one has left", format!("{n} are")),
    }
}

/// Conversations that panic cost the server nothing.
fn panics(server: &mut Server, at_once: usize) -> Verdict {
    for n in 1..=at_once + 1 {
        let what = format!(
            "client {n} to be served, and its connection to be closed by a panic, as those before"
        );
        let until = Instant::now() + SOON;
        loop {
            let mut client = connect(server)?;
            let _ = client.send("GET boom\n");
            wait_until(server, || !matches!(admission(&client), Ok(Admission::Waiting)));
            let observed = match admission(&client)? {
                Admission::Closed => break,
                Admission::Waiting => "nothing".to_owned(),
                Admission::Served => "a reply".to_owned(),
                // The place of the one before may be given back a moment after the end of its connection.
                Admission::Refused if Instant::now() < until => {
                    pause(Duration::from_millis(5));
                    continue;
                }
                Admission::Refused => format!(
                    "`ERR busy`, and nobody is there: the places of {} threads that have panicked are still taken",
                    n - 1
                ),
            };
            return with_server_state(server, fail(what, observed));
        }
    }
    let what = format!("after {} conversations that panicked: ", at_once + 1);
    last_first(server, at_once)
        .map_err(|stop| stop.map_finding(|finding| finding.expected.insert_str(0, &what)))
}

/// SIGTERM comes while `uploads` clients are in mid-upload and `queued` more wait.
fn finishes(context: &TestContext, mut server: Server, uploads: usize, queued: usize) -> Verdict {
    let content = |n: usize| format!("{n}").repeat(2000);
    let mut senders = Vec::new();
    for n in 0..uploads {
        let mut client = connect(&mut server)?;
        client.send(format!("PUT upload{n} 2000\n{}", &content(n)[..1000]))?;
        let (here, there) = (client.local_address()?, server.address);
        if !wait_until(&server, || oracles::unread(there, here) == Some(0)) {
            let what = format!("upload {} of {uploads} at the same time to be read", n + 1);
            return with_server_state(&mut server, fail(what, "it lies unread"));
        }
        senders.push(client);
    }
    let mut waiting = Vec::new();
    for _ in 0..queued {
        let mut client = connect(&mut server)?;
        client.send(format!("{ASK}QUIT\n"))?;
        waiting.push(client);
    }
    if !wait_until(&server, || {
        backlog(&server) == 0 && connections_held(&server) == uploads + queued
    }) {
        let observed = format!(
            "it holds {}, and {} are not accepted",
            connections_held(&server),
            backlog(&server)
        );
        let what = format!("{uploads} clients in hand and {queued} in the queue");
        return with_server_state(&mut server, fail(what, observed));
    }
    server.program.signal(Signal::SIGTERM);
    if !wait_until(&server, || sockets::listener(server.address).is_none()) {
        let what = "the listening socket to be closed at SIGTERM";
        return with_server_state(&mut server, fail(what, "it is open"));
    }
    for (n, mut client) in senders.into_iter().enumerate() {
        let what = "an upload that was in hand when SIGTERM came to be taken to its end";
        let done = match client.send(&content(n)[1000..]) {
            Ok(()) => client.read_exactly(GOODBYE.len(), what).map(drop),
            Err(_) => fail(what, "the connection is gone"),
        };
        with_exit(&mut server, done, "nobody has waited for the thread of this client")?;
        let stored =
            std::fs::read_to_string(context.directory().join("root").join(format!("upload{n}")));
        if stored.ok() != Some(content(n)) {
            return fail(what, "`OK 0`, but the file is not there as it was sent");
        }
        quit(&mut server, client, "`OK 0` and the end of the connection after QUIT")?;
    }
    for mut client in waiting {
        let what = "a client that was in the queue when SIGTERM came to be served";
        let done = expect_reply(&server, &mut client, what);
        let done = done.and_then(|()| client.read_exactly(GOODBYE.len(), what));
        let done = done.and_then(|_| client.read_end(what));
        with_exit(&mut server, done, "the queue was not served to its end")?;
    }
    expect_exit(&mut server)
}

/// Adds to a failure after SIGTERM how the server ended.
fn with_exit<T>(server: &mut Server, verdict: Verdict<T>, why: &str) -> Verdict<T> {
    verdict.map_err(|stop| {
        // It may be on its way out.
        let ended = || matches!(server.program.try_wait(), Ok(Some(_)));
        let ended = within(Duration::from_millis(200), ended);
        match with_server_state::<()>(server, Err(stop)) {
            Err(stop) => stop.map_finding(|finding| {
                if ended && !finding.observed.contains(UNWRITTEN) {
                    finding.observed += &format!(": {why}");
                }
            }),
            Ok(()) => Stop::GraderError("a failure is gone".into()),
        }
    })
}

/// The server's end, some time after SIGTERM and with no client left.
fn expect_exit(server: &mut Server) -> Verdict {
    let what = "the program to end with code 0 when SIGTERM has come and the last client has left";
    let begun = Instant::now();
    let mut over = false;
    loop {
        let mut ended = server.program.try_wait()?;
        within(Duration::from_millis(100), || {
            ended = server.program.try_wait().ok().flatten();
            ended.is_some()
        });
        match ended {
            Some(status) if status.success() => return Ok(()),
            Some(_) => return fail(what, server.program.describe()),
            None if over => break,
            None => over = begun.elapsed() > SOON || stuck(server),
        }
    }
    let observed = if stuck(server) {
        format!(
            "DEADLOCK after {:.1?}: threads wait for each other, or for a notification that never comes",
            begun.elapsed()
        )
    } else {
        format!("{:.1?} later it runs on", begun.elapsed())
    };
    with_server_state(server, fail(what, observed))
}

fn threads_last_first(context: &TestContext) -> Verdict {
    last_first(&mut threads(context, 8)?, 4)
}

fn threads_bounded(context: &TestContext) -> Verdict {
    bounded(&mut threads(context, 4)?, 4, 0)
}

fn threads_panic(context: &TestContext) -> Verdict {
    panics(&mut threads(context, 3)?, 3)
}

fn threads_finishes(context: &TestContext) -> Verdict {
    finishes(context, threads(context, 8)?, 3, 0)
}

// ---- the pool ----

fn pool_last_first(context: &TestContext) -> Verdict {
    last_first(&mut pool(context, 4, 8, "")?, 4)
}

fn pool_bounded(context: &TestContext) -> Verdict {
    bounded(&mut pool(context, 3, 2, "")?, 3, 2)
}

fn pool_panic(context: &TestContext) -> Verdict {
    panics(&mut pool(context, 3, 6, "")?, 3)
}

fn pool_finishes(context: &TestContext) -> Verdict {
    finishes(context, pool(context, 2, 4, "")?, 2, 3)
}

fn pool_in_order(context: &TestContext) -> Verdict {
    let mut server = pool(context, 1, 8, "")?;
    let mut first = connect(&mut server)?;
    ask(&mut server, &mut first, "a reply to the first client")?;
    let mut waiting = Vec::new();
    for n in 1..=5 {
        let mut client = connect(&mut server)?;
        client.send(ASK)?;
        waiting.push(client);
        // One after the other: handshakes that are under way together may be over in another order.
        if !wait_until(&server, || connections_held(&server) == 1 + n) {
            let what = "one client served and five in the queue";
            let observed =
                format!("it holds {} of {} that have come", connections_held(&server), 1 + n);
            return with_server_state(&mut server, fail(what, observed));
        }
    }
    let mut leaving = first;
    for n in 0..5 {
        quit(&mut server, leaving, "`OK 0` and the end of the connection after QUIT")?;
        let what = format!(
            "client {} of the 5 in the queue to be the next when the only worker is free",
            n + 1
        );
        let served = |client: &Client| matches!(admission(client), Ok(Admission::Served));
        if !wait_until(&server, || waiting.iter().any(served)) {
            return with_server_state(&mut server, fail(what, "nobody was"));
        }
        if let Some(place) = waiting.iter().position(served).filter(|place| *place > 0) {
            return fail(
                what,
                format!("client {}, who came later, was served before it", n + 1 + place),
            );
        }
        leaving = waiting.remove(0);
        expect_reply(&server, &mut leaving, &what)?;
    }
    Ok(())
}

fn pool_wakes(context: &TestContext) -> Verdict {
    {
        let mut server = pool(context, 3, 6, "early")?;
        for n in 1..=4 {
            let mut client = connect(&mut server)?;
            let what = format!(
                "a reply to client {n}, alone with 3 workers that sleep (LAB_SYNC=early: who notifies is slow to go on)"
            );
            ask(&mut server, &mut client, &what)?;
            quit(&mut server, client, "`OK 0` and the end of the connection after QUIT")?;
        }
    }
    std::fs::remove_dir_all(context.directory().join("root"))?;
    let mut server = pool(context, 3, 6, "late")?;
    // Who finds a client without having slept needs nobody to wake it.
    wait_until_asleep(&server);
    let served = last_first(&mut server, 3);
    served.map_err(|stop| match stop {
        Stop::Fail(mut finding) => {
            finding.expected += " (3 workers; LAB_SYNC=late: who is woken is slow to get up)";
            Stop::Fail(finding)
        }
        other => other,
    })
}

fn pool_spurious(context: &TestContext) -> Verdict {
    let mut server = pool(context, 2, 4, "spurious")?;
    let what = "a reply from a pool whose workers are woken again and again with nothing to do (LAB_SYNC=spurious)";
    for _ in 0..20 {
        // A worker waits a millisecond until it is woken for nothing.
        pause(Duration::from_millis(3));
        let mut client = connect(&mut server)?;
        ask(&mut server, &mut client, what)?;
        quit(&mut server, client, what)?;
    }
    last_first(&mut server, 2)
}

fn pool_sleeps(context: &TestContext) -> Verdict {
    let mut server = pool(context, 4, 4, "")?;
    let mut client = connect(&mut server)?;
    ask(&mut server, &mut client, "a reply to the first client")?;
    wait_until_asleep(&server);
    let window = Duration::from_millis(250);
    let begun = Instant::now();
    // Who has not come to sleep before the first look does so before a later one.
    let (ready, switches) = loop {
        let family = server.program.process_tree();
        let woken = || proc::context_switches(server.program.pid()).voluntary;
        let (before, ready) = (woken(), oracles::ready_during(&family, window));
        let switches = woken().saturating_sub(before);
        if ready < window / 4 && switches < 40 {
            return Ok(());
        }
        if begun.elapsed() > Duration::from_secs(1) {
            break (ready, switches);
        }
    };
    let observed = format!(
        "for {ready:.0?} of {window:.0?} its threads ran or were ready to, and they woke {switches} times; {}",
        state(&mut server)
    );
    fail("three workers without a client, and one whose client is silent, to sleep", observed)
}

fn pool_ends(context: &TestContext) -> Verdict {
    let mut server = pool(context, 4, 4, "")?;
    let mut client = connect(&mut server)?;
    ask(&mut server, &mut client, "a reply to the first client")?;
    quit(&mut server, client, "`OK 0` and the end of the connection after QUIT")?;
    wait_until_asleep(&server);
    server.program.signal(Signal::SIGTERM);
    expect_exit(&mut server)
}

fn stats_exact(context: &TestContext) -> Verdict {
    const CLIENTS: usize = 6;
    let mut server = pool(context, CLIENTS, CLIENTS, "late")?;
    let mut clients = Vec::new();
    for n in 1..=CLIENTS {
        let mut client = connect(&mut server)?;
        ask(
            &mut server,
            &mut client,
            &format!("a reply to client {n} of {CLIENTS} at the same time"),
        )?;
        clients.push(client);
    }
    for client in &mut clients {
        client.send("QUIT\n")?;
    }
    for mut client in clients {
        let what = "`OK 0` and the end of the connection after QUIT";
        let left = client.read_exactly(GOODBYE.len(), what).and_then(|_| client.read_end(what));
        with_server_state(&mut server, left)?;
    }
    server.program.signal(Signal::SIGTERM);
    let what =
        format!("the program to end with code 0 after SIGTERM, with {CLIENTS} clients counted");
    let status = server.program.wait(&what, SOON * 2)?;
    if !status.success() {
        return fail(what, server.program.describe());
    }
    let output = server.program.output();
    let last = output.lines().last().unwrap_or_default().to_owned();
    let wanted =
        format!("served {CLIENTS} clients, {} bytes", CLIENTS * (REPLY.len() + GOODBYE.len()));
    if last == wanted {
        return Ok(());
    }
    let counted = last.split(' ').nth(1).and_then(|word| word.parse::<usize>().ok());
    match counted {
        Some(n) if n < CLIENTS => fail(
            wanted,
            format!(
                "{last}: {CLIENTS} threads counted at the same time, and {} of the counts are lost",
                CLIENTS - n
            ),
        ),
        _ => fail(wanted, quote(&last)),
    }
}

// ---- the speed-up ----

/// The job, once more: a grader takes nobody's word for it.
fn collatz(range: Range<u64>) -> u64 {
    let steps = |mut n: u64| {
        let mut steps = 0;
        while n > 1 {
            n = if n.is_multiple_of(2) { n / 2 } else { 3 * n + 1 };
            steps += 1;
        }
        steps
    };
    range.map(steps).sum()
}

fn speedup(
    context: &TestContext,
    kind: &str,
    range: &Range<u64>,
    threads: Option<u64>,
) -> Verdict<Program> {
    let words = [Some(range.start), Some(range.end), threads];
    let words = words.into_iter().flatten().map(|number| number.to_string());
    context.program("speedup").arg(kind).args(words.collect::<Vec<_>>()).start()
}

/// The words of the line that begins with `kind`, as numbers.
fn numbers(program: &mut Program, kind: &str, what: &str) -> Verdict<(u64, f64)> {
    let output = program.output();
    let line = output.lines().find_map(|line| line.strip_prefix(kind)?.strip_prefix(' '));
    let read = |line: &str| {
        let (result, time) = line.split_once(' ')?;
        Some((result.parse().ok()?, time.parse().ok()?))
    };
    match line.and_then(read) {
        Some(numbers) => Ok(numbers),
        None => fail(what, format!("{}; {}", quote(&output), program.describe())),
    }
}

fn finished(program: &mut Program, what: &str) -> Verdict {
    let status = program.wait(what, TIMEOUT * 2)?;
    if status.success() { Ok(()) } else { fail(what, program.describe()) }
}

fn speedup_answer(context: &TestContext) -> Verdict {
    let odd = 500 + context.choose(1, 300);
    let cases =
        [(0..1000, 4), (0..1000, 3), (17..odd, 7), (5..6, 4), (0..3, 8), (9..9, 2), (0..500, 1)];
    for (range, threads) in cases {
        let mut program = speedup(context, "split", &range, Some(threads))?;
        let wanted = collatz(range.clone());
        let what = format!("{wanted}, the result for {range:?} by {threads} threads");
        finished(&mut program, &what)?;
        let (result, _) = numbers(&mut program, "split", &what)?;
        if result != wanted {
            let less = if result < wanted {
                "less: part of the range was left out"
            } else {
                "more: some of it was done twice"
            };
            return fail(what, format!("{result}, which is {less}"));
        }
    }
    Ok(())
}

/// The part of the job that is the next to begin.
fn begun(program: &mut Program, what: &str) -> Verdict<Range<u64>> {
    let line = program.read_line(what)?;
    let part = |line: &str| {
        let (from, to) = line.strip_prefix("begun ")?.split_once(' ')?;
        Some(from.parse().ok()?..to.parse().ok()?)
    };
    match part(&line) {
        Some(part) => Ok(part),
        None => fail(what, quote(&line)),
    }
}

/// Starts it such that each part of the job waits for a line, or the end, of its input.
fn start_held(context: &TestContext, words: &str) -> Verdict<Program> {
    context.program("speedup").args(words.split(' ')).env("LAB_HOLD", "1").start()
}

fn speedup_threads(context: &TestContext) -> Verdict {
    let threads = 4;
    let mut program = start_held(context, "split 0 1000 4")?;
    let mut parts = Vec::new();
    for n in 1..=threads {
        let what =
            format!("{threads} threads at work at the same time, each with a part of the job");
        match begun(&mut program, &what) {
            Ok(part) => parts.push(part),
            Err(Stop::Fail(mut finding)) => {
                let threads = threads_of(program.pid());
                if n > 1 && !threads.is_empty() {
                    finding.observed = format!(
                        "{} at work, and the next part does not begin before its end; {threads}",
                        n - 1
                    );
                }
                return Err(Stop::Fail(finding));
            }
            Err(other) => return Err(other),
        }
    }
    let running = proc::process(program.pid()).map_or(0, |process| process.threads);
    if running > threads + OTHERS {
        return fail(format!("{threads} threads"), format!("{running}"));
    }
    program.close_stdin();
    let what = "the result when every part is done";
    finished(&mut program, what)?;
    let output = program.output();
    let rest = output.lines().skip(threads).filter_map(|line| {
        let (from, to) = line.strip_prefix("begun ")?.split_once(' ')?;
        Some(from.parse().ok()?..to.parse().ok()?)
    });
    parts.extend(rest);
    parts.retain(|part| !part.is_empty());
    parts.sort_by_key(|part| part.start);
    for pair in parts.windows(2) {
        if pair[0].end > pair[1].start {
            let observed = format!("one thread does {:?} and another {:?}", pair[0], pair[1]);
            return fail("parts of the job that do not overlap", observed);
        }
    }
    let (result, _) = numbers(&mut program, "split", what)?;
    let wanted = collatz(0..1000);
    if result == wanted { Ok(()) } else { fail(format!("{wanted}"), format!("{result}")) }
}

fn speedup_measured(context: &TestContext) -> Verdict {
    let hold = Duration::from_millis(120);
    let started = Instant::now();
    let mut program = start_held(context, "compare 0 1000 2")?;
    begun(&mut program, "the job of one thread to begin")?;
    pause(hold);
    program.write("\n")?;
    let line = program
        .read_line("`alone`, the result and the time, when the job of one thread is done")?;
    begun(&mut program, "the job of two threads to begin")?;
    pause(hold);
    program.close_stdin();
    let what = "`split`, the result and the time, when the job of two threads is done";
    finished(&mut program, what)?;
    let outside = started.elapsed();
    let alone = line.rsplit(' ').next().and_then(|word| word.parse().ok());
    let Some(alone) = alone else { return fail("`alone`, the result and the time", quote(&line)) };
    let (_, split) = numbers(&mut program, "split", what)?;
    for (name, time) in [("one thread", alone), ("two threads", split)] {
        if time < hold.as_secs_f64() {
            let what =
                format!("at least {hold:?} for the job of {name}, which was held up for so long");
            return fail(
                what,
                format!(
                    "{time} s: the clock did not run while its threads waited, or nobody waited for them"
                ),
            );
        }
        if time > outside.as_secs_f64() {
            return fail(
                format!("no more than the {outside:.3?} that the whole program took"),
                format!("{time} s"),
            );
        }
    }
    Ok(())
}

/// A job for `speedup`: alone or split, which part of the range, and by how many threads.
type Job = (&'static str, Range<u64>, Option<u64>);

/// The wall-clock time of jobs that are done at the same time, and the sum of their results.
fn together(context: &TestContext, jobs: &[Job]) -> Verdict<(f64, u64)> {
    let begun = Instant::now();
    let start = |(kind, range, threads): &Job| speedup(context, kind, range, *threads);
    let mut programs = jobs.iter().map(start).collect::<Verdict<Vec<Program>>>()?;
    for program in &mut programs {
        finished(program, "the job to be done")?;
    }
    let time = begun.elapsed().as_secs_f64();
    let mut sum = 0;
    for (program, (kind, ..)) in programs.iter_mut().zip(jobs) {
        sum += numbers(program, kind, "the result of the job")?.0;
    }
    Ok((time, sum))
}

fn speedup_ratio(context: &TestContext) -> Verdict {
    let cores = std::thread::available_parallelism()?.get() as u64;
    if cores < 2 {
        return Err(Stop::Skip(
            "this machine has one core: no job is done sooner by two threads".into(),
        ));
    }
    let (sharers, threads) = (cores.min(4), 2 * cores.min(4));
    // A job that is long beside the start of a program, and short for who waits.
    let mut end = 25_000;
    while together(context, &[("alone", 0..end, None)])?.0 < 0.05 && end < 10_000_000 {
        end *= 2;
    }
    // The reference: processes share nothing and cannot be in each other's way.
    let border = |n: u64| end * n / sharers;
    let shares: Vec<_> = (0..sharers).map(|n| ("alone", border(n)..border(n + 1), None)).collect();
    let mut spread = String::new();
    let mut far_worse = 0;
    for _ in 0..4 {
        let (mut reference, mut split) = (Vec::new(), Vec::new());
        for _ in 0..3 {
            let (time, wanted) = together(context, &shares)?;
            reference.push(time);
            let (time, result) = together(context, &[("split", 0..end, Some(threads))])?;
            split.push(time);
            if result != wanted {
                return fail(format!("the result {wanted}"), format!("{result}"));
            }
            let (best, worst) = (split.iter().copied(), reference.iter().copied());
            let (best, worst) = (best.fold(f64::MAX, f64::min), worst.fold(0.0, f64::max));
            if split.len() > 1 && best > 2.0 * worst {
                break;
            }
        }
        reference.sort_by(f64::total_cmp);
        split.sort_by(f64::total_cmp);
        let last = reference.len() - 1;
        let steady = last > 1 && reference[last] <= 1.25 * reference[0];
        let ratio = split[1] / reference[1];
        if steady && ratio <= 1.6 {
            return Ok(());
        }
        // Where even its best is far worse than the worst of the reference, and not only once, no noise explains it.
        far_worse += u32::from(
            (steady && split[0] > 1.6 * reference[1]) || split[0] > 1.6 * reference[last],
        );
        if far_worse == 2 {
            let what = format!(
                "{threads} threads to be done about as soon as {sharers} processes with a share of the job each"
            );
            let observed = format!(
                "{ratio:.1} times as long ({:.0} ms instead of {:.0} ms): the threads do more work, or wait for each other",
                split[1] * 1e3,
                reference[1] * 1e3
            );
            return fail(what, observed);
        }
        spread = format!("{:.0} to {:.0} ms", reference[0] * 1e3, reference[last] * 1e3);
    }
    Err(Stop::Skip(format!(
        "inconclusive: this machine is busy, the reference itself took {spread}"
    )))
}
