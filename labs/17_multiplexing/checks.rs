//! One thread, many clients: who is served while others are slow, silent, gone or greedy, and what the server does while
//! nobody wants anything.

use crate::context::{
    Check, Client, Server, Stop, TIMEOUT, TestContext, Verdict, fail, poll_for, quote,
};
use harness::oracles;
use harness::proc::{self, ContextSwitches};
use harness::sockets;
use harness::wait::within;
use nix::sys::signal::Signal;
use rustix::event::{PollFd, PollFlags};
use rustix::process::{Resource, Rlimit, prlimit};
use std::io::{self, Read, Write};
use std::net::SocketAddrV4;
use std::time::{Duration, Instant};

pub(crate) const CHECKS: &[(&str, Check)] = &[
    ("spin.several", |context| several(context, "spin")),
    ("spin.pauses", pauses),
    ("client.slow_reader", slow_reader),
    ("client.end", end),
    ("client.reset", reset),
    ("client.back_pressure", back_pressure),
    ("door.never_waits", never_waits),
    ("select.several", |context| several(context, "select")),
    ("select.idle", |context| idle(context, "select")),
    ("select.beyond_1023", |context| beyond_1023(context, "select")),
    ("poll.several", |context| several(context, "poll")),
    ("poll.idle", |context| idle(context, "poll")),
    ("poll.beyond_1023", |context| beyond_1023(context, "poll")),
    ("poll.hang_up", hang_up),
    ("poll.batch", batch),
    ("poll.fair", fair),
    ("poll.no_descriptors", no_descriptors),
];

/// A size that no buffer on the way holds.
const BIG: usize = 12 << 20;

/// A server with `hello.txt` to serve.
fn start(context: &TestContext, wait: &str, options: &[&str]) -> Verdict<Server> {
    std::fs::write(context.directory().join("hello.txt"), "hello\n")?;
    let root = context.directory().display().to_string();
    context.server(["--root", &root[..], "--wait", wait].iter().chain(options))
}

/// A server with `big.bin` to serve, too. What is in it matters to nobody who does not read it.
fn start_with_big(context: &TestContext, wait: &str) -> Verdict<Server> {
    let file = std::fs::File::create(context.directory().join("big.bin"))?;
    file.set_len(BIG as u64)?;
    start(context, wait, &[])
}

/// How far apart the marks are in a file that is read.
const BLOCK: usize = 512;

/// What is in `big.bin` where it is read: each block begins with its place.
fn big() -> Vec<u8> {
    let mut bytes = vec![0xff; BIG];
    for (block, offset) in bytes.chunks_exact_mut(BLOCK).zip((0u64..).step_by(BLOCK)) {
        block[..8].copy_from_slice(&offset.to_le_bytes());
    }
    bytes
}

/// What a socket is ready for within `timeout`: something to read, room to write.
fn ready(client: &Client, wanted: PollFlags, timeout: Duration) -> Verdict<PollFlags> {
    let mut fds = [PollFd::new(client.stream(), wanted)];
    poll_for(&mut fds, timeout)?;
    Ok(fds[0].revents())
}

/// Waits until something has come for the client, be it the end. Fails early where the server has ended, where it sleeps
/// although the client has asked, and where it has had time enough of its own, however busy the machine is.
fn wait_for_input(server: &mut Server, client: &Client, what: &str) -> Verdict {
    let pid = server.program.pid();
    let used = || proc::cpu_time(pid).unwrap_or_default();
    let woken = || proc::context_switches(pid).voluntary;
    let (used_before, woken_before) = (used(), woken());
    let until = Instant::now() + TIMEOUT;
    loop {
        if !ready(client, PollFlags::IN, Duration::from_millis(100))?.is_empty() {
            return Ok(());
        }
        let asleep =
            oracles::asleep_during(&server.program.process_tree(), Duration::from_millis(200));
        let (used, woken) =
            (used().saturating_sub(used_before), woken() - woken_before.min(woken()));
        let (used_much, woken_often) = (used > Duration::from_secs(1), woken > 200);
        let given_up = asleep || used_much || woken_often || Instant::now() > until;
        if !given_up && server.program.try_wait()?.is_none() {
            continue;
        }
        if !ready(client, PollFlags::IN, Duration::ZERO)?.is_empty() {
            return Ok(());
        }
        let how = match () {
            () if asleep => "nothing comes, and nothing wakes the server".into(),
            () if used_much => format!("nothing came while the server ran for {used:.1?}"),
            () if woken_often => {
                format!("nothing came, and the server slept and woke {woken} times")
            }
            () => "nothing came".into(),
        };
        let unread = match oracles::unread(server.address, client.local_address()?) {
            None => "the connection is gone at the server's end".into(),
            Some(0) => "the server has read what this client sent".into(),
            Some(n) => format!("{n} bytes of this client's lie unread at the server"),
        };
        return fail(what, format!("{how}: {}; {unread}", server.program.describe()));
    }
}

