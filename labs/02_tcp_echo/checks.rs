//! Clients that do not read, that are gone, that wait for the end; and a look at what the kernel has.

use crate::context::{
    Check, Client, Program, Server, Stop, TIMEOUT, TestContext, UNWRITTEN, Verdict,
    describe_processes, fail, poll_for,
};
use harness::wait::{pause, within};
use harness::{oracles, proc, sockets};
use nix::sys::signal::Signal;
use rustix::event::{PollFd, PollFlags};
use rustix::net::sockopt;
use rustix::net::{AddressFamily, SocketType};
use std::io::{self, ErrorKind, Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, SocketAddrV4, TcpStream};
use std::time::{Duration, Instant};

pub(crate) const CHECKS: &[(&str, Check)] = &[
    ("options.read_back", read_back),
    ("listen.address", address),
    ("listen.restart", restart),
    ("listen.port_taken", port_taken),
    ("echo.returns", returns),
    ("echo.interrupted", interrupted),
    ("echo.partial_sends", partial_sends),
    ("echo.end", end),
    ("echo.reset", reset),
    ("client.half_close", half_close),
    ("client.reads_to_the_end", reads_to_the_end),
    ("client.both_ways", both_ways),
];

// ---- Options ----

fn read_back(context: &TestContext) -> Verdict {
    let wanted = options().map_err(io::Error::from)?;
    let mut program = context.program("client").arg("options").start()?;
    program.wait("`client options` to end", TIMEOUT)?;
    let output = program.output();
    let said: Vec<&str> = output.lines().collect();
    for (at, wanted) in wanted.iter().enumerate() {
        match said.get(at) {
            Some(said) if said == wanted => {}
            Some(said) => {
                return fail(format!("`{wanted}`, as this kernel has it"), format!("`{said}`"));
            }
            None => return fail(format!("`{wanted}`"), program.describe()),
        }
    }
    Ok(())
}

/// What a right program prints on this machine.
fn options() -> rustix::io::Result<Vec<String>> {
    let socket = rustix::net::socket(AddressFamily::INET, SocketType::STREAM, None)?;
    let number = |flag: bool| usize::from(flag);
    let mut lines = vec!["SO_TYPE 1".to_owned()];
    let mut tell = |name: &str, before: usize, value: usize, after: usize| {
        lines.push(format!("{name} was {before}, set to {value}, is {after}"));
    };
    let before = number(sockopt::socket_reuseaddr(&socket)?);
    sockopt::set_socket_reuseaddr(&socket, true)?;
    tell("SO_REUSEADDR", before, 1, number(sockopt::socket_reuseaddr(&socket)?));
    let before = number(sockopt::socket_keepalive(&socket)?);
    sockopt::set_socket_keepalive(&socket, true)?;
    tell("SO_KEEPALIVE", before, 7, number(sockopt::socket_keepalive(&socket)?));
    let before = sockopt::socket_recv_buffer_size(&socket)?;
    sockopt::set_socket_recv_buffer_size(&socket, 20_000)?;
    tell("SO_RCVBUF", before, 20_000, sockopt::socket_recv_buffer_size(&socket)?);
    let before = sockopt::socket_send_buffer_size(&socket)?;
    sockopt::set_socket_send_buffer_size(&socket, 1)?;
    tell("SO_SNDBUF", before, 1, sockopt::socket_send_buffer_size(&socket)?);
    let before = number(sockopt::tcp_nodelay(&socket)?);
    sockopt::set_tcp_nodelay(&socket, true)?;
    tell("TCP_NODELAY", before, 1, number(sockopt::tcp_nodelay(&socket)?));
    lines.push(format!("9999: {}", io::Error::from(rustix::io::Errno::NOPROTOOPT)));
    Ok(lines)
}

// ---- Where it listens ----

const ANY_PORT: &str = "127.0.0.1:0";

