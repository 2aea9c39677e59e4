//! The check is the network: it loses, repeats, delays and forges datagrams.

use crate::context::{
    Check, Datagram, DatagramSocket, Program, Server, Stop, TIMEOUT, TestContext, Verdict, fail,
    quote,
};
use harness::oracles::{self, SleepWatch};
use harness::proc::{self, ContextSwitches};
use harness::sockets;
use harness::wait::{pause, within};
use nix::sys::signal::Signal;
use std::collections::BTreeSet;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::time::{Duration, Instant};

pub(crate) const CHECKS: &[(&str, Check)] = &[
    ("server.answers", answers),
    ("server.oversized", oversized_request),
    ("server.survives", survives),
    ("server.no_storm", no_storm),
    ("server.sleeps", server_sleeps),
    ("once.repeated", repeated),
    ("once.per_client", per_client),
    ("once.late", late_request),
    ("loss.retries", retries),
    ("loss.same_id", same_id),
    ("loss.gives_up", gives_up),
    ("loss.sleeps", client_sleeps),
    ("loss.interrupted", interrupted),
    ("loss.nobody_yet", nobody_yet),
    ("accept.stranger", stranger),
    ("accept.late", late_answer),
    ("accept.junk", junk),
    ("accept.oversized", oversized_answer),
    ("discover.broadcast", broadcast),
    ("discover.all", all),
    ("discover.ends", ends),
    ("whole.lossy", lossy),
];

/// The most that a datagram may have, as the protocol says.
const MAX: usize = 512;

/// How long a server that has read everything must wait for more before it is said not to answer.
const SILENCE: Duration = Duration::from_millis(300);

/// The loopback network's.
const BROADCAST: Ipv4Addr = Ipv4Addr::new(127, 255, 255, 255);

fn text(datagram: &Datagram) -> String {
    String::from_utf8_lossy(&datagram.bytes).into_owned()
}

// The server.

/// A client of the server under test.
struct Requester<'a> {
    server: &'a mut Server,
    socket: DatagramSocket,
}

fn counter(context: &TestContext) -> Verdict<Server> {
    context.server(["--addr", "127.0.0.1:0"])
}