/// The next line for the client.
fn line(server: &mut Server, client: &mut Client, what: &str) -> Verdict<String> {
    wait_for_input(server, client, what)?;
    let line = client.read_line(what);
    with_exit(server, line)
}

/// Adds to a failure what has become of the server, if it has ended.
fn with_exit<T>(server: &mut Server, verdict: Verdict<T>) -> Verdict<T> {
    let Err(Stop::Fail(mut finding)) = verdict else { return verdict };
    let ended = || server.program.try_wait().is_ok_and(|status| status.is_some());
    if within(Duration::from_millis(200), ended) {
        finding.observed = format!("{}; {}", server.program.describe(), finding.observed);
    }
    Err(Stop::Fail(finding))
}

/// A new client.
fn connect(server: &mut Server) -> Verdict<Client> {
    let client = server.connect();
    with_exit(server, client)
}

/// Sends what a server that lives will read.
fn send(server: &mut Server, client: &mut Client, bytes: &str) -> Verdict {
    let sent = client.send(bytes);
    with_exit(server, sent)
}

const HELLO: &str = "GET hello.txt\n";

/// The rest of the reply to [`HELLO`].
fn hello(server: &mut Server, client: &mut Client, what: &str) -> Verdict {
    let head = line(server, client, what)?;
    if head != "OK 6" {
        return fail(what, format!("{} instead of OK 6", quote(&head)));
    }
    // It may have come together with the head.
    let body = client.read_exactly(6, what);
    let body = with_exit(server, body)?;
    if body == b"hello\n" {
        return Ok(());
    }
    fail(what, format!("{} in the file", quote(&String::from_utf8_lossy(&body))))
}

fn ask_hello(server: &mut Server, client: &mut Client, what: &str) -> Verdict {
    send(server, client, HELLO)?;
    hello(server, client, what)
}

/// The end of what the server sends.
fn expect_close(server: &mut Server, client: &mut Client, what: &str) -> Verdict {
    let Err(stop) = wait_for_input(server, client, what) else {
        return client.read_end(what);
    };
    let Stop::Fail(mut finding) = stop else { return Err(stop) };
    let end = sockets::connection(server.address, client.local_address()?);
    if end.is_some_and(|end| end.state == sockets::CLOSE_WAIT) {
        finding.observed +=
            "; its socket stands in CLOSE-WAIT: the client's end has come, and nobody closes";
    }
    Err(Stop::Fail(finding))
}

/// Several clients have sent half of a request; the last is the first to send the rest.
fn several(context: &TestContext, wait: &str) -> Verdict {
    let mut server = start(context, wait, &[])?;
    let mut clients = Vec::new();
    for _ in 0..5 {
        let mut client = connect(&mut server)?;
        send(&mut server, &mut client, &HELLO[..7])?;
        clients.push(client);
    }
    // Each half is a read of its own, if the server reads at all.
    let addresses: Vec<SocketAddrV4> =
        clients.iter().map(Client::local_address).collect::<Verdict<_>>()?;
    let read = |address: &SocketAddrV4| oracles::unread(server.address, *address) == Some(0);
    within(Duration::from_millis(300), || addresses.iter().all(read));
    for (index, client) in clients.iter_mut().enumerate().rev() {
        let number = index + 1;
        let what = format!(
            "client {number} to be answered when its request is whole; {} others have sent half of theirs",
            index
        );
        send(&mut server, client, &HELLO[7..])?;
        hello(&mut server, client, &what)?;
        // Once more: who has been served is still listened to.
        ask_hello(&mut server, client, &format!("client {number} to be answered a second time"))?;
    }
    Ok(())
}

/// What a server did in a time in which nothing happened.
struct Activity {
    window: Duration,
    switches: ContextSwitches,
    ready: Duration,
}

fn activity(server: &Server, window: Duration) -> Activity {
    let before = proc::context_switches(server.program.pid());
    let ready = oracles::ready_during(&server.program.process_tree(), window);
    let after = proc::context_switches(server.program.pid());
    let switches = ContextSwitches {
        voluntary: after.voluntary.saturating_sub(before.voluntary),
        involuntary: after.involuntary.saturating_sub(before.involuntary),
    };
    Activity { window, switches, ready }
}

