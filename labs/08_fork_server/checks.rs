//! What a server by fork leaves behind, seen from its clients and in `/proc`.

use crate::context::{
    Check, Client, Program, Server, Stop, TIMEOUT, TestContext, Verdict, describe_processes, fail,
    poll_for, quote,
};
use harness::proc::{self, Process};
use harness::wait::{pause, within};
use harness::{oracles, sockets};
use nix::fcntl::{OFlag, open};
use nix::sys::signal::{Signal, kill};
use nix::sys::stat::Mode;
use nix::unistd::Pid;
use rustix::event::{PollFd, PollFlags};
use std::fs;
use std::io::ErrorKind;
use std::net::{SocketAddrV4, UdpSocket};
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

pub(crate) const CHECKS: &[(&str, Check)] = &[
    ("serve.protocol", protocol),
    ("serve.last_first", last_first),
    ("serve.no_process", no_process),
    ("fork.listener_closed", listener_closed),
    ("fork.connection_closed", connection_closed),
    ("fork.child_ends", child_ends),
    ("fork.output_once", output_once),
    ("children.no_zombies", no_zombies),
    ("children.goes_on", goes_on),
    ("children.count", count),
    ("lines.concurrent", lines_concurrent),
    ("lines.goes_on", lines_goes_on),
];

/// How long it may take until a server waits for its next client. Whoever never does is examined all the same.
const SOON: Duration = Duration::from_millis(1500);

const FILE: &str = "greeting.txt";
const TEXT: &str = "good day\n";

/// A folder to serve.
fn root(context: &TestContext) -> Verdict<PathBuf> {
    let root = context.directory().join("root");
    fs::create_dir(&root)?;
    fs::write(root.join(FILE), TEXT)?;
    Ok(root)
}

fn server(context: &TestContext) -> Verdict<Server> {
    context.server(["--root".as_ref(), root(context)?.as_os_str()])
}

/// A server that ends by itself after so many clients.
fn counting_server(context: &TestContext, clients: usize) -> Verdict<Server> {
    let (root, clients) = (root(context)?, clients.to_string());
    context.server(["--root".as_ref(), root.as_os_str(), "--count".as_ref(), clients.as_ref()])
}

/// Waits until it holds, and no longer than there is hope: once the program and all that it has begun have ended, or
/// sleep and are not woken, nothing will change any more.
fn wait_until(program: &Program, mut holds: impl FnMut() -> bool) -> bool {
    const LOOK: Duration = Duration::from_millis(50);
    const LOOKS: u32 = 12;
    let begun = Instant::now();
    let mut hopeless = 0;
    while !holds() {
        if begun.elapsed() > TIMEOUT || hopeless == LOOKS {
            return false;
        }
        let mut family = program.process_tree();
        family.retain(|process| process.state != 'Z');
        let asleep = !family.is_empty() && oracles::asleep_during(&family, LOOK);
        hopeless = if asleep || family.is_empty() { hopeless + 1 } else { 0 };
        if !asleep {
            // A look ends early where somebody wakes, so this is what has to keep us from looking all the time.
            pause(LOOK / 5);
        }
    }
    true
}

/// Waits until the server has sent something that this client has not read, or has closed the connection.
fn wait_readable(server: &Server, client: &Client, what: &str) -> Verdict {
    let came = wait_until(&server.program, || readable(client.stream()));
    if came { Ok(()) } else { fail(what, "nothing comes") }
}

/// Whether there is something to read, or an error to be told.
fn readable(socket: impl AsFd) -> bool {
    let mut fds = [PollFd::new(&socket, PollFlags::IN)];
    !matches!(poll_for(&mut fds, Duration::ZERO), Ok(0))
}

/// Adds to a finding what the program is doing.
fn with_state<T>(program: &mut Program, verdict: Verdict<T>) -> Verdict<T> {
    if verdict.is_err() {
        // Who is about to end says more when it has.
        within(Duration::from_millis(100), || matches!(program.try_wait(), Ok(Some(_))));
    }
    program.explain(verdict)
}