fn address(context: &TestContext) -> Verdict {
    let asked = Ipv4Addr::new(127, 0, 0, 2);
    let first = loop {
        let server = context.server([format!("{asked}:0")])?;
        listens_on(&server, asked)?;
        let port = server.address.port();
        // A port of two equal bytes reads the same in either order, and would show no mistake.
        if port != port.swap_bytes() {
            break server.address;
        }
    };
    // The same port again, now by its number.
    let server = context.server([first.to_string()])?;
    let got = server.address.port();
    if got == first.port().swap_bytes() {
        let what = format!("port {}", first.port());
        let how = "that is its two bytes the other way round: the number is not in network order";
        return fail(what, format!("port {got}: {how}"));
    }
    if got != first.port() {
        return fail(format!("port {}, as asked", first.port()), format!("port {got}"));
    }
    listens_on(&server, asked)
}

/// Looks in the kernel's list, whatever the server says.
fn listens_on(server: &Server, asked: Ipv4Addr) -> Verdict {
    let port = server.address.port();
    let found = sockets::listeners_on(port);
    let what = format!("a socket that listens on {asked}:{port} and nowhere else");
    match found.as_slice() {
        [one] if *one.ip() == asked => Ok(()),
        [] => fail(
            what,
            format!(
                "nothing listens on port {port}; {}",
                describe_processes(&server.program.process_tree())
            ),
        ),
        [one] if one.ip().is_unspecified() => fail(
            what,
            format!(
                "it listens on {one}: on every address of this machine, for every network that it is in"
            ),
        ),
        several => fail(what, format!("{several:?}")),
    }
}

fn restart(context: &TestContext) -> Verdict {
    for _ in 0..3 {
        let server = context.server([ANY_PORT])?;
        let mut client = server.connect()?;
        let (own, address) = addresses(&client)?;
        client.send("x")?;
        client.read_exactly(1, "an echo")?;
        // It ends first, so the connection lingers on at its side.
        drop(server);
        client.read_end("the end, when the server was killed")?;
        drop(client);
        let lingers =
            || sockets::connection(address, own).is_some_and(|end| end.state == sockets::TIME_WAIT);
        if !within(TIMEOUT, lingers) {
            return Err(Stop::GraderError("no connection in TIME-WAIT could be made".into()));
        }
        let mut second = context.program("server").arg(address.to_string()).start()?;
        let said = second.read_line("a server that was stopped to start again at once");
        let Err(Stop::Fail(finding)) = &said else {
            let line = said?;
            let same = line.ends_with(&format!(":{}", address.port()));
            return if same { Ok(()) } else { fail(format!("listening on {address}"), line) };
        };
        // Somebody else may have been given the port in the meantime.
        if sockets::listeners_on(address.port()).is_empty() {
            let expected = format!("{}, on {address}", finding.expected);
            let why = "a connection of its predecessor is in TIME-WAIT for a minute, and bars it";
            return fail(expected, format!("{}; {why}", finding.observed));
        }
    }
    Err(Stop::GraderError("somebody else took the port, three times".into()))
}

fn port_taken(context: &TestContext) -> Verdict {
    let first = context.server([ANY_PORT])?;
    let address = first.address;
    let what = format!("an error, since a server that runs has {address}");
    let mut second = context.program("server").arg(address.to_string()).start()?;
    if let Ok(line) = second.read_line(&what) {
        let why = match line.rsplit(' ').next().and_then(|word| word.parse::<SocketAddrV4>().ok()) {
            Some(same) if same.port() == address.port() => {
                "two servers have one port now (SO_REUSEPORT), and each gets some of the clients"
            }
            Some(other) if other.ip().is_unspecified() => {
                "bind has failed, and listen on a socket without an address takes any port"
            }
            _ => "that is not where it was told to listen",
        };
        return fail(what, format!("the second one says `{line}`: {why}"));
    }
    let status = second.wait(&what, TIMEOUT)?;
    let doing = second.describe();
    if status.success() || doing.starts_with(UNWRITTEN) { fail(what, doing) } else { Ok(()) }
}

// ---- The server's conversations ----

/// The addresses of a connection: this end's, and the other's.
fn addresses(client: &Client) -> Verdict<(SocketAddrV4, SocketAddrV4)> {
    match (client.stream().local_addr(), client.stream().peer_addr()) {
        (Ok(SocketAddr::V4(own)), Ok(SocketAddr::V4(peer))) => Ok((own, peer)),
        (_, Err(error)) if error.kind() == ErrorKind::NotConnected => {
            fail("the connection to be there until the client has ended it", error)
        }
        _ => Err(Stop::GraderError("a connection that is not of IPv4".into())),
    }
}