fn pauses(context: &TestContext) -> Verdict {
    let mut server = start(context, "spin", &[])?;
    let mut silent = connect(&mut server)?;
    ask_hello(&mut server, &mut silent, "a client to be served")?;
    send(&mut server, &mut silent, "GET he")?;
    let what = "a pause of some milliseconds after a round in which nobody had anything";
    let mut seen = None;
    let begun = Instant::now();
    // Who waits for a core all the while has not slept either, but will.
    while begun.elapsed() < OBSERVATION {
        let Activity { window, switches, ready } = activity(&server, Duration::from_millis(100));
        // A core that is busy with something else makes the rounds fewer, never more.
        if switches.voluntary >= 1 && switches.voluntary <= 300 {
            return Ok(());
        }
        let n = switches.voluntary;
        seen = Some(if n == 0 {
            format!(
                "in {window:?} it ran, or was ready to, for {ready:.0?} and never slept: it asks the kernel without end and hears EAGAIN"
            )
        } else {
            format!(
                "in {window:?} it fell asleep {n} times: the pause is too short to spare anything"
            )
        });
    }
    let observed = format!("{}; {}", server.program.describe(), seen.unwrap_or_default());
    fail(what, observed)
}

/// For how long a server that should sleep is observed.
const OBSERVATION: Duration = Duration::from_millis(1200);

/// Waits until the server does nothing while nothing happens.
fn expect_idle(server: &mut Server, what: &str, meanwhile: &str) -> Verdict {
    let mut seen = String::new();
    let begun = Instant::now();
    while begun.elapsed() < OBSERVATION {
        let Activity { window, switches, ready } = activity(server, Duration::from_millis(120));
        if server.program.try_wait()?.is_some() {
            return fail(what, server.program.describe());
        }
        if ready < window / 2 && switches.voluntary <= 3 {
            return Ok(());
        }
        seen = if ready > window / 2 {
            format!(
                "in {window:?} it ran, or was ready to, for {ready:.0?}, as if somebody were ready all the time"
            )
        } else {
            format!("in {window:?} it woke {} times for nothing", switches.voluntary)
        };
    }
    fail(what, format!("{meanwhile}: {seen}; {}", server.program.describe()))
}

/// Takes what comes of a reply with [`big`], to its end.
fn take_big(server: &mut Server, client: &mut Client, what: &str) -> Verdict {
    let wanted = big();
    let mut got = Vec::with_capacity(BIG);
    let mut chunk = vec![0; 256 * 1024];
    while got.len() < BIG {
        let before = got.len();
        wait_for_input(server, client, what).map_err(|stop| match stop {
            Stop::Fail(mut finding) => {
                finding.observed = format!("{before} of {BIG} bytes came; {}", finding.observed);
                Stop::Fail(finding)
            }
            other => other,
        })?;
        let room = chunk.len().min(BIG - before);
        let count = client.stream().read(&mut chunk[..room]).unwrap_or(0);
        if count == 0 {
            let observed = format!("the connection was closed after {before} of {BIG} bytes");
            return fail(what, format!("{observed}; {}", server.program.describe()));
        }
        got.extend_from_slice(&chunk[..count]);
        if got[before..] != wanted[before..before + count] {
            return fail(what, describe_gap(&got, before / BLOCK * BLOCK));
        }
    }
    Ok(())
}

/// What is wrong with the bytes that came, of which those before `from` are right.
fn describe_gap(got: &[u8], from: usize) -> String {
    let mark = |at: usize| -> Option<usize> {
        let offset = u64::from_le_bytes(got.get(at..at + 8)?.try_into().ok()?);
        let around = [at.checked_sub(1)?, at + 8];
        let is_mark = around.iter().all(|at| got.get(*at) == Some(&0xff));
        usize::try_from(offset)
            .ok()
            .filter(|offset| is_mark && *offset < BIG && offset % BLOCK == 0)
    };
    // The marks go on, at other places than their own.
    let found =
        (from..got.len()).find_map(|at| Some((at, mark(at).filter(|offset| *offset > at)?)));
    match found {
        Some((at, offset)) => format!(
            "after {at} bytes, {} bytes of the file are missing, and then it goes on: what write had no room for was never sent",
            offset - at
        ),
        None => format!("after about {from} bytes come others than the file's"),
    }
}