/// The session of a client that was served once, and still is.
struct Session {
    client: Client,
    address: SocketAddrV4,
    /// The process that serves it.
    child: i32,
}

/// Fetches the file over a connection.
fn fetch(server: &Server, client: &mut Client, what: &str) -> Verdict {
    client.send(format!("GET {FILE}\n"))?;
    wait_readable(server, client, what)?;
    receive(client, what)
}

fn receive(client: &mut Client, what: &str) -> Verdict {
    let head = client.read_line(what)?;
    let wanted = format!("OK {}", TEXT.len());
    if head != wanted {
        return fail(format!("{what}: {wanted:?}"), quote(&head));
    }
    let body = client.read_exactly(TEXT.len(), what)?;
    let body = String::from_utf8_lossy(&body);
    if body == TEXT { Ok(()) } else { fail(quote(TEXT), quote(&body)) }
}

/// Members of the family that hold a client's connection, without the server itself.
fn children_of(server: &Server, client: SocketAddrV4) -> Vec<i32> {
    let mut holders = holders(server, client);
    holders.retain(|pid| *pid != server.program.pid());
    holders
}

fn holders(server: &Server, client: SocketAddrV4) -> Vec<i32> {
    oracles::connection_holders(&server.program.process_tree(), server.address, client)
}

/// A new client, served once by a process of its own.
fn open_session(server: &mut Server) -> Verdict<Session> {
    let arrived = try_open_session(server);
    with_state(&mut server.program, arrived)
}

fn try_open_session(server: &Server) -> Verdict<Session> {
    let mut client = server.connect()?;
    let address = client.local_address()?;
    fetch(server, &mut client, "a new client to be served")?;
    match children_of(server, address).first() {
        Some(child) => Ok(Session { client, address, child: *child }),
        None => {
            let observed = format!(
                "{address} was served by pid {}, which is the server itself",
                server.program.pid()
            );
            fail("a process of its own for each client", observed)
        }
    }
}

/// Sends QUIT and reads the reply.
fn quit(server: &mut Server, session: &mut Session) -> Verdict {
    let said = ask_to_quit(server, session);
    with_state(&mut server.program, said)
}

fn ask_to_quit(server: &Server, session: &mut Session) -> Verdict {
    session.client.send("QUIT\n")?;
    wait_readable(server, &session.client, "the reply to QUIT")?;
    let said = session.client.read_line("the reply to QUIT")?;
    if said == "OK 0" { Ok(()) } else { fail("`OK 0` in reply to QUIT", quote(&said)) }
}

fn has_ended(pid: i32) -> bool {
    proc::process(pid).is_none_or(|process| process.state == 'Z')
}

/// Those processes that are not dead, in words.
fn describe_living(pids: &[i32]) -> String {
    let living: Vec<Process> = pids
        .iter()
        .filter_map(|pid| proc::process(*pid))
        .filter(|process| process.state != 'Z')
        .collect();
    describe_processes(&living)
}

fn protocol(context: &TestContext) -> Verdict {
    let mut server = server(context)?;
    let spoken = check_protocol(&server);
    with_state(&mut server.program, spoken)
}