/// How often the program has gone to sleep: at least with every tick of its timer that it sees.
fn ticks(program: &Program) -> u64 {
    proc::context_switches(program.pid()).voluntary
}

/// Waits until `n` signals have come to a program that waits.
fn wait_for_ticks(program: &Program, n: u64) {
    let before = ticks(program);
    within(TIMEOUT, || ticks(program) >= before + n);
}

/// Sends, and expects the same back.
fn echo(server: &mut Server, client: &mut Client, bytes: &[u8], what: &str) -> Verdict {
    server.program.explain(client.send(bytes))?;
    let back = server.program.explain(client.read_exactly(bytes.len(), what))?;
    match difference(bytes, &back) {
        None => Ok(()),
        Some(how) => fail(what, how),
    }
}

/// A new client whose byte is sent back.
fn served(server: &mut Server, what: &str) -> Verdict<Client> {
    let connected = server.connect();
    let mut client = server.program.explain(connected)?;
    echo(server, &mut client, b"?", what)?;
    Ok(client)
}

/// Bytes in words of four that count, so that every place in them is another.
fn pattern(length: usize) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(length + 4);
    for number in 0..length.div_ceil(4) as u32 {
        bytes.extend_from_slice(&number.to_be_bytes());
    }
    bytes.truncate(length);
    bytes
}

/// Where and how what came back differs from what was sent.
fn difference(sent: &[u8], back: &[u8]) -> Option<String> {
    if sent == back {
        return None;
    }
    // Whole pages first, since these may be megabytes.
    let pages = sent.chunks_exact(4096).zip(back.chunks_exact(4096));
    let from = 4096 * pages.take_while(|(a, b)| a == b).count();
    let rest = sent[from..].iter().zip(&back[from..]);
    let at = from + rest.take_while(|(a, b)| a == b).count();
    let Some(next) = back.get(at..at + 16) else {
        let (back, sent) = (back.len(), sent.len());
        let how = format!("the first {at} are as they were sent");
        return Some(format!("{back} of {sent} bytes came back and no more; {how}"));
    };
    // A word of the pattern tells where it comes from.
    let place = (0..4).find_map(|skew| {
        let word = u32::from_be_bytes(next[skew..skew + 4].try_into().ok()?);
        let place = (4 * word as usize).checked_sub(skew)?;
        (sent.get(place..place + 16) == Some(next)).then_some(place)
    });
    Some(match place {
        Some(place) if place > at => {
            format!("after byte {at} come those from {place} on: {} bytes were lost", place - at)
        }
        Some(place) => {
            let twice = at - place;
            format!(
                "after byte {at} come those from {place} on again: {twice} bytes were sent twice"
            )
        }
        None => format!("byte {at} is another than was sent"),
    })
}

fn returns(context: &TestContext) -> Verdict {
    let mut server = context.server([ANY_PORT])?;
    for n in 1..=2 {
        let connected = server.connect();
        let mut client = server.program.explain(connected)?;
        for length in [5, 1, 1000, 256, 40_000] {
            // Every value of a byte.
            let bytes: Vec<u8> = (0..length).map(|at| (at * 7 + at / 256) as u8).collect();
            let what = format!("{length} bytes of client {n} to come back");
            echo(&mut server, &mut client, &bytes, &what)?;
        }
        server.program.explain(client.shutdown_write())?;
        server.program.explain(client.read_end("nothing more, and the end"))?;
    }
    Ok(())
}

fn interrupted(context: &TestContext) -> Verdict {
    let mut server = context.server([ANY_PORT])?;
    let what = "an echo for a client that was silent while signals came to the server";
    let mut client = served(&mut server, "an echo")?;
    for _ in 0..3 {
        wait_for_ticks(&server.program, 5);
        echo(&mut server, &mut client, b"still there?", what)?;
    }
    Ok(())
}

/// How many bytes go through a connection whose reader stops now and then: more than the buffers of both ends hold.
const MUCH: usize = 8 << 20;