fn slow_reader(context: &TestContext) -> Verdict {
    std::fs::write(context.directory().join("big.bin"), big())?;
    let mut server = start(context, "spin", &[])?;
    let mut slow = stalled(&mut server)?;
    let mut other = connect(&mut server)?;
    for _ in 0..3 {
        let what = "a client to be served while another does not read its file";
        ask_hello(&mut server, &mut other, what)?;
    }
    take_big(&mut server, &mut slow, "the whole file for a client that begins to read late")?;
    ask_hello(&mut server, &mut slow, "the next request of the late reader to be answered")
}

/// A client that has asked for the big file, has taken the first line of the reply, and reads no further.
fn stalled(server: &mut Server) -> Verdict<Client> {
    let mut client = connect(server)?;
    send(server, &mut client, "GET big.bin\n")?;
    let what = "the beginning of a big file";
    wait_for_input(server, &client, what)?;
    // Byte for byte: what is not taken here stays in the socket.
    let mut head = Vec::new();
    while head.last() != Some(&b'\n') && head.len() < 64 {
        wait_for_input(server, &client, what)?;
        let mut byte = [0];
        match client.stream().read(&mut byte) {
            Ok(1) => head.push(byte[0]),
            _ => {
                let got = quote(&String::from_utf8_lossy(&head));
                return with_exit(server, fail(what, format!("closed after {got}")));
            }
        }
    }
    let wanted = format!("OK {BIG}\n");
    if head == wanted.as_bytes() {
        return Ok(client);
    }
    fail(quote(&wanted), quote(&String::from_utf8_lossy(&head)))
}

/// Waits until the server holds no more than it held before.
fn nothing_leaked(
    server: &mut Server,
    before: &std::collections::BTreeMap<String, usize>,
    whose: &str,
) -> Verdict {
    let now = |server: &Server| oracles::descriptor_kinds(&server.program.process_tree());
    // It may hold less: a client of before was perhaps not quite gone when it was looked at.
    let had = |kind: &String| before.get(kind).copied().unwrap_or_default();
    let back = || now(server).iter().all(|(kind, count)| *count <= had(kind));
    if within(Duration::from_secs(2), back) {
        return Ok(());
    }
    let sockets = |kinds: &std::collections::BTreeMap<String, usize>| {
        kinds.get("socket").copied().unwrap_or_default()
    };
    let (had, has) = (sockets(before), sockets(&now(server)));
    fail(
        format!("the descriptors of {whose} to be closed"),
        format!("{had} sockets before, {has} now; {}", server.program.describe()),
    )
}

fn end(context: &TestContext) -> Verdict {
    let mut server = start(context, "spin", &[])?;
    let mut other = connect(&mut server)?;
    ask_hello(&mut server, &mut other, "a client to be served")?;
    let before = oracles::descriptor_kinds(&server.program.process_tree());
    let mut silent = connect(&mut server)?;
    silent.shutdown_write()?;
    expect_close(
        &mut server,
        &mut silent,
        "the connection to be closed when its client has ended",
    )?;
    let mut half = connect(&mut server)?;
    send(&mut server, &mut half, HELLO)?;
    half.shutdown_write()?;
    hello(&mut server, &mut half, "an answer to what was asked before the client's end")?;
    expect_close(&mut server, &mut half, "the connection to be closed after the last answer")?;
    let mut upload = connect(&mut server)?;
    send(&mut server, &mut upload, "PUT new.txt 100\nten bytes.")?;
    upload.shutdown_write()?;
    expect_close(
        &mut server,
        &mut upload,
        "the connection to be closed when an upload breaks off",
    )?;
    let mut quits = connect(&mut server)?;
    send(&mut server, &mut quits, "QUIT\n")?;
    let what = "`OK 0` for QUIT";
    let said = line(&mut server, &mut quits, what)?;
    if said != "OK 0" {
        return fail(what, quote(&said));
    }
    expect_close(&mut server, &mut quits, "the connection to be closed after QUIT")?;
    nothing_leaked(&mut server, &before, "clients that have ended")?;
    ask_hello(&mut server, &mut other, "the server to go on for the client that has stayed")
}