fn check_protocol(server: &Server) -> Verdict {
    let mut first = server.connect()?;
    // All at once: the end of one request is not the end of what was sent.
    first.send(format!("LIST\nGET {FILE}\nPUT new.txt {}\n{TEXT}QUIT\n", TEXT.len()))?;
    wait_readable(server, &first, "the reply to LIST")?;
    let head = first.read_line("the reply to LIST")?;
    let Some(length) = head.strip_prefix("OK ").and_then(|length| length.parse().ok()) else {
        return fail("the reply to LIST to begin with `OK LENGTH`", quote(&head));
    };
    let body = first.read_exactly(length, "the listing")?;
    let body = String::from_utf8_lossy(&body);
    if !body.starts_with(&format!("f {} ", TEXT.len())) || !body.ends_with(&format!(" {FILE}\n")) {
        return fail(format!("a listing with {FILE} in it"), quote(&body));
    }
    receive(&mut first, "the reply to GET")?;
    for request in ["PUT", "QUIT"] {
        let said = first.read_line(&format!("the reply to {request}"))?;
        if said != "OK 0" {
            return fail(format!("`OK 0` in reply to {request}"), quote(&said));
        }
    }
    let mut second = server.connect()?;
    second.send("GET new.txt\nGET nothing.txt\n")?;
    let what = "the file that another client has put there";
    wait_readable(server, &second, what)?;
    receive(&mut second, what)?;
    let said = second.read_line("the reply to GET of a file that is not there")?;
    if !said.starts_with("ERR not-found ") {
        return fail("`ERR not-found ...`", quote(&said));
    }
    second.shutdown_write()?;
    let what = "the end of the connection, as the client has ended its side";
    wait_readable(server, &second, what)?;
    second.read_end(what)
}

fn last_first(context: &TestContext) -> Verdict {
    const CLIENTS: usize = 5;
    let mut server = server(context)?;
    let mut clients = Vec::new();
    let (begin, end) = ("GET ", format!("{FILE}\n"));
    for n in 1..=CLIENTS {
        let mut client = server.connect()?;
        client.send(begin)?;
        let address = client.local_address()?;
        // Whoever has half a request waits for the other half, and nobody else has to wait with it.
        if !wait_until(&server.program, || !holders(&server, address).is_empty()) {
            let what = format!("each of {CLIENTS} clients to be accepted while the others wait");
            let busy = if n > 1 { ", while client 1 has sent half a request" } else { "" };
            let observed = format!("client {n} is not: nobody holds its connection{busy}");
            return with_state(&mut server.program, fail(what, observed));
        }
        clients.push(client);
    }
    for (n, client) in clients.iter_mut().enumerate().rev() {
        let what = format!("client {} of {CLIENTS} to be served, the last one first", n + 1);
        client.send(&end)?;
        let received = wait_readable(&server, client, &what).and_then(|()| receive(client, &what));
        with_state(&mut server.program, received)?;
    }
    Ok(())
}

fn no_process(context: &TestContext) -> Verdict {
    let root = root(context)?;
    let mut server = context.unprivileged_server(["--root".as_ref(), root.as_os_str()])?;
    let mut early = open_session(&mut server)?;
    let before: Vec<i32> =
        server.program.process_tree().iter().map(|process| process.pid).collect();
    server.program.limit_processes(true)?;
    let mut late = server.connect()?;
    let told = refused(&mut server, &mut late);
    let new = |process: &Process| !before.contains(&process.pid);
    if server.program.process_tree().iter().any(new) {
        return Err(Stop::Skip("no limit on processes binds the server here".into()));
    }
    told?;
    let served = fetch(&server, &mut early.client, "a client that has a process to be served on");
    with_state(&mut server.program, served)?;
    server.program.limit_processes(false)?;
    // Those who come later have nothing to do with it.
    open_session(&mut server).map(drop)
}

/// The refusal of a client for which there is no process.
fn refused(server: &mut Server, client: &mut Client) -> Verdict {
    let what = "`ERR busy MESSAGE` for a client when fork fails, and the end of its connection";
    let address = client.local_address()?;
    match wait_readable(server, client, what).and_then(|()| client.read_line(what)) {
        Ok(said) if said.starts_with("ERR busy ") => {
            let ended = client.read_end(what);
            with_state(&mut server.program, ended)
        }
        Ok(said) => fail(what, quote(&said)),
        Err(Stop::Fail(finding)) => {
            let pid = server.program.pid();
            let whose = if holders(server, address).contains(&pid) {
                format!("; pid {pid}, the server itself, holds this connection and says nothing")
            } else {
                ": nobody serves this client, and nobody has told it so".into()
            };
            let verdict = fail(finding.expected, finding.observed + &whose);
            with_state(&mut server.program, verdict)
        }
        Err(other) => Err(other),
    }
}