fn partial_sends(context: &TestContext) -> Verdict {
    let mut server = context.server([ANY_PORT])?;
    let client = served(&mut server, "an echo")?;
    let (addresses, bytes) = (addresses(&client)?, pattern(MUCH));
    let mut stream = client.stream();
    stream.set_nonblocking(true)?;
    let (mut sent, mut back) = (0, Vec::with_capacity(MUCH));
    let mut open = true;
    let mut last = Instant::now();
    // Three times the client sends and does not read, until the server cannot go on. Then it reads a megabyte.
    let mut stops = 3;
    let mut read_until = 0;
    while open {
        let before = (sent, back.len());
        if sent < MUCH {
            match stream.write(&bytes[sent..MUCH.min(sent + (64 << 10))]) {
                Ok(n) => sent += n,
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                Err(_) => sent = MUCH, // what has come back will show
            }
            if sent == MUCH {
                let _ = stream.shutdown(Shutdown::Write);
            }
        }
        let reads = stops == 0 || back.len() < read_until;
        if reads {
            open = read_available(stream, &mut back)?;
        } else if sent == MUCH || blocked(&server, addresses) {
            stops -= 1;
            read_until = back.len() + (1 << 20);
        }
        if before != (sent, back.len()) {
            last = Instant::now();
        } else if last.elapsed() > TIMEOUT {
            break;
        } else if reads {
            wait_for_input_and(stream, sent < MUCH)?;
        }
    }
    let what =
        format!("{} MiB to come back to a client that stops reading now and then", MUCH >> 20);
    match difference(&bytes, &back) {
        None => Ok(()),
        Some(how) => server.program.explain(fail(what, how)),
    }
}

/// Whether the server has stopped reading, and goes on waiting though signals come.
fn blocked(server: &Server, (client, theirs): (SocketAddrV4, SocketAddrV4)) -> bool {
    let unread = || oracles::unread(theirs, client);
    let Some(first @ 1..) = unread() else { return false };
    let before = ticks(&server.program);
    let until = Instant::now() + TIMEOUT;
    while unread() == Some(first) && Instant::now() < until {
        if ticks(&server.program) >= before + 5 {
            return true;
        }
        pause(Duration::from_millis(3));
    }
    false
}

/// Reads what there is; gives whether more may come.
fn read_available(mut stream: &TcpStream, into: &mut Vec<u8>) -> Verdict<bool> {
    let mut chunk = [0; 64 * 1024];
    match stream.read(&mut chunk) {
        Ok(0) => Ok(false),
        Ok(n) => {
            into.extend_from_slice(&chunk[..n]);
            Ok(true)
        }
        Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => {
            Ok(true)
        }
        Err(_) => Ok(false),
    }
}

/// Waits a moment for something to read, or for room to write.
fn wait_for_input_and(stream: &TcpStream, room: bool) -> Verdict<bool> {
    let flags = if room { PollFlags::IN | PollFlags::OUT } else { PollFlags::IN };
    Ok(poll_for(&mut [PollFd::new(stream, flags)], Duration::from_millis(20))? > 0)
}

fn end(context: &TestContext) -> Verdict {
    let mut server = context.server([ANY_PORT])?;
    let mut client = served(&mut server, "an echo")?;
    let bytes = pattern(3000);
    server.program.explain(client.send(&bytes))?;
    server.program.explain(client.shutdown_write())?;
    let back = client.read_exactly(bytes.len(), "all that was sent before the end");
    if let Some(how) = difference(&bytes, &server.program.explain(back)?) {
        return fail("what was sent before the end to come back", how);
    }
    let what = "the server to end a conversation when the client has ended its side";
    let stream = client.stream();
    stream.set_read_timeout(Some(Duration::from_millis(20)))?;
    let begun = Instant::now();
    let used = |server: &Server| proc::cpu_time(server.program.pid()).unwrap_or_default();
    let before = used(&server);
    while !matches!(stream.peek(&mut [0]), Ok(0)) {
        // To close takes next to no time of a processor.
        if used(&server).saturating_sub(before) > Duration::from_millis(100) {
            let how = "recv gives 0, which is the end, and it calls it again and again: a core is busy with nothing";
            return server.program.explain(fail(what, how));
        }
        if begun.elapsed() > TIMEOUT {
            let how = format!("the connection is still open after {TIMEOUT:?}");
            return server.program.explain(fail(what, how));
        }
    }
    served(&mut server, "the next client to be served")?;
    // Who sleeps goes to sleep again after every tick, as soon as it gets to run; who spins never does.
    let (window, begun) = (Duration::from_millis(200), Instant::now());
    loop {
        let before = ticks(&server.program);
        let ready = oracles::ready_during(&server.program.process_tree(), window);
        if ready <= window / 2 || ticks(&server.program) != before {
            return Ok(());
        }
        if begun.elapsed() > Duration::from_secs(1) {
            let how =
                format!("for {ready:.0?} of {window:?} it ran, or waited for a core to run on");
            return fail("a server that has nothing to do to sleep", how);
        }
    }
}