fn reset(context: &TestContext) -> Verdict {
    let mut server = start_with_big(context, "spin")?;
    let mut other = connect(&mut server)?;
    ask_hello(&mut server, &mut other, "a client to be served")?;
    let before = oracles::descriptor_kinds(&server.program.process_tree());
    let downloads = stalled(&mut server)?;
    let mut idle = connect(&mut server)?;
    ask_hello(&mut server, &mut idle, "a client to be served")?;
    let mut half = connect(&mut server)?;
    send(&mut server, &mut half, "GET he")?;
    for client in [downloads, idle, half] {
        client.reset()?;
    }
    let what = "the other clients to be served after some connections were reset";
    for _ in 0..3 {
        ask_hello(&mut server, &mut other, what)?;
    }
    let leaked = nothing_leaked(&mut server, &before, "connections that were reset");
    with_exit(&mut server, leaked)?;
    ask_hello(&mut server, &mut other, what)
}

fn back_pressure(context: &TestContext) -> Verdict {
    const TOO_MUCH: usize = 48 << 20;
    let mut server = start_with_big(context, "spin")?;
    let client = stalled(&mut server)?;
    client.stream().set_nonblocking(true)?;
    let requests = "GET big.bin\n".repeat(4096);
    let what = "no more requests to be read of a client that does not read its replies";
    let (mut sent, mut full) = (0, None);
    loop {
        match client.stream().write(requests.as_bytes()) {
            Ok(count) => {
                sent += count;
                full = None;
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                // The buffers are full. Enough is seen when the server has been round a few times and has left it so.
                let rounds = proc::context_switches(server.program.pid()).voluntary;
                let (since, at) = *full.get_or_insert((Instant::now(), rounds));
                let waited = since.elapsed();
                if waited > Duration::from_millis(60) && rounds >= at + 3 || waited > TIMEOUT / 2 {
                    break;
                }
                ready(&client, PollFlags::OUT, Duration::from_millis(10))?;
            }
            Err(error) => {
                let failed = fail(what, format!("after {sent} bytes of requests: {error}"));
                return with_exit(&mut server, failed);
            }
        }
        if sent > TOO_MUCH {
            let observed = format!(
                "the server has taken {} MiB of requests into its memory, and has not sent one reply",
                sent >> 20
            );
            return fail(what, observed);
        }
    }
    let mut other = connect(&mut server)?;
    ask_hello(&mut server, &mut other, "another client to be served meanwhile")
}

fn never_waits(context: &TestContext) -> Verdict {
    let mut server = start(context, "spin", &[])?;
    let what = "who is still there to be served, whoever at the door has gone again";
    let mut first = connect(&mut server)?;
    let verdict = ask_hello(&mut server, &mut first, what).and_then(|()| {
        stopped(&server)?;
        let mut staying = Vec::new();
        for _ in 0..3 {
            let gone = connect(&mut server)?;
            let mut stays = connect(&mut server)?;
            send(&mut server, &mut stays, HELLO)?;
            staying.push(stays);
            gone.reset()?;
        }
        server.program.signal(Signal::SIGCONT);
        staying.iter_mut().try_for_each(|client| hello(&mut server, client, what))
    });
    server.program.signal(Signal::SIGCONT);
    let pid = server.program.pid();
    let inode =
        sockets::listener(server.address).map(|socket| format!("socket:[{}]", socket.inode));
    let mut descriptors = proc::descriptors(pid).into_iter();
    let listening = descriptors.find(|(_, target)| Some(target) == inode.as_ref());
    let Some((number, _)) = listening else {
        return verdict.and(fail("a listening socket", server.program.describe()));
    };
    let flags = proc::status_flags(pid, number);
    match flags {
        Some(flags) if flags & O_NONBLOCK == 0 => fail(
            "an accept that never waits: between the news that somebody is there and the accept, that somebody may go",
            format!(
                "descriptor {number}, the listening socket, has no O_NONBLOCK (flags 0{flags:o} in /proc/{pid}/fdinfo/{number}); {}",
                server.program.describe()
            ),
        ),
        _ => verdict,
    }
}

/// The flag as /proc shows it.
const O_NONBLOCK: u32 = rustix::fs::OFlags::NONBLOCK.bits();

/// Stops the server, so that what happens now is one batch for it.
fn stopped(server: &Server) -> Verdict {
    server.program.signal(Signal::SIGSTOP);
    let state = || proc::process(server.program.pid()).map(|process| process.state);
    if within(TIMEOUT, || matches!(state(), Some('T' | 'Z') | None)) {
        return Ok(());
    }
    Err(Stop::GraderError("the server could not be stopped in time".into()))
}