impl<'a> Requester<'a> {
    fn new(context: &TestContext, server: &'a mut Server) -> Verdict<Requester<'a>> {
        Ok(Requester { server, socket: context.datagram_socket(Ipv4Addr::LOCALHOST)? })
    }

    fn send(&self, bytes: impl AsRef<[u8]>) -> Verdict {
        self.socket.send(bytes, self.server.address)
    }

    /// The next datagram that the server sends; `what` says what that should be.
    fn receive(&mut self, what: &str) -> Verdict<String> {
        let until = Instant::now() + TIMEOUT;
        let mut idle: Option<(Instant, ContextSwitches)> = None;
        loop {
            if let Some(datagram) = self.socket.receive(Duration::from_millis(5))? {
                if datagram.from != self.server.address {
                    let from = format!("{} from {}", quote(&text(&datagram)), datagram.from);
                    return fail(format!("{what}, from {}", self.server.address), from);
                }
                return Ok(text(&datagram));
            }
            idle = self.idle().map(|now| match idle {
                Some((since, switches)) if switches == now => (since, now),
                _ => (Instant::now(), now),
            });
            let silent = idle.is_some_and(|(since, _)| since.elapsed() > SILENCE);
            let ended = self.server.program.try_wait()?.is_some();
            if silent || ended || Instant::now() >= until {
                // It may have been sent between the two looks.
                if let Some(datagram) = self.socket.receive(Duration::ZERO)? {
                    return Ok(text(&datagram));
                }
                let doing = self.server.program.describe();
                return fail(what, format!("{}{doing}", self.silence_reason(silent)));
            }
        }
    }

    /// Why there is no answer, as far as the kernel knows.
    fn silence_reason(&self, silent: bool) -> String {
        let socket = sockets::datagram_socket(self.server.address);
        let remote = socket.map(|socket| socket.remote).filter(|remote| remote.port() != 0);
        match remote {
            Some(remote) => format!(
                "its socket is connected to {remote}, and takes no datagram from anybody else, as {} is; ",
                self.socket.address()
            ),
            None if silent => "no answer, and it waits for the next datagram; ".into(),
            None => "no answer; ".into(),
        }
    }

    /// Whether the server has read everything and waits for more: how often it has waited before. Known only of a
    /// process with one thread, where its system call is seen.
    fn idle(&self) -> Option<ContextSwitches> {
        let pid = self.server.program.pid();
        let socket = sockets::datagram_socket(self.server.address)?;
        let call = std::fs::read_to_string(format!("/proc/{pid}/syscall")).ok()?;
        // recvfrom, recvmsg
        let receives = ["45 ", "47 "].iter().any(|number| call.starts_with(number));
        let asleep = proc::process(pid).is_some_and(|p| p.state == 'S' && p.threads == 1);
        (cfg!(target_arch = "x86_64") && socket.unread == 0 && receives && asleep)
            .then(|| proc::context_switches(pid))
    }

    /// Asks, and compares the words of the answer.
    fn expect(&mut self, id: u64, words: &str, wanted: &str, why: &str) -> Verdict {
        self.send(format!("ASK {id} {words}"))?;
        let what = format!("`ANS {id} {wanted}` to `ASK {id} {words}` ({why})");
        let got = self.receive(&what)?;
        if got == format!("ANS {id} {wanted}") { Ok(()) } else { fail(what, quote(&got)) }
    }

    /// What the counter stands at, and what came before the answer to that.
    fn get(&mut self, id: u64) -> Verdict<(String, Vec<String>)> {
        self.send(format!("ASK {id} GET"))?;
        let what = format!("`ANS {id} OK n` to `ASK {id} GET`");
        let mut before = Vec::new();
        loop {
            let got = self.receive(&what)?;
            match got.strip_prefix(&format!("ANS {id} ")) {
                Some(words) => return Ok((words.to_owned(), before)),
                None if before.len() < 100 => before.push(got),
                None => return fail(what, format!("100 other datagrams, like {}", quote(&got))),
            }
        }
    }
}

fn answers(context: &TestContext) -> Verdict {
    let mut server = counter(context)?;
    let sockets = [(); 3].map(|()| context.datagram_socket(Ipv4Addr::LOCALHOST));
    let mut sum = 0;
    let mut sockets = sockets.into_iter().collect::<Verdict<Vec<DatagramSocket>>>()?;
    for turn in 0..3 {
        for (number, socket) in std::mem::take(&mut sockets).into_iter().enumerate() {
            let mut requester = Requester { server: &mut server, socket };
            let n = 1 + context.choose(turn * 3 + number as u64, 100);
            sum += n;
            let id = 10 + turn * 2;
            let why = format!("client {} of 3, its turn {}", number + 1, turn + 1);
            requester.expect(id, &format!("ADD {n}"), &format!("OK {sum}"), &why)?;
            requester.expect(id + 1, "GET", &format!("OK {sum}"), &why)?;
            sockets.push(requester.socket);
        }
    }
    let mut requester =
        Requester { server: &mut server, socket: context.datagram_socket(Ipv4Addr::LOCALHOST)? };
    requester.send("ASK 5 STEAL 7")?;
    let got = requester.receive("`ANS 5 ERR ...` to `ASK 5 STEAL 7`")?;
    if got.starts_with("ANS 5 ERR ") { Ok(()) } else { fail("`ANS 5 ERR ...`", quote(&got)) }
}

/// `ASK id ADD 00...0n` of this many bytes.
fn padded(id: u64, n: u64, length: usize) -> String {
    let head = format!("ASK {id} ADD ");
    let width = length - head.len();
    format!("{head}{n:0width$}")
}

fn oversized_request(context: &TestContext) -> Verdict {
    let mut server = counter(context)?;
    let mut requester = Requester::new(context, &mut server)?;
    requester.send(padded(1, 5, MAX))?;
    let what = format!("`ANS 1 OK 5` to a request ADD 00...05 of exactly {MAX} bytes");
    let got = requester.receive(&what)?;
    if got != "ANS 1 OK 5" {
        return fail(what, quote(&got));
    }
    for (id, length) in [(2, MAX + 1), (3, MAX + 2), (4, 9000)] {
        requester.send(padded(id, 1234, length))?;
        let what = format!(
            "`ANS {id} ERR ...` to a request ADD 00...01234 of {length} bytes, which has more than {MAX}"
        );
        let got = requester.receive(&what)?;
        if got.starts_with(&format!("ANS {id} ERR")) {
            continue;
        }
        let done = got.strip_prefix(&format!("ANS {id} OK ")).and_then(|n| n.parse::<i64>().ok());
        let Some(done) = done else { return fail(what, quote(&got)) };
        let added = done - 5;
        let cut = if added == 1234 {
            "it was carried out all the same".to_owned()
        } else {
            format!("it was cut, and what was left of it carried out: {added} was added")
        };
        return fail(what, format!("{}: {cut}", quote(&got)));
    }
    match requester.get(9)? {
        (words, _) if words == "OK 5" => Ok(()),
        (words, _) => fail("the counter still at 5 after what was too long", words),
    }
}

/// What is no request.
const JUNK: [(&str, &[u8]); 8] = [
    ("an empty datagram", b""),
    ("bytes that are no text", b"\xff\xfe\x00\x80"),
    ("one word", b"ASK"),
    ("no number", b"ASK seven ADD 1"),
    ("a number too large for 64 bits", b"ASK 99999999999999999999999 ADD 1"),
    ("the end of a line", b"\n"),
    ("an answer", b"ANS 7 OK 1"),
    ("a complaint", b"ANS 8 ERR expected ADD n, GET or HELLO"),
];

fn survives(context: &TestContext) -> Verdict {
    let mut server = counter(context)?;
    let mut requester = Requester::new(context, &mut server)?;
    requester.expect(1, "ADD 3", "OK 3", "the first request")?;
    for (id, (what, bytes)) in (2..).zip(JUNK) {
        requester.send(bytes)?;
        let answered = requester.get(id);
        match answered {
            Ok((words, _)) if words == "OK 3" => {}
            Ok((words, _)) => return fail(format!("the counter still at 3 after {what}"), words),
            Err(Stop::Fail(finding)) => {
                let expected = format!("the server to go on after {what} ({} bytes)", bytes.len());
                return fail(expected, finding.observed);
            }
            Err(stop) => return Err(stop),
        }
    }
    Ok(())
}

fn no_storm(context: &TestContext) -> Verdict {
    let mut server = counter(context)?;
    let mut requester = Requester::new(context, &mut server)?;
    requester.expect(1, "ADD 3", "OK 3", "the first request")?;
    for (id, (what, bytes)) in (2..).zip(JUNK) {
        requester.send(bytes)?;
        if let (_, before) = requester.get(id)?
            && let Some(answer) = before.first()
        {
            let expected =
                format!("no answer to {what} ({})", quote(&String::from_utf8_lossy(bytes)));
            let observed = format!(
                "{}; two servers that answer what is no request answer each other for ever",
                quote(answer)
            );
            return fail(expected, observed);
        }
    }
    Ok(())
}

/// How long somebody is watched who should sleep.
const WINDOW: Duration = Duration::from_millis(150);

fn asleep(program: &Program, while_what: &str) -> Verdict {
    // It may still be on its way to sleep. Who watches the clock ends some time after that, and so is found before.
    let most = Duration::from_secs(1);
    let Some(ready) = oracles::busy_throughout(|| program.process_tree(), WINDOW, most) else {
        return Ok(());
    };
    let observed = format!("for {ready:.0?} of {WINDOW:?} it ran, or waited for a core to run on");
    fail(format!("to sleep while {while_what}"), observed)
}

fn server_sleeps(context: &TestContext) -> Verdict {
    let mut server = counter(context)?;
    Requester::new(context, &mut server)?.expect(1, "ADD 3", "OK 3", "the first request")?;
    asleep(&server.program, "no datagram comes")
}

fn repeated(context: &TestContext) -> Verdict {
    let mut server = counter(context)?;
    let mut requester = Requester::new(context, &mut server)?;
    let n = 2 + context.choose(0, 90);
    requester.expect(7, &format!("ADD {n}"), &format!("OK {n}"), "the first request")?;
    for copy in 2..=3 {
        requester.send(format!("ASK 7 ADD {n}"))?;
        let what =
            format!("`ANS 7 OK {n}` once more, to the same `ASK 7 ADD {n}` sent {copy} times");
        let got = match requester.receive(&what) {
            Err(Stop::Fail(finding)) => {
                let why = "a client whose answer was lost never gets one";
                return fail(finding.expected, format!("{}; {why}", finding.observed));
            }
            other => other?,
        };
        if got == format!("ANS 7 OK {}", n * copy) {
            let observed = format!("{}: the copy was carried out too", quote(&got));
            return fail(what, observed);
        }
        if got != format!("ANS 7 OK {n}") {
            return fail(what, quote(&got));
        }
    }
    match requester.get(8)? {
        (words, _) if words == format!("OK {n}") => Ok(()),
        (words, _) => fail(
            format!("the counter at {n} after `ASK 7 ADD {n}` came three times"),
            format!("{}: the copies were carried out too", quote(&words)),
        ),
    }
}

fn per_client(context: &TestContext) -> Verdict {
    let mut server = counter(context)?;
    let (a, b) = (
        context.datagram_socket(Ipv4Addr::LOCALHOST)?,
        context.datagram_socket(Ipv4Addr::LOCALHOST)?,
    );
    let far = context.datagram_socket(Ipv4Addr::new(127, 0, 0, 2))?;
    let who = format!("clients at {}, {} and {}", a.address(), b.address(), far.address());
    let mut sum = 0;
    let mut sockets = vec![];
    for (socket, n) in [(a, 1), (b, 20), (far, 300)] {
        sum += n;
        let mut requester = Requester { server: &mut server, socket };
        let why = format!("{who} all use the number 7: it is each client's own");
        requester.expect(7, &format!("ADD {n}"), &format!("OK {sum}"), &why)?;
        sockets.push(requester.socket);
    }
    // The first one's again, although others have asked since.
    let mut requester = Requester { server: &mut server, socket: sockets.swap_remove(0) };
    let why = "a copy of the first client's request, after those of two others";
    requester.expect(7, "ADD 1", "OK 1", why)?;
    match requester.get(8)? {
        (words, _) if words == format!("OK {sum}") => Ok(()),
        (words, _) => fail(format!("the counter at {sum}"), words),
    }
}

fn late_request(context: &TestContext) -> Verdict {
    let mut server = counter(context)?;
    let mut requester = Requester::new(context, &mut server)?;
    requester.expect(7, "ADD 1", "OK 1", "the first request")?;
    requester.expect(8, "ADD 20", "OK 21", "the second")?;
    // The network has kept a copy of the first.
    requester.send("ASK 7 ADD 1")?;
    match requester.get(9)? {
        (words, _) if words == "OK 21" => {}
        (words, before) => {
            let answers: Vec<String> = before.iter().map(|answer| quote(answer)).collect();
            let observed = format!(
                "the counter is at {}; answers to the copy: {}",
                words.trim_start_matches("OK "),
                answers.join(", ")
            );
            let expected =
                "the counter at 21 when a copy of request 7 comes after request 8 was answered";
            return fail(expected, observed);
        }
    }
    requester.expect(10, "ADD 300", "OK 321", "a new request after an old copy")
}

// The client.

/// A client under test, whose server is the check.
struct ClientUnderTest {
    program: Program,
    socket: DatagramSocket,
    timeout: Duration,
}

impl ClientUnderTest {
    fn start(
        context: &TestContext,
        timeout: u64,
        tries: u32,
        requests: &[&str],
    ) -> Verdict<ClientUnderTest> {
        let socket = context.datagram_socket(Ipv4Addr::LOCALHOST)?;
        let program = context
            .program("client")
            .arg(socket.address().to_string())
            .args(["--timeout-ms", &timeout.to_string(), "--tries", &tries.to_string()])
            .args(requests)
            .start()?;
        Ok(ClientUnderTest { program, socket, timeout: Duration::from_millis(timeout) })
    }