fn listener_closed(context: &TestContext) -> Verdict {
    let mut server = server(context)?;
    let sessions =
        [open_session(&mut server)?, open_session(&mut server)?, open_session(&mut server)?];
    let pid = server.program.pid();
    let read = || oracles::listener_holders(&server.program.process_tree(), server.address);
    if wait_until(&server.program, || read() == [pid]) {
        return Ok(());
    }
    let inode = sockets::listener(server.address).map_or(0, |socket| socket.inode);
    let mut seen = Vec::new();
    for holder in read().into_iter().filter(|holder| *holder != pid) {
        let whom = sessions.iter().find(|session| session.child == holder);
        let whom = whom.map_or(String::new(), |session| {
            format!(", the child that serves {},", session.address)
        });
        let number = descriptor(holder, inode).unwrap_or(-1);
        seen.push(format!("pid {holder}{whom} holds it as descriptor {number}"));
    }
    if !read().contains(&pid) {
        seen.push(format!(
            "pid {pid}, the server, does not hold it: {}",
            server.program.describe()
        ));
    }
    fail(format!("the listening socket of {} in the server alone", server.address), seen.join("; "))
}

/// The number by which a process knows a socket.
fn descriptor(pid: i32, inode: u64) -> Option<i32> {
    let name = format!("socket:[{inode}]");
    proc::descriptors(pid).into_iter().find(|(_, target)| *target == name).map(|(number, _)| number)
}

fn connection_closed(context: &TestContext) -> Verdict {
    let mut server = server(context)?;
    let mut sessions = Vec::new();
    for _ in 0..4 {
        sessions.push(open_session(&mut server)?);
    }
    let pid = server.program.pid();
    let kept = |server: &Server| -> Vec<i32> {
        let inode =
            |session: &Session| Some(sockets::connection(server.address, session.address)?.inode);
        sessions.iter().filter_map(|session| descriptor(pid, inode(session)?)).collect()
    };
    if !wait_until(&server.program, || kept(&server).is_empty()) {
        let kept = kept(&server);
        let numbers: Vec<String> = kept.iter().map(i32::to_string).collect();
        let observed = format!(
            "pid {pid}, the server, holds {} of 4: descriptors {}",
            kept.len(),
            numbers.join(", ")
        );
        return fail("the connections of 4 clients in their children alone", observed);
    }
    let what = "the end of the connection after QUIT, as nobody holds it any more";
    for session in &mut sessions {
        quit(&mut server, session)?;
        let ended = wait_readable(&server, &session.client, what)
            .and_then(|()| session.client.read_end(what));
        if let Err(Stop::Fail(mut finding)) = ended {
            let holders = holders(&server, session.address);
            finding.observed += &format!("; it is held by pid {holders:?}");
            return Err(Stop::Fail(finding));
        }
    }
    Ok(())
}

fn child_ends(context: &TestContext) -> Verdict {
    let mut server = server(context)?;
    let mut quits = open_session(&mut server)?;
    let goes = open_session(&mut server)?;
    quit(&mut server, &mut quits)?;
    goes.client.shutdown_write()?;
    for (child, how) in [(quits.child, "QUIT"), (goes.child, "the end of what its client sends")] {
        if !wait_until(&server.program, || has_ended(child)) {
            return fail(format!("the child to end after {how}"), describe_living(&[child]));
        }
    }
    Ok(())
}