/// Clients in every state in which there is nothing to be done for them.
fn idle(context: &TestContext, wait: &str) -> Verdict {
    let mut server = start_with_big(context, wait)?;
    let mut served = connect(&mut server)?;
    ask_hello(&mut server, &mut served, "a client to be served")?;
    let mut half = connect(&mut server)?;
    send(&mut server, &mut half, "GET he")?;
    let mut uploads = connect(&mut server)?;
    send(&mut server, &mut uploads, "PUT new.txt 10\nhalf ")?;
    let slow = stalled(&mut server)?;
    let what = "a server that sleeps while nobody is ready";
    let meanwhile = "one client is silent, two have sent half, one does not read its file";
    expect_idle(&mut server, what, meanwhile)?;
    drop(slow);
    ask_hello(&mut server, &mut served, "a client to be served after the rest")
}

/// What has become of a client that has asked.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Admission {
    Served,
    Refused,
}

/// Waits until a client that may be refused is served or refused.
fn admission(server: &mut Server, client: &mut Client, what: &str) -> Verdict<Admission> {
    wait_for_input(server, client, what)?;
    match client.read_line(what) {
        Ok(head) if head == "OK 6" => {
            let body = client.read_exactly(6, what);
            with_exit(server, body).map(|_| Admission::Served)
        }
        Ok(head) if head.starts_with("ERR ") => Ok(Admission::Refused),
        Ok(other) => fail(what, quote(&other)),
        // Closed without a word. But is there anybody left who could have said one?
        Err(stop) => {
            let ended = within(Duration::from_millis(50), || {
                server.program.try_wait().is_ok_and(|status| status.is_some())
            });
            if ended { with_exit(server, Err(stop)) } else { Ok(Admission::Refused) }
        }
    }
}

fn beyond_1023(context: &TestContext, wait: &str) -> Verdict {
    let mut server = start(context, wait, &["--reserve", "1010"])?;
    let pid = server.program.pid();
    match proc::descriptor_limits(pid) {
        Some((limit, _)) if limit < 1100 => {
            return Err(Stop::Skip(format!("a process may have only {limit} descriptors here")));
        }
        _ => {}
    }
    let room = 1024_usize.saturating_sub(proc::descriptors(pid).len());
    let mut within_limit = Vec::new();
    for number in 1..=room.saturating_sub(1) {
        let mut client = connect(&mut server)?;
        let what = format!("client {number}, whose socket has a number below 1024, to be served");
        ask_hello(&mut server, &mut client, &what)?;
        within_limit.push(client);
    }
    let mut beyond = Vec::new();
    for _ in 0..6 {
        let mut client = connect(&mut server)?;
        let what = match wait {
            "select" => {
                "a client whose socket has a number above 1023 to be refused, since no set has a bit for it"
            }
            _ => {
                "a client whose socket has a number above 1023 to be served: poll has a list, no set of 1,024 bits"
            }
        };
        let _ = client.send(HELLO);
        match admission(&mut server, &mut client, what)? {
            Admission::Served => beyond.push(client),
            Admission::Refused if wait == "select" => {}
            Admission::Refused => return fail(what, "it was refused"),
        }
    }
    for (number, client) in (1..).zip(&mut within_limit) {
        let what =
            format!("client {number} to be served still, after others had numbers above 1023");
        ask_hello(&mut server, client, &what)?;
    }
    let Some(leaves) = within_limit.pop() else { return Ok(()) };
    let count = proc::descriptors(pid).len();
    drop(leaves);
    within(TIMEOUT, || proc::descriptors(pid).len() < count);
    let mut next = connect(&mut server)?;
    ask_hello(&mut server, &mut next, "a new client to be served in the place of one that left")
}

fn hang_up(context: &TestContext) -> Verdict {
    let mut server = start_with_big(context, "poll")?;
    let mut other = connect(&mut server)?;
    ask_hello(&mut server, &mut other, "a client to be served")?;
    let before = oracles::descriptor_kinds(&server.program.process_tree());
    // Who ends what it sends may still read: that is no hang-up.
    stopped(&server)?;
    let mut half = connect(&mut server)?;
    send(&mut server, &mut half, HELLO)?;
    half.shutdown_write()?;
    server.program.signal(Signal::SIGCONT);
    let what = "an answer to a client that has sent its request and its end";
    hello(&mut server, &mut half, what)?;
    expect_close(&mut server, &mut half, "the connection to be closed after the last answer")?;
    // These are: nobody will ever read or write here again.
    let downloads = stalled(&mut server)?;
    let mut asks = connect(&mut server)?;
    ask_hello(&mut server, &mut asks, "a client to be served")?;
    send(&mut server, &mut asks, "GET he")?;
    downloads.reset()?;
    asks.reset()?;
    let what = "a server that sleeps after two connections were reset";
    let slept =
        expect_idle(&mut server, what, "poll answers POLLERR and POLLHUP, asked for or not");
    slept?;
    nothing_leaked(&mut server, &before, "connections that were reset")?;
    ask_hello(&mut server, &mut other, "the server to go on for the client that has stayed")
}