    /// The next datagram of the client; `what` says what it should be.
    fn next_datagram(&mut self, what: &str) -> Verdict<Datagram> {
        // Who sleeps in one and the same call for so long will not try again. Who only waits for a core does not sleep.
        let most = TIMEOUT.min(Duration::from_secs(1) + 8 * self.timeout);
        let (begun, mut watch) = (Instant::now(), SleepWatch::new(self.program.pid()));
        loop {
            if let Some(datagram) = self.socket.receive(Duration::from_millis(5))? {
                return Ok(datagram);
            }
            let ended = self.program.try_wait()?.is_some();
            if ended && let Some(datagram) = self.socket.receive(Duration::ZERO)? {
                return Ok(datagram);
            }
            if ended || watch.sample() >= most || begun.elapsed() >= TIMEOUT {
                let waited = if ended {
                    String::new()
                } else {
                    format!(
                        "no datagram for {:.1?}, with a time-out of {:?}; ",
                        begun.elapsed(),
                        self.timeout
                    )
                };
                let doing = self.program.describe();
                let printed = match self.program.output() {
                    printed if printed.is_empty() => String::new(),
                    printed => format!("; it printed {}", quote(&printed)),
                };
                return fail(what, format!("{waited}{doing}{printed}"));
            }
        }
    }