fn reset(context: &TestContext) -> Verdict {
    let mut server = context.server([ANY_PORT])?;
    // While the server waits in recv.
    let client = served(&mut server, "an echo")?;
    reset_and_wait(client)?;
    served(&mut server, "the next client to be served after one that reset its connection")?;
    // And when it has something to send: the client has sent, ended its side, and is gone before the server looks.
    let mut client = served(&mut server, "an echo")?;
    server.program.signal(Signal::SIGSTOP);
    let pid = server.program.pid();
    let stopped = || proc::process(pid).is_some_and(|process| process.state == 'T');
    if !within(TIMEOUT, stopped) {
        return Err(Stop::GraderError("the server could not be stopped in time".into()));
    }
    client.send(pattern(60_000))?;
    server.program.explain(client.shutdown_write())?;
    reset_and_wait(client)?;
    server.program.signal(Signal::SIGCONT);
    let what = "the next client to be served after one that was gone before it was answered";
    served(&mut server, what).map(drop)
}

/// Resets a connection, and waits until the server's end of it is gone.
fn reset_and_wait(client: Client) -> Verdict {
    let (own, theirs) = addresses(&client)?;
    sockopt::set_socket_linger(client.stream(), Some(Duration::ZERO)).map_err(io::Error::from)?;
    drop(client);
    if within(TIMEOUT, || sockets::connection(theirs, own).is_none()) {
        Ok(())
    } else {
        Err(Stop::GraderError("a connection could not be reset in time".into()))
    }
}

// ---- The client ----

/// A client that talks to this check.
fn begin(context: &TestContext, words: &[&str], input: &str) -> Verdict<(Program, Client)> {
    let listener = context.listen()?;
    let address = listener.address().to_string();
    let mut program = context.program("client").arg(&address).args(words).start()?;
    program.feed(input)?;
    program.close_stdin();
    let client = listener.accept_from(&mut program, "the client to connect")?;
    Ok((program, client))
}

/// Notices that a program makes no progress although it has had every chance.
struct StallDetector {
    /// When it was first seen that nothing moves, and how many ticks there had been by then.
    still: Option<(Instant, u64)>,
}

impl StallDetector {
    fn new() -> StallDetector {
        StallDetector { still: None }
    }

    fn progressed(&mut self) {
        self.still = None;
    }

    /// Whether thirty signals have woken it in vain, or a long time has passed.
    fn stalled(&mut self, program: &Program) -> bool {
        let (since, first) = *self.still.get_or_insert_with(|| (Instant::now(), ticks(program)));
        let still = since.elapsed();
        still > TIMEOUT || still > Duration::from_millis(300) && ticks(program) >= first + 30
    }
}

/// Reads to the end of what the program sends.
fn read_to_end(program: &mut Program, client: &Client, what: &str, why: &str) -> Verdict<Vec<u8>> {
    let stream = client.stream();
    stream.set_nonblocking(true)?;
    let (mut bytes, mut detector) = (Vec::new(), StallDetector::new());
    loop {
        let before = bytes.len();
        if !read_available(stream, &mut bytes)? {
            stream.set_nonblocking(false)?;
            return Ok(bytes);
        }
        if bytes.len() > before {
            detector.progressed();
        } else if !wait_for_input_and(stream, false)? && detector.stalled(program) {
            return program.explain(fail(what, format!("{} bytes came, and {why}", bytes.len())));
        }
    }
}