fn batch(context: &TestContext) -> Verdict {
    let mut server = start(context, "poll", &[])?;
    let mut clients: Vec<(String, Client)> = Vec::new();
    let mut number = 0;
    for round in 0..6 {
        while clients.len() < 8 {
            number += 1;
            let mut client = connect(&mut server)?;
            ask_hello(&mut server, &mut client, "a new client to be served")?;
            clients.push((format!("client {number}"), client));
        }
        stopped(&server)?;
        // Some go, in one of three ways; one asks; two come: and the server learns of it all at once.
        let mut gone = Vec::new();
        for n in 0..3 {
            let choice = context.choose(10 * round + n, clients.len() as u64 - 1) as usize;
            let (name, mut client) = clients.remove(choice);
            match (round + n) % 3 {
                0 => send(&mut server, &mut client, "QUIT\n")?,
                1 => client.reset()?,
                _ => client.send("GET he").and_then(|()| client.reset())?,
            }
            gone.push(name);
        }
        let last = clients.len() - 1;
        send(&mut server, &mut clients[last].1, HELLO)?;
        let mut new = Vec::new();
        for _ in 0..2 {
            number += 1;
            new.push((format!("client {number}"), connect(&mut server)?));
        }
        server.program.signal(Signal::SIGCONT);
        let leaving = gone.join(", ");
        for (n, (name, client)) in clients.iter_mut().enumerate() {
            let what =
                format!("{name} to be served on; it stayed while {leaving} left, all in one batch");
            let served = if n == last { hello(&mut server, client, &what) } else { Ok(()) };
            let served = served.and_then(|()| ask_hello(&mut server, client, &what));
            explain_mix_up(&mut server, served)?;
        }
        for (name, mut client) in new {
            let what = format!("{name} to be served; it came in the batch in which {leaving} left");
            let served = ask_hello(&mut server, &mut client, &what);
            explain_mix_up(&mut server, served)?;
            clients.push((name, client));
        }
    }
    Ok(())
}

/// Says what it means when the wrong client is closed by a server that lives on.
fn explain_mix_up(server: &mut Server, verdict: Verdict) -> Verdict {
    let Err(Stop::Fail(mut finding)) = verdict else { return verdict };
    if server.program.try_wait()?.is_none()
        && finding.observed.starts_with("the connection was closed")
    {
        finding.observed = "the server has closed it: an answer that was another client's was taken for its own, by a place in a list or a number that had moved on".into();
    }
    Err(Stop::Fail(finding))
}