fn output_once(context: &TestContext) -> Verdict {
    let mut server = counting_server(context, 3)?;
    let mut addresses = Vec::new();
    for _ in 0..3 {
        let mut session = open_session(&mut server)?;
        quit(&mut server, &mut session)?;
        if !wait_until(&server.program, || has_ended(session.child)) {
            return fail("the child to end after QUIT", describe_living(&[session.child]));
        }
        addresses.push(session.address.to_string());
    }
    server.program.wait("the server to end after 3 clients, as `--count 3` says", TIMEOUT)?;
    let output = server.program.output();
    let times = output.matches("clients:").count();
    if times > 1 {
        let what = "what the server had in its buffer when it forked to be printed once";
        let observed = format!(
            "{times} times: children have written out their copies of the buffer as they ended: {}",
            quote(&output)
        );
        return fail(what, observed);
    }
    let wanted = format!("clients: {}\n", addresses.join(" "));
    if output.contains(&wanted) { Ok(()) } else { fail(quote(&wanted), quote(&output)) }
}

fn no_zombies(context: &TestContext) -> Verdict {
    const CLIENTS: usize = 6;
    let mut server = server(context)?;
    let mut sessions = Vec::new();
    for _ in 0..CLIENTS {
        sessions.push(open_session(&mut server)?);
    }
    let pid = server.program.pid();
    let sleeps = || proc::process(pid).is_some_and(|process| process.state == 'S');
    within(SOON, sleeps);
    // They all end while the server is stopped, so it hears of them once.
    server.program.signal(Signal::SIGSTOP);
    let stopped = || proc::process(pid).is_some_and(|process| process.state == 'T');
    if !within(TIMEOUT, stopped) {
        return with_state(&mut server.program, fail("the server to run on", "it does not"));
    }
    let children: Vec<i32> = sessions.iter().map(|session| session.child).collect();
    for session in &mut sessions {
        quit(&mut server, session)?;
    }
    let all_dead = wait_until(&server.program, || children.iter().all(|child| has_ended(*child)));
    server.program.signal(Signal::SIGCONT);
    if !all_dead {
        return fail(format!("{CLIENTS} children to end after QUIT"), describe_living(&children));
    }
    let _one_more = open_session(&mut server)?;
    let zombies = || oracles::zombies(&server.program.process_tree());
    if wait_until(&server.program, || zombies().len() <= 1) {
        return Ok(());
    }
    let left = zombies();
    let shown: Vec<String> = left.iter().take(6).map(|zombie| format!("pid {zombie} Z")).collect();
    let what = format!(
        "at most 1 child that nobody has waited for, after {CLIENTS} clients have quit and one more has connected"
    );
    let observed =
        format!("{}: {} (their parent is {pid}, the server)", left.len(), shown.join(", "));
    fail(what, observed)
}

fn goes_on(context: &TestContext) -> Verdict {
    let mut server = server(context)?;
    for _ in 0..4 {
        let mut session = open_session(&mut server)?;
        let pid = server.program.pid();
        within(SOON, || proc::process(pid).is_some_and(|process| process.state == 'S'));
        quit(&mut server, &mut session)?;
        let child = session.child;
        if !wait_until(&server.program, || has_ended(child)) {
            return fail("the child to end after QUIT", describe_living(&[child]));
        }
        survived(&mut server.program, child)?;
    }
    open_session(&mut server).map(drop)
}

/// Whether the program lives on, now that its child has ended. Where there is nothing to be seen of that, it has
/// not reacted at all, which is right, too.
fn survived(program: &mut Program, child: i32) -> Verdict {
    let mut status = None;
    within(Duration::from_millis(100), || {
        status = program.try_wait().unwrap_or_default();
        status.is_some() || proc::process(child).is_none()
    });
    if status.is_none() && program.try_wait()?.is_none() {
        return Ok(());
    }
    let observed = format!("{}, as its child {child} ended", program.describe());
    fail("a server that waits for clients to go on when a child ends", observed)
}