fn half_close(context: &TestContext) -> Verdict {
    let input = "three\nlines\nhere\n";
    let (mut program, mut client) = begin(context, &[], input)?;
    let what = "all of the input, and the end of it, for a server that answers at the end";
    let why = "no end: client and server wait for each other";
    let got = read_to_end(&mut program, &client, what, why)?;
    if got != input.as_bytes() {
        let got = String::from_utf8_lossy(&got).into_owned();
        return program.explain(fail(format!("{input:?}"), format!("{got:?}, and the end")));
    }
    let reply = "17 bytes in 3 lines\n";
    let sent = client.send(reply);
    client.stream().shutdown(Shutdown::Write).ok();
    let what = format!("the client to print {reply:?}, which came after it had ended its side");
    program.wait(&what, TIMEOUT)?;
    let output = program.output();
    match (output == reply, sent) {
        (true, _) => Ok(()),
        (false, Err(_)) => fail(
            what,
            format!("{output:?}, and nobody was there to take the reply; {}", program.describe()),
        ),
        (false, Ok(())) => fail(what, format!("{output:?}; {}", program.describe())),
    }
}

fn reads_to_the_end(context: &TestContext) -> Verdict {
    let (mut program, mut client) = begin(context, &[], "date\n")?;
    let asked = client.read_exactly(5, "the input");
    program.explain(asked)?;
    let reply = "Thursday, 1 January 1970, 00:00:00\n";
    // Every piece is a read of its own there, unless nobody reads any more.
    let sent = client.send_in_pieces(reply.as_bytes(), 5);
    let _ = client.shutdown_write();
    let what = format!("{reply:?}, which came in seven pieces");
    program.wait(&what, TIMEOUT)?;
    let output = program.output();
    if output == reply && sent.is_ok() {
        return Ok(());
    }
    let how = if reply.starts_with(&output) { "it reads no further" } else { "that was not sent" };
    fail(what, format!("{output:?}: {how}; {}", program.describe()))
}

fn both_ways(context: &TestContext) -> Verdict {
    let count = MUCH.to_string();
    let (mut program, client) = begin(context, &[&count], "")?;
    let mut stream = client.stream();
    sockopt::set_socket_send_buffer_size(stream, 256 * 1024).map_err(io::Error::from)?;
    stream.set_nonblocking(true)?;
    // Not a byte is read before signals have come in the middle of the client's send.
    wait_for_ticks(&program, 10);
    let (mut pending, mut moved) = (Vec::new(), 0);
    let mut detector = StallDetector::new();
    loop {
        let before = (moved, pending.len());
        // As a simple server does it: what has come goes back before more is read.
        if pending.is_empty() && !read_available(stream, &mut pending)? {
            break;
        }
        if !pending.is_empty() {
            match stream.write(&pending) {
                Ok(n) => {
                    moved += n;
                    pending.drain(..n);
                }
                Err(error)
                    if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => {}
                Err(_) => break, // what the client prints will show
            }
        }
        if before != (moved, pending.len()) {
            detector.progressed();
        } else if !wait_for_one(stream, !pending.is_empty())? && detector.stalled(&program) {
            let what = "a client that reads what comes back while it has more to send";
            let why = if pending.is_empty() {
                "no end: it neither sends nor ends its side"
            } else {
                "it writes and does not read, and the server has no more room to answer: both wait for ever"
            };
            return program.explain(fail(what, format!("after {moved} of {count} bytes, {why}")));
        }
    }
    let _ = stream.shutdown(Shutdown::Write);
    let wanted = format!("{count} bytes sent, {count} came back\nthey are the same\n");
    program.wait("the client to end when everything has come back", TIMEOUT)?;
    let output = program.output();
    if output == wanted {
        Ok(())
    } else {
        fail(format!("{wanted:?}"), format!("{output:?}; {}", program.describe()))
    }
}

/// Waits a moment for room to write, or for something to read.
fn wait_for_one(stream: &TcpStream, room: bool) -> Verdict<bool> {
    let flags = if room { PollFlags::OUT } else { PollFlags::IN };
    Ok(poll_for(&mut [PollFd::new(stream, flags)], Duration::from_millis(20))? > 0)
}