fn fair(context: &TestContext) -> Verdict {
    const ENOUGH: usize = 4000;
    // If the machine suspends this check for 100 ms, the replies to the greedy client fill the socket buffers, and even a
    // server that stays with one client turns to another. One reply therefore proves nothing; 20 in a row do.
    const HELLOS: usize = 20;
    let mut server = start(context, "poll", &[])?;
    let mut modest = connect(&mut server)?;
    ask_hello(&mut server, &mut modest, "a client to be served")?;
    let greedy = connect(&mut server)?;
    greedy.stream().set_nonblocking(true)?;
    let request = format!("GET {}\n", "n".repeat(200));
    let requests = request.repeat(256);
    let (mut sent, mut replies, mut chunk) = (0, 0, vec![0; 64 * 1024]);
    let (mut asked_at, mut hellos) = (None, 0);
    let mut until = Instant::now() + 2 * TIMEOUT;
    let what = "a client to be served while another sends requests without a pause";
    stopped(&server)?;
    loop {
        // As much as goes in, always: the server never finds this socket empty.
        loop {
            match greedy.stream().write(&requests.as_bytes()[sent % request.len()..]) {
                Ok(count) => sent += count,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) => {
                    let failed = fail("a client that asks much to be served", error);
                    return with_exit(&mut server, failed);
                }
            }
        }
        server.program.signal(Signal::SIGCONT);
        if asked_at.is_none() && replies > 50 {
            send(&mut server, &mut modest, HELLO)?;
            // To what was asked before, there may be replies already, wherever they are on their way.
            asked_at = Some(sent / request.len());
        }
        match greedy.stream().read(&mut chunk) {
            Ok(count) if count > 0 => {
                replies += chunk[..count].iter().filter(|byte| **byte == b'\n').count();
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                let mut fds = [
                    PollFd::new(greedy.stream(), PollFlags::IN | PollFlags::OUT),
                    PollFd::new(modest.stream(), PollFlags::IN),
                ];
                poll_for(&mut fds, Duration::from_millis(20))?;
            }
            Ok(_) => {
                let failed = fail("a client that asks much to be served", "it was closed");
                return with_exit(&mut server, failed);
            }
            Err(error) => {
                let failed = fail("a client that asks much to be served", error);
                return with_exit(&mut server, failed);
            }
        }
        if !ready(&modest, PollFlags::IN, Duration::ZERO)?.is_empty() {
            hello(&mut server, &mut modest, what)?;
            hellos += 1;
            if hellos == HELLOS {
                return Ok(());
            }
            (asked_at, until) = (None, Instant::now() + 2 * TIMEOUT);
        }
        let since = asked_at.map_or(0, |at| replies.saturating_sub(at));
        if since <= ENOUGH && Instant::now() > until {
            let observed = format!(
                "one client has had {replies} replies and gets no more, the other none: {}",
                server.program.describe()
            );
            return fail("two clients to be served", observed);
        }
        if since > ENOUGH {
            let unread = oracles::unread(server.address, modest.local_address()?).unwrap_or(0);
            let observed = format!(
                "the other has had {since} replies since, and this one none; {unread} bytes of it lie unread: the server reads the one until EAGAIN, which never comes"
            );
            return with_exit(&mut server, fail(what, observed));
        }
    }
}

fn no_descriptors(context: &TestContext) -> Verdict {
    let mut server = start(context, "poll", &[])?;
    let pid = server.program.pid();
    let mut old = connect(&mut server)?;
    ask_hello(&mut server, &mut old, "a client to be served")?;
    // Two numbers are left below the limit, for whoever takes them. (What was inherited may stand above it.)
    let used = proc::descriptors(pid);
    let third_free = (0..).filter(|number| !used.contains_key(number)).nth(2).unwrap_or(0) as u64;
    let hard = proc::descriptor_limits(pid).map(|(_, hard)| hard);
    let limit = Rlimit { current: Some(third_free), maximum: hard };
    prlimit(rustix::process::Pid::from_raw(pid), Resource::Nofile, limit)
        .map_err(io::Error::from)?;
    let mut clients = Vec::new();
    for _ in 0..6 {
        let mut client = connect(&mut server)?;
        // A request that needs no file.
        let _ = client.send("NONSENSE\n");
        clients.push(client);
    }
    let what = "a server that sleeps, or refuses, when it has no descriptor for who comes next";
    expect_idle(
        &mut server,
        what,
        "accept fails with EMFILE, and whoever waits at the door is still there",
    )?;
    let (mut served, mut refused, mut waiting) = (Vec::new(), 0, Vec::new());
    for mut client in clients {
        if ready(&client, PollFlags::IN, Duration::ZERO)?.is_empty() {
            waiting.push(client);
            continue;
        }
        match client.read_line("a line") {
            Ok(said) if said.starts_with("ERR bad-command") => served.push(client),
            _ => refused += 1,
        }
    }
    if served.is_empty() {
        let observed = format!("of 6 who came, {refused} were refused and {} wait", waiting.len());
        return fail("room for two more clients to be used", observed);
    }
    // One leaves. Who waits is served now; if nobody does, who comes next.
    let sockets = |server: &Server| proc::descriptors(server.program.pid()).len();
    let count = sockets(&server);
    served.pop();
    let what = "a client to be served in the place of one that left";
    let mut next = match waiting.into_iter().next() {
        Some(client) => client,
        None => {
            if !within(TIMEOUT, || sockets(&server) < count) {
                return fail(what, "the connection of a client that is gone is not closed");
            }
            let mut client = connect(&mut server)?;
            send(&mut server, &mut client, "NONSENSE\n")?;
            client
        }
    };
    let said = line(&mut server, &mut next, what)?;
    if !said.starts_with("ERR bad-command") {
        return fail(what, quote(&said));
    }
    send(&mut server, &mut old, "NONSENSE\n")?;
    line(&mut server, &mut old, "the oldest client to be served still").map(|_| ())
}