fn count(context: &TestContext) -> Verdict {
    let mut server = counting_server(context, 5)?;
    let mut sessions = Vec::new();
    for n in 0..5 {
        sessions.push(open_session(&mut server)?);
        if n == 1 {
            // Long before the end: whoever waits for them then has to remember.
            let (first, second) = sessions.split_at_mut(1);
            quit(&mut server, &mut first[0])?;
            let _ = kill(Pid::from_raw(second[0].child), Signal::SIGKILL);
            let children = [first[0].child, second[0].child];
            if !wait_until(&server.program, || children.iter().all(|child| has_ended(*child))) {
                return fail("the children of two clients to end", describe_living(&children));
            }
        }
    }
    // A client that breaks off: its child fails, and ends by itself.
    rustix::net::sockopt::set_socket_linger(sessions[2].client.stream(), Some(Duration::ZERO))
        .map_err(std::io::Error::from)?;
    let gone = sessions.remove(2).child;
    let pid = server.program.pid();
    within(SOON, || {
        let waits = proc::process(pid).is_some_and(|process| process.state == 'S');
        (waits && proc::process(gone).is_none()) || !matches!(server.program.try_wait(), Ok(None))
    });
    if server.program.try_wait()?.is_some() {
        let observed = format!("it ended when its child {gone} did; {}", server.program.describe());
        return fail("the server to wait until the last two of its children have ended", observed);
    }
    for session in sessions.drain(..).skip(2) {
        let mut session = session;
        quit(&mut server, &mut session)?;
    }
    let what = "the server to end when its 5 clients have gone, as `--count 5` says";
    let status = server.program.wait(what, TIMEOUT)?;
    let output = server.program.output();
    let last = output.lines().last().unwrap_or_default();
    let what =
        "`served 3, lost 2` in the end: of 5 children one was killed and one ended with code 1";
    if !status.success() {
        return fail(what, server.program.describe());
    }
    if last != "served 3, lost 2" {
        return fail(what, quote(last));
    }
    Ok(())
}

/// A client of the service by datagram.
struct DatagramClient {
    socket: UdpSocket,
    server: SocketAddrV4,
}

impl DatagramClient {
    fn new(lines: &Server) -> Verdict<DatagramClient> {
        let socket = UdpSocket::bind("127.0.0.1:0")?;
        socket.set_read_timeout(Some(TIMEOUT))?;
        socket.connect(lines.address)?;
        Ok(DatagramClient { socket, server: lines.address })
    }

    fn ask(&self, name: &str) -> Verdict {
        match self.socket.send(format!("LINES {name}").as_bytes()) {
            Ok(_) => Ok(()),
            Err(error) => fail("a request to be taken", error),
        }
    }

    /// The reply; `what` says which one.
    fn expect_reply(&self, server: &Server, wanted: &str, what: &str) -> Verdict {
        if !wait_until(&server.program, || readable(&self.socket)) {
            return fail(what, format!("no reply comes{}", self.peer()));
        }
        let mut bytes = [0; 512];
        match self.socket.recv(&mut bytes) {
            Ok(count) => {
                let said = String::from_utf8_lossy(&bytes[..count]);
                if said == wanted {
                    Ok(())
                } else {
                    fail(format!("{wanted:?}: {what}"), quote(&said))
                }
            }
            Err(error) if error.kind() == ErrorKind::ConnectionRefused => {
                let why = "nobody receives at the server's port";
                fail(what, format!("{why}{}", self.peer()))
            }
            Err(error) => Err(error.into()),
        }
    }

    fn peer(&self) -> String {
        let peer = sockets::datagram_socket(self.server).map(|socket| socket.remote);
        let peer = peer.filter(|peer| peer.port() != 0);
        peer.map_or(String::new(), |peer| {
            format!("; its socket is connected to {peer}, so it receives from nobody else")
        })
    }
}