    /// The next datagram, which must be a request of these words: it and its number.
    fn request(&mut self, words: &str, what: &str) -> Verdict<(u64, Datagram)> {
        let datagram = self.next_datagram(&format!("{what}, `ASK number {words}`"))?;
        let text = text(&datagram);
        let parts = text.strip_prefix("ASK ").and_then(|rest| rest.split_once(' '));
        match parts.map(|(id, words)| (id.parse::<u64>(), words)) {
            Some((Ok(id), got)) if got == words => Ok((id, datagram)),
            _ => fail(format!("{what}, `ASK number {words}`"), quote(&text)),
        }
    }

    fn reply(&self, to: &Datagram, text: impl AsRef<[u8]>) -> Verdict {
        self.socket.send(text, to.from)
    }

    /// The end of the client, which must have printed this.
    fn expect_output(self, wanted: &str, why: &str) -> Verdict {
        self.expect_output_or(wanted, why, &[])
    }

    /// The same; where it has printed one of these instead, that is a known mistake.
    fn expect_output_or(mut self, wanted: &str, why: &str, mistakes: &[(&str, String)]) -> Verdict {
        let what = format!("the client to print {} and to end ({why})", quote(wanted));
        self.program.close_stdin();
        let until = Instant::now() + TIMEOUT;
        let status = loop {
            if let Some(status) = self.program.try_wait()? {
                self.program.wait(&what, TIMEOUT)?;
                break status;
            }
            // Who asks once more has not taken the answer.
            if Instant::now() >= until {
                let doing = self.program.describe();
                let printed = quote(&self.program.output());
                return fail(what, format!("{doing}; it printed {printed}"));
            }
            pause(Duration::from_millis(2));
        };
        let printed = self.program.output();
        if printed != wanted {
            let known = mistakes.iter().find(|(wrong, _)| printed.contains(wrong));
            let known = known.map_or(String::new(), |(_, mistake)| format!(": {mistake}"));
            let observed =
                format!("it printed {}{known}; {}", quote(&printed), self.program.describe());
            return fail(what, observed);
        }
        if status.success() { Ok(()) } else { fail(what, self.program.describe()) }
    }
}

fn retries(context: &TestContext) -> Verdict {
    let mut client = ClientUnderTest::start(context, 80, 30, &["ADD 5"])?;
    let lost = context.choose(0, 2) + 1;
    for n in 1..=lost {
        client.request("ADD 5", &format!("try {n} of at most 30"))?;
    }
    let (id, last) = client.request(
        "ADD 5",
        &format!("try {} of at most 30, since {lost} of them got lost", lost + 1),
    )?;
    client.reply(&last, format!("ANS {id} OK 5"))?;
    client.expect_output("OK 5\n", "its last try was answered")
}

fn same_id(context: &TestContext) -> Verdict {
    let mut client = ClientUnderTest::start(context, 60, 30, &["ADD 5", "ADD 5"])?;
    let (first, _) = client.request("ADD 5", "try 1")?;
    let (id, again) = client.request("ADD 5", "try 2, since try 1 was lost")?;
    if id != first {
        let observed = format!(
            "number {first}, then number {id}: to the server they are two requests, and it adds twice"
        );
        return fail("the same number in every try of a request", observed);
    }
    client.reply(&again, format!("ANS {id} OK 5"))?;
    // More tries of the first may have come meanwhile.
    for _ in 0..30 {
        let (next, datagram) = client.request("ADD 5", "the second request")?;
        if next == id {
            continue;
        }
        if next < id {
            let observed = format!("number {id}, then number {next}");
            return fail("numbers that grow from request to request", observed);
        }
        client.reply(&datagram, format!("ANS {next} OK 10"))?;
        return client.expect_output("OK 5\nOK 10\n", "both requests were answered");
    }
    let observed = format!("number {id} once more, after it was answered");
    fail("a number of its own for the second request", observed)
}

fn gives_up(context: &TestContext) -> Verdict {
    let (timeout, tries) = (80, 4);
    let mut client = ClientUnderTest::start(context, timeout, tries, &["ADD 5"])?;
    let timeout = Duration::from_millis(timeout);
    let (_, first) = client.request("ADD 5", "try 1 of 4")?;
    let mut last = first.at;
    for n in 2..=tries {
        last = client.request("ADD 5", &format!("try {n} of {tries}, as none is answered"))?.1.at;
    }
    let until = Instant::now() + TIMEOUT;
    let status = loop {
        if client.socket.receive(Duration::from_millis(5))?.is_some() {
            return fail(format!("{tries} tries, and no more"), "it tries once more");
        }
        if let Some(status) = client.program.try_wait()? {
            break status;
        }
        if Instant::now() >= until {
            let expected = format!("the client to give up after {tries} tries of {timeout:?}");
            return fail(expected, client.program.describe());
        }
    };
    client.program.wait("the end of its output", TIMEOUT)?;
    if client.socket.receive(Duration::ZERO)?.is_some() {
        return fail(format!("{tries} tries, and no more"), "it tried once more and ended");
    }
    let (took, due) = (last - first.at, timeout * (tries - 1));
    if took < due / 2 {
        let expected =
            format!("{timeout:?} for each try to be answered in: {due:.0?} in all before the last");
        let observed = format!("all {tries} tries within {took:.0?}");
        return fail(expected, observed);
    }
    if !client.program.output().is_empty() {
        let observed = format!("it printed {}", quote(&client.program.output()));
        return fail("nothing printed where nothing was answered", observed);
    }
    if status.success() {
        return fail(
            "an exit code other than 0 where nothing was answered",
            client.program.describe(),
        );
    }
    Ok(())
}

fn client_sleeps(context: &TestContext) -> Verdict {
    let mut client = ClientUnderTest::start(context, 2000, 2, &["GET"])?;
    client.request("GET", "try 1")?;
    asleep(&client.program, "it waits for an answer")
}

fn interrupted(context: &TestContext) -> Verdict {
    let mut client = ClientUnderTest::start(context, 2000, 3, &["GET"])?;
    let (id, request) = client.request("GET", "try 1")?;
    let pid = client.program.pid();
    let state = |wanted: char| {
        within(TIMEOUT, || {
            proc::process(pid).is_none_or(|process| process.state == wanted || process.state == 'Z')
        })
    };
    // In its wait, and nowhere before.
    if !state('S') {
        return fail("the client to sleep while it waits for an answer", client.program.describe());
    }
    client.program.signal(Signal::SIGSTOP);
    if !state('T') {
        return Err(Stop::GraderError("the client could not be stopped in time".into()));
    }
    client.program.signal(Signal::SIGCONT);
    if !state('S') || client.program.try_wait()?.is_some() {
        return fail("the client to wait on after SIGSTOP and SIGCONT", client.program.describe());
    }
    client.reply(&request, format!("ANS {id} OK 5"))?;
    client.expect_output(
        "OK 5\n",
        "it was stopped and continued while it waited, as by Ctrl-Z and fg",
    )
}

fn nobody_yet(context: &TestContext) -> Verdict {
    let mut client = ClientUnderTest::start(context, 60, 40, &["GET"])?;
    let (_, request) = client.request("GET", "try 1")?;
    let pid = client.program.pid();
    // The next one finds the door closed, and the kernel sends it back.
    client.socket.receive_only_from(SocketAddrV4::new(Ipv4Addr::LOCALHOST, 1))?;
    let before = proc::context_switches(pid).voluntary;
    let tried = within(TIMEOUT / 2, || {
        client.program.try_wait().is_ok_and(|status| status.is_some())
            || proc::context_switches(pid).voluntary >= before + 2
    });
    client.socket.receive_only_from(request.from)?;
    client.socket.drain()?;
    let expected =
        "a try that nobody took (ECONNREFUSED) to count as lost, and the next one at its time";
    if !tried || client.program.try_wait()?.is_some() {
        return fail(expected, client.program.describe());
    }
    let (id, request) = client.request("GET", "a try after one that nobody took")?;
    client.reply(&request, format!("ANS {id} OK 5"))?;
    client.expect_output("OK 5\n", "the server came back while the client was still asking")
}

fn stranger(context: &TestContext) -> Verdict {
    let mut client = ClientUnderTest::start(context, 1500, 3, &["GET"])?;
    let (id, request) = client.request("GET", "try 1")?;
    let near = context.datagram_socket(Ipv4Addr::LOCALHOST)?;
    let far = context.datagram_socket(Ipv4Addr::new(127, 0, 0, 2))?;
    far.send(format!("ANS {id} OK 666"), request.from)?;
    near.send(format!("ANS {id} OK 777"), request.from)?;
    client.reply(&request, format!("ANS {id} OK 5"))?;
    let server = client.socket.address();
    let mistakes = [
        ("666", format!("this came from {}, another host than its server {server}", far.address())),
        (
            "777",
            format!("this came from {}, another port than its server's {server}", near.address()),
        ),
    ];
    let why = format!("{server} has answered so, after two strangers have sent other answers");
    client.expect_output_or("OK 5\n", &why, &mistakes)
}

fn late_answer(context: &TestContext) -> Verdict {
    let mut client = ClientUnderTest::start(context, 1500, 3, &["ADD 1", "ADD 20", "ADD 300"])?;
    let (first, request) = client.request("ADD 1", "the first request")?;
    client.reply(&request, format!("ANS {first} OK 1"))?;
    client.reply(&request, format!("ANS {first} OK 1"))?;
    let (second, request) = client.request("ADD 20", "the second request")?;
    client.reply(&request, format!("ANS {first} OK 1"))?;
    client.reply(&request, format!("ANS {second} OK 21"))?;
    let (third, request) = client.request("ADD 300", "the third request")?;
    client.reply(&request, format!("ANS {} OK 666", third.wrapping_add(1)))?;
    client.reply(&request, format!("ANS {second} OK 21"))?;
    client.reply(&request, format!("ANS {third} OK 321"))?;
    let mistakes = [
        (
            "OK 1\nOK 1\n",
            format!("a copy of answer {first} was taken for the answer to request {second}"),
        ),
        (
            "666",
            format!(
                "an answer with the number {} was taken for one to {third}",
                third.wrapping_add(1)
            ),
        ),
        (
            "OK 21\nOK 21\n",
            format!("a copy of answer {second} was taken for the answer to {third}"),
        ),
    ];
    let why = "each request was answered, after copies of the answer to the one before";
    client.expect_output_or("OK 1\nOK 21\nOK 321\n", why, &mistakes)
}

/// Expects a timeout to pass although datagrams keep coming. `attempt` sends them, and returns how long before the timeout the
/// last one came. A timeout that each datagram restarts can pass only after as long a pause, as when this check does not get to
/// run: that is tried again.
fn expect_fixed_timeout(timeout: Duration, attempt: impl Fn() -> Verdict<Duration>) -> Verdict {
    let mut pause = Duration::ZERO;
    for _ in 0..5 {
        pause = attempt()?;
        if pause < timeout * 9 / 10 {
            return Ok(());
        }
    }
    let observed =
        format!("it passed {pause:.0?} after the last of them, and never sooner than {timeout:?}");
    fail(format!("a time-out of {timeout:?} to pass, however much comes meanwhile"), observed)
}

fn junk(context: &TestContext) -> Verdict {
    let timeout = Duration::from_millis(150);
    expect_fixed_timeout(timeout, || junk_attempt(context, timeout))
}

/// Sends junk until the last try, and returns how long before that the last but one was sent.
fn junk_attempt(context: &TestContext, timeout: Duration) -> Verdict<Duration> {
    let tries = 2;
    let mut client = ClientUnderTest::start(context, timeout.as_millis() as u64, tries, &["GET"])?;
    let (id, request) = client.request("GET", "try 1")?;
    let (mut seen, mut sent) = (1, 0);
    let mut last = request.at;
    let until = Instant::now() + TIMEOUT;
    let mut moments = vec![request.at];
    loop {
        moments.push(Instant::now());
        let junk = [format!("ANS {} OK 666", id.wrapping_sub(1)), "hello".into(), String::new()];
        client.reply(&request, &junk[sent % junk.len()])?;
        sent += 1;
        if let Some(datagram) = client.socket.receive(timeout / 10)? {
            seen += 1;
            last = datagram.at;
        }
        if client.program.try_wait()?.is_some() || seen > tries {
            break;
        }
        if Instant::now() >= until {
            let expected =
                format!("{tries} tries of {timeout:?} each, whatever else comes meanwhile");
            let observed = format!(
                "try {seen} still waits after {:.1?}: each of {sent} datagrams that were no answer \
                 began its time-out again",
                last.elapsed()
            );
            return fail(expected, observed);
        }
    }
    seen += client.socket.drain()?;
    let took = last - request.at;
    let expected = format!("{tries} tries, {timeout:?} apart, whatever else comes meanwhile");
    if seen != tries {
        let observed = format!(
            "{seen} tries, after {sent} datagrams that were no answer; {}",
            client.program.describe()
        );
        return fail(expected, observed);
    }
    if took < timeout * (tries - 1) / 2 {
        let observed = format!(
            "all {tries} within {took:.0?}: a datagram that is no answer ended the wait of a try"
        );
        return fail(expected, observed);
    }
    // The last of them may have been on its way only.
    let mut before = moments.into_iter().rev().filter(|moment| *moment <= last);
    Ok(last - before.nth(1).unwrap_or(request.at))
}

fn oversized_answer(context: &TestContext) -> Verdict {
    let mut client = ClientUnderTest::start(context, 1500, 3, &["GET"])?;
    let (id, request) = client.request("GET", "try 1")?;
    let head = format!("ANS {id} OK ");
    let width = MAX - head.len() + 3;
    client.reply(&request, format!("{head}{:0width$}", 1234))?;
    client.reply(&request, format!("ANS {id} OK 5"))?;
    let length = MAX + 3;
    let mistake = format!("the first {MAX} bytes of an answer OK 00...01234 of {length} bytes");
    let why = format!("an answer of {length} bytes, more than {MAX}, is none");
    client.expect_output_or("OK 5\n", &why, &[("OK 00", mistake)])
}

// The program that looks for servers.

/// A socket that receives broadcasts, where the machine has any.
fn broadcast_socket(context: &TestContext) -> Verdict<DatagramSocket> {
    let socket = context.datagram_socket(Ipv4Addr::UNSPECIFIED)?;
    let to = SocketAddrV4::new(BROADCAST, socket.address().port());
    let skip = |why: String| Err(Stop::Skip(format!("no broadcast to {BROADCAST} here: {why}")));
    match socket.send("heard", to) {
        Err(Stop::GraderError(why)) => return skip(why),
        other => other?,
    }
    match socket.receive(Duration::from_secs(1))? {
        Some(_) => Ok(socket),
        None => skip("it does not come back".into()),
    }
}

/// Starts `discover`: the program, the socket that its question came to, the question's number, and the question.
fn start_discover(
    context: &TestContext,
    wait: Duration,
) -> Verdict<(Program, DatagramSocket, u64, Datagram)> {
    let socket = broadcast_socket(context)?;
    let to = SocketAddrV4::new(BROADCAST, socket.address().port());
    let mut program = context
        .program("discover")
        .arg(to.to_string())
        .args(["--wait-ms", &wait.as_millis().to_string()])
        .start()?;
    let what = format!("a datagram `ASK number HELLO` to {to}");
    let until = Instant::now() + TIMEOUT;
    loop {
        if let Some(datagram) = socket.receive(Duration::from_millis(5))? {
            let text = text(&datagram);
            let words = text.strip_prefix("ASK ").and_then(|rest| rest.split_once(' '));
            return match words.map(|(id, words)| (id.parse(), words)) {
                Some((Ok(id), "HELLO")) => Ok((program, socket, id, datagram)),
                _ => fail(what, quote(&text)),
            };
        }
        if program.try_wait()?.is_some() || Instant::now() >= until {
            return fail(what, program.describe());
        }
    }
}

/// The grader must answer within the time for which the program waits. Where it was too slow for that, the program
/// waits for longer.
fn retry_with_longer_wait(attempt: impl Fn(Duration) -> Verdict) -> Verdict {
    match attempt(Duration::from_millis(400)) {
        Err(Stop::Fail(_)) => attempt(Duration::from_millis(2000)),
        outcome => outcome,
    }
}

fn broadcast(context: &TestContext) -> Verdict {
    retry_with_longer_wait(|wait| broadcast_within(context, wait))
}

fn broadcast_within(context: &TestContext, wait: Duration) -> Verdict {
    let (mut program, socket, id, Datagram { from, .. }) = start_discover(context, wait)?;
    socket.send(format!("ANS {id} HERE alpha"), from)?;
    let server = SocketAddrV4::new(Ipv4Addr::LOCALHOST, socket.address().port());
    let wanted = format!("found {server} alpha");
    let what = format!("it to print {}, since {server} has answered to {from}", quote(&wanted));
    if program.read_line(&what).is_ok_and(|line| line == wanted) {
        return Ok(());
    }
    program.wait(&what, TIMEOUT)?;
    let printed = quote(&program.output());
    fail(what, format!("it printed {printed}; {}", program.describe()))
}

fn all(context: &TestContext) -> Verdict {
    retry_with_longer_wait(|wait| all_within(context, wait))
}

fn all_within(context: &TestContext, wait: Duration) -> Verdict {
    let (mut program, _heard, id, Datagram { from, .. }) = start_discover(context, wait)?;
    let mut wanted = BTreeSet::new();
    let mut servers = Vec::new();
    for (number, name) in (2..).zip(["alpha", "beta", "gamma", "beta"]) {
        // Two servers may have one name: their addresses tell them apart.
        let server = context.datagram_socket(Ipv4Addr::new(127, 0, 0, number))?;
        wanted.insert(format!("found {} {name}", server.address()));
        servers.push((server, name));
    }
    let (first, _) = &servers[0];
    first.send(format!("ANS {} HERE of-another-question", id.wrapping_add(1)), from)?;
    for (server, name) in &servers {
        server.send(format!("ANS {id} HERE {name}"), from)?;
        server.send(format!("ANS {id} HERE {name}"), from)?;
    }
    let what =
        "one line `found HOST:PORT NAME` for each of four servers that answer, each of them twice";
    program.wait(what, wait + TIMEOUT / 2)?;
    let output = program.output();
    let lines: Vec<&str> = output.lines().collect();
    let got: BTreeSet<String> = lines.iter().map(|line| (*line).to_owned()).collect();
    if got == wanted && lines.len() == wanted.len() {
        return Ok(());
    }
    let shown = lines.join(" | ");
    if let Some(strange) = got.difference(&wanted).next() {
        return fail(what, format!("{} is none of them; {shown}", quote(strange)));
    }
    if got.len() < wanted.len() {
        return fail(
            what,
            format!("{} of {}: {shown}; {}", got.len(), wanted.len(), program.describe()),
        );
    }
    fail(what, format!("{} lines, since copies are told again: {shown}", lines.len()))
}

fn ends(context: &TestContext) -> Verdict {
    let wait = Duration::from_millis(200);
    expect_fixed_timeout(wait, || ends_among_answers(context, wait))
}

/// Gives how long before the end the last answer but one had come.
fn ends_among_answers(context: &TestContext, wait: Duration) -> Verdict<Duration> {
    let (mut program, socket, id, Datagram { from, at: begun, .. }) =
        start_discover(context, wait)?;
    let servers = [(); 3].map(|()| context.datagram_socket(Ipv4Addr::LOCALHOST));
    let servers = servers.into_iter().collect::<Verdict<Vec<DatagramSocket>>>()?;
    let mut sent = 0;
    let mut last = [begun; 2];
    while program.try_wait()?.is_none() {
        last = [last[1], Instant::now()];
        if begun.elapsed() > TIMEOUT {
            let observed = format!(
                "it still waits after {:.1?}: each of {sent} answers made it wait longer; {}",
                begun.elapsed(),
                program.describe()
            );
            return fail(format!("an end after {wait:?}, however many answers come"), observed);
        }
        servers[sent % servers.len()].send(format!("ANS {id} HERE delta"), from)?;
        sent += 1;
        socket.receive(wait / 10)?;
    }
    let pause = last[0].elapsed();
    let status = program.wait("the end of its output", TIMEOUT)?;
    if begun.elapsed() < wait / 3 {
        let observed = format!("it ended after {:.0?}", begun.elapsed());
        return fail(format!("answers to be taken for {wait:?}"), observed);
    }
    if status.success() { Ok(pause) } else { fail("exit code 0", program.describe()) }
}

// All together.

/// One direction of a network that loses, doubles and delays datagrams.
#[derive(Debug, Default)]
struct LossyLink {
    lost: u32,
    doubled: u32,
    late: u32,
    held: Option<Vec<u8>>,
    count: u64,
}

impl LossyLink {
    /// Transmits a datagram; returns what comes out at the other end.
    fn transmit(&mut self, context: &TestContext, salt: u64, bytes: Vec<u8>) -> Vec<Vec<u8>> {
        self.count += 1;
        let mut out = match context.choose(salt + self.count, 10) {
            0..=2 => {
                self.lost += 1;
                vec![]
            }
            3..=4 => {
                self.doubled += 1;
                vec![bytes.clone(), bytes]
            }
            5 if self.held.is_none() => {
                self.late += 1;
                self.held = Some(bytes);
                return vec![];
            }
            _ => vec![bytes],
        };
        // What was held back comes after what was sent later.
        if !out.is_empty() {
            out.extend(self.held.take());
        }
        out
    }
}

/// How many datagrams are passed on before anything else is looked at.
const BURST: u32 = 64;

fn lossy(context: &TestContext) -> Verdict {
    let server = counter(context)?;
    let (front, back) = (
        context.datagram_socket(Ipv4Addr::LOCALHOST)?,
        context.datagram_socket(Ipv4Addr::LOCALHOST)?,
    );
    let numbers: Vec<u64> = (0..8).map(|n| 1 + context.choose(n, 100)).collect();
    let mut program = context
        .program("client")
        .arg(front.address().to_string())
        .args(["--timeout-ms", "20", "--tries", "400"])
        .args(numbers.iter().map(|n| format!("ADD {n}")))
        .start()?;
    let (mut forward, mut backward) = (LossyLink::default(), LossyLink::default());
    let mut client = None;
    let until = Instant::now() + Duration::from_secs(10);
    let mut quiet = Instant::now();
    let status = loop {
        // A burst at a time: a flood must not keep it from looking at the clock.
        for _ in 0..BURST {
            let Some(datagram) = front.receive(Duration::ZERO)? else { break };
            quiet = Instant::now();
            client = Some(datagram.from);
            for bytes in forward.transmit(context, 1000, datagram.bytes) {
                back.send(bytes, server.address)?;
            }
        }
        for _ in 0..BURST {
            let Some(datagram) = back.receive(Duration::ZERO)? else { break };
            for bytes in backward.transmit(context, 2000, datagram.bytes) {
                if let Some(client) = client {
                    front.send(bytes, client)?;
                }
            }
        }
        if let Some(status) = program.try_wait()? {
            break Some(status);
        }
        if Instant::now() >= until || quiet.elapsed() > Duration::from_secs(2) {
            break None;
        }
        pause(Duration::from_millis(1));
    };
    let sums = numbers.iter().scan(0, |sum, n| {
        *sum += n;
        Some(format!("OK {sum}\n"))
    });
    let wanted: String = sums.collect();
    if status.is_some() {
        program.wait("the end of its output", TIMEOUT)?;
    }
    let what = format!(
        "client and server to count to {} in {} steps over a network that loses, doubles and delays",
        numbers.iter().sum::<u64>(),
        numbers.len()
    );
    let weather = format!(
        "lost {}, doubled {}, delayed {} of {} datagrams",
        forward.lost + backward.lost,
        forward.doubled + backward.doubled,
        forward.late + backward.late,
        forward.count + backward.count
    );
    if status.is_some_and(|status| status.success()) && program.output() == wanted {
        return Ok(());
    }
    let printed = program.output();
    let observed = format!(
        "it printed {} where {} was due ({weather}); {}",
        quote(&printed.replace('\n', ", ")),
        quote(&wanted.replace('\n', ", ")),
        program.describe()
    );
    fail(what, observed)
}