/// The service by datagram, and its folder with a file whose end is for the check to say.
fn lines(context: &TestContext) -> Verdict<(Server, PathBuf)> {
    let root = root(context)?;
    for n in 0..4 {
        fs::write(root.join(format!("{n}.txt")), "a line\n".repeat(n))?;
    }
    let slow = root.join("slow");
    nix::unistd::mkfifo(&slow, Mode::S_IRUSR | Mode::S_IWUSR)?;
    let lines = context.program("lines").arg("--root").arg(&root).start()?.listening()?;
    Ok((lines, slow))
}

/// Gives whoever reads the slow file two lines and its end.
fn end_slow(server: &Server, slow: &Path) -> Verdict {
    let mut writer = None;
    // It can be opened as soon as somebody reads.
    wait_until(&server.program, || {
        writer =
            open(slow, OFlag::O_WRONLY | OFlag::O_NONBLOCK | OFlag::O_CLOEXEC, Mode::empty()).ok();
        writer.is_some()
    });
    match writer {
        Some(writer) => {
            nix::unistd::write(&writer, b"one\ntwo\n")?;
            Ok(())
        }
        None => fail("somebody to read the file of a request", "nobody does"),
    }
}

/// A living child of the program, as soon as it has one.
fn child_of(server: &Server) -> Option<i32> {
    let pid = server.program.pid();
    let mut child = None;
    wait_until(&server.program, || {
        let family = server.program.process_tree();
        child = family.iter().find(|p| p.parent == pid && p.state != 'Z').map(|p| p.pid);
        child.is_some()
    });
    child
}

fn lines_concurrent(context: &TestContext) -> Verdict {
    let (mut server, slow) = lines(context)?;
    let asked = ask_all(&server, &slow);
    with_state(&mut server.program, asked)
}

fn ask_all(server: &Server, slow: &Path) -> Verdict {
    let waiting = DatagramClient::new(server)?;
    waiting.ask("slow")?;
    // Somebody must have begun with it, or the others are only earlier.
    let pid = server.program.pid();
    if child_of(server).is_none() {
        let what = "a process for a request that takes long";
        return fail(what, format!("pid {pid}, the server, has no child"));
    }
    let mut others = Vec::new();
    for _ in 0..4 {
        others.push(DatagramClient::new(server)?);
    }
    for (n, other) in others.iter().enumerate() {
        other.ask(&format!("{n}.txt"))?;
    }
    for (n, other) in others.iter().enumerate() {
        let what = "an answer of its own for each client, while another request takes long";
        other.expect_reply(server, &format!("OK {n}"), what)?;
    }
    end_slow(server, slow)?;
    waiting.expect_reply(
        server,
        "OK 2",
        "the answer to the request that takes long, in the end",
    )?;
    for client in others.iter().chain([&waiting]) {
        client.socket.set_nonblocking(true)?;
        let mut bytes = [0; 512];
        if let Ok(count) = client.socket.recv(&mut bytes) {
            let said = quote(&String::from_utf8_lossy(&bytes[..count]));
            return fail("one reply to each request", format!("one more: {said}"));
        }
    }
    Ok(())
}

fn lines_goes_on(context: &TestContext) -> Verdict {
    let (mut server, slow) = lines(context)?;
    let client = DatagramClient::new(&server)?;
    let pid = server.program.pid();
    for n in 1..=4 {
        let what = format!("the answer to request {n}");
        // The server is back at its socket when this child ends.
        client.ask("slow")?;
        let Some(child) = child_of(&server) else {
            let verdict = fail("a process for each request", format!("pid {pid} has no child"));
            return with_state(&mut server.program, verdict);
        };
        within(SOON, || proc::process(pid).is_some_and(|process| process.state == 'S'));
        let heard =
            end_slow(&server, &slow).and_then(|()| client.expect_reply(&server, "OK 2", &what));
        with_state(&mut server.program, heard)?;
        if !wait_until(&server.program, || has_ended(child)) {
            return fail("the child to end after its answer", describe_living(&[child]));
        }
        survived(&mut server.program, child)?;
    }
    Ok(())
}
