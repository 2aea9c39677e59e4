//! Pieces of every size, and servers that answer early and late.

use crate::context::{
    Check, Client, Program, Stop, TIMEOUT, TestContext, Verdict, describe_processes, fail, hex,
};
use harness::wait::pause;
use harness::{oracles, proc, sockets};
use rustix::net::sockopt;
use std::io::{self, ErrorKind, Write as _};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

pub(crate) const CHECKS: &[(&str, Check)] = &[
    ("encode.length", encode_length),
    ("encode.line", encode_line),
    ("decode.whole", whole),
    ("decode.merged", merged),
    ("decode.byte_by_byte", byte_by_byte),
    ("decode.every_cut", every_cut),
    ("decode.large", large),
    ("decode.untrusted_length", untrusted_length),
    ("decode.endless_line", endless_line),
    ("exchange.replies_merged", replies_merged),
    ("exchange.answers_at_the_end", answers_at_the_end),
    ("exchange.more_than_the_buffers", more_than_the_buffers),
    ("exchange.server_gone", server_gone),
];

/// The largest message with a length before it.
const LENGTH_MAX: usize = 1 << 20;

/// A message of this length without a line feed.
fn message(context: &TestContext, salt: u64, length: usize) -> Vec<u8> {
    let first = context.choose(salt, 64) as usize;
    (0..length).map(|at| b' ' + ((first + at * 7 + at / 90) % 90) as u8).collect()
}

fn wire(framing: &str, message: &[u8]) -> Vec<u8> {
    match framing {
        "length" => [&(message.len() as u32).to_be_bytes()[..], message].concat(),
        _ => [message, b"\n"].concat(),
    }
}

/// Runs the program on these lines; gives it, and the lines that it prints.
fn run(
    context: &TestContext,
    mode: &str,
    framing: &str,
    lines: &[String],
) -> Verdict<(Program, Vec<String>)> {
    let mut program = context.program("framing").args([mode, framing]).start()?;
    program.feed(lines.iter().map(|line| format!("{line}\n")).collect::<String>())?;
    program.close_stdin();
    program.wait("the program to end when its input does", TIMEOUT)?;
    let output = program.output();
    if output.is_empty() {
        return fail("some output", program.describe());
    }
    Ok((program, output.lines().map(str::to_owned).collect()))
}

/// A line of output for a finding, or what became of the program that has not printed it.
fn shown(program: &mut Program, line: Option<&str>) -> String {
    match line {
        Some(line) if line.len() > 48 => format!("{}… ({} characters)", &line[..48], line.len()),
        Some(line) => format!("`{line}`"),
        None => format!("nothing more: {}", program.describe()),
    }
}

fn encode(context: &TestContext, framing: &str, cases: &[(Vec<u8>, String)]) -> Verdict {
    let lines: Vec<String> = cases.iter().map(|(message, _)| hex(message)).collect();
    let (mut program, said) = run(context, "encode", framing, &lines)?;
    for (at, (message, wanted)) in cases.iter().enumerate() {
        let said = said.get(at).map(String::as_str);
        if said != Some(wanted) {
            let wanted = shown(&mut program, Some(wanted));
            let what = format!("a message of {} bytes to travel as {wanted}", message.len());
            return fail(what, shown(&mut program, said));
        }
    }
    Ok(())
}

fn encode_length(context: &TestContext) -> Verdict {
    let lengths = [0, 1, 5, 255, 256, 65_536];
    let mut cases: Vec<(Vec<u8>, String)> = lengths
        .iter()
        .map(|length| message(context, *length as u64, *length))
        .map(|message| (message.clone(), hex(&wire("length", &message))))
        .collect();
    cases.push((vec![b'\n', 0, 255], "000000030a00ff".into()));
    encode(context, "length", &cases)?;
    // The letter m, once more than a message may have bytes: sent, it would be more than a megabyte of output.
    let above = LENGTH_MAX + 1;
    match run(context, "encode", "length", &[format!("*{above}")]) {
        Ok((_, said)) if said == ["error too-long"] => Ok(()),
        Err(stop @ (Stop::Skip(_) | Stop::GraderError(_))) => Err(stop),
        _ => fail(
            format!("a message of {above} bytes to be refused with `error too-long`"),
            "it was sent, though no receiver takes more than 1 MiB",
        ),
    }
}

fn encode_line(context: &TestContext) -> Verdict {
    let mut cases: Vec<(Vec<u8>, String)> = [0, 1, 80, 4096]
        .iter()
        .map(|length| message(context, *length as u64, *length))
        .map(|message| (message.clone(), hex(&wire("line", &message))))
        .collect();
    cases.push((b"two\nlines".to_vec(), "error not-a-line".into()));
    cases.push((message(context, 9, 4097), "error too-long".into()));
    encode(context, "line", &cases)
}

/// Feeds pieces and compares the messages that come out, and after which piece each does.
fn decode(
    context: &TestContext,
    framing: &str,
    pieces: &[Vec<u8>],
    wanted: &[String],
    why: &str,
) -> Verdict {
    let lines: Vec<String> = pieces.iter().map(|piece| hex(piece)).collect();
    let (mut program, said) = run(context, "decode", framing, &lines)?;
    if said == wanted {
        return Ok(());
    }
    let at = said.iter().zip(wanted).take_while(|(said, wanted)| said == wanted).count();
    let wanted = wanted
        .get(at)
        .map_or_else(|| "no further line".to_owned(), |line| shown(&mut program, Some(line)));
    let said = shown(&mut program, said.get(at).map(String::as_str));
    fail(format!("{framing}: line {} of the output to be {wanted}", at + 1), format!("{said}{why}"))
}

/// What comes out of these pieces, by the book.
fn expected(messages: &[Vec<u8>], framing: &str, pieces: &[Vec<u8>]) -> Vec<String> {
    let ends: Vec<usize> = messages
        .iter()
        .scan(0, |end, message| {
            *end += wire(framing, message).len();
            Some(*end)
        })
        .collect();
    let (mut lines, mut arrived, mut taken) = (Vec::new(), 0, 0);
    for piece in pieces {
        arrived += piece.len();
        while taken < ends.len() && ends[taken] <= arrived {
            lines.push(format!("message {}", hex(&messages[taken])));
            taken += 1;
        }
        lines.push("read".into());
    }
    lines.push("end".into());
    lines
}

fn cut(bytes: &[u8], at: &[usize]) -> Vec<Vec<u8>> {
    let mut pieces = Vec::new();
    let mut from = 0;
    for &to in at.iter().chain([&bytes.len()]) {
        pieces.push(bytes[from..to].to_vec());
        from = to;
    }
    pieces
}

fn both(
    context: &TestContext,
    lengths: &[usize],
    cuts: fn(&[u8]) -> Vec<Vec<u8>>,
    why: &str,
) -> Verdict {
    for framing in ["length", "line"] {
        let messages: Vec<Vec<u8>> = lengths
            .iter()
            .enumerate()
            .map(|(n, length)| message(context, n as u64, *length))
            .collect();
        let stream: Vec<u8> = messages.iter().flat_map(|message| wire(framing, message)).collect();
        let pieces = cuts(&stream);
        decode(context, framing, &pieces, &expected(&messages, framing, &pieces), why)?;
    }
    Ok(())
}

fn whole(context: &TestContext) -> Verdict {
    both(context, &[5], |stream| vec![stream.to_vec()], "")
}

fn merged(context: &TestContext) -> Verdict {
    let why = ": what one read gives may be several messages";
    both(context, &[3, 0, 7, 300, 1], |stream| vec![stream.to_vec()], why)
}

fn byte_by_byte(context: &TestContext) -> Verdict {
    let why = ": what one read gives may be a part of a message, or of its length";
    both(context, &[3, 0, 7], |stream| stream.iter().map(|byte| vec![*byte]).collect(), why)
}

fn every_cut(context: &TestContext) -> Verdict {
    for framing in ["length", "line"] {
        let messages = [message(context, 1, 6), message(context, 2, 3)];
        let stream: Vec<u8> = messages.iter().flat_map(|message| wire(framing, message)).collect();
        for at in 1..stream.len() {
            let pieces = cut(&stream, &[at]);
            let why = format!(": the stream was cut after byte {at} of {}", stream.len());
            decode(context, framing, &pieces, &expected(&messages, framing, &pieces), &why)?;
        }
    }
    Ok(())
}

fn large(context: &TestContext) -> Verdict {
    let messages = [message(context, 1, 70_000), message(context, 2, 2)];
    let stream: Vec<u8> = messages.iter().flat_map(|message| wire("length", message)).collect();
    let pieces = cut(&stream, &[1000, 65_536, 65_540]);
    let why = ": the first of the two messages has 70,000 bytes, and 16 bits count to 65,535";
    decode(context, "length", &pieces, &expected(&messages, "length", &pieces), why)
}

fn untrusted_length(context: &TestContext) -> Verdict {
    for length in [u32::MAX, 1 << 30, LENGTH_MAX as u32 + 1] {
        let what = format!("`error too-long` for {length} bytes that are announced");
        let mut program = context.program("framing").args(["decode", "length"]).start()?;
        program.write(format!("{length:08x}\n"))?;
        let said = program.read_line(&what)?;
        if said == "read" {
            let room = proc::memory_peak(program.pid()).unwrap_or(0) >> 20;
            let observed = "it waits for them all, and after 4 bytes that have come";
            return fail(what, format!("`read`: {observed} it has {room} MiB of memory reserved"));
        } else if said != "error too-long" {
            return fail(what, format!("`{said}`"));
        }
    }
    // One that is allowed is no lie yet.
    let pieces = [(LENGTH_MAX as u32).to_be_bytes().to_vec()];
    let wanted = ["read".to_owned(), "error inside".to_owned()];
    decode(context, "length", &pieces, &wanted, ": 1 MiB is what a message may have")
}

fn endless_line(context: &TestContext) -> Verdict {
    let pieces: Vec<Vec<u8>> = (0..5).map(|n| message(context, n, 1000)).collect();
    let mut wanted = vec!["read".to_owned(); 4];
    wanted.push("error too-long".into());
    let why = ": a line without an end fills the memory of whoever waits for it";
    decode(context, "line", &pieces, &wanted, why)
}

/// A message as the program reads and writes it: of the letter m alone, from a thousand on, it is told by its length.
fn line(message: &[u8]) -> String {
    let short = message.len() < 1000 || message.iter().any(|byte| *byte != b'm');
    if short { hex(message) } else { format!("*{}", message.len()) }
}

/// Starts an exchange of these messages with this check as the server.
fn begin(context: &TestContext, framing: &str, messages: &[Vec<u8>]) -> Verdict<(Program, Client)> {
    let listener = context.listen()?;
    let address = listener.address().to_string();
    let mut program = context.program("framing").args(["exchange", framing, &address]).start()?;
    for message in messages {
        program.write(format!("{}\n", line(message)))?;
    }
    program.close_stdin();
    let client = listener.accept_from(&mut program, "the program to connect")?;
    Ok((program, client))
}

/// What the program prints after all replies were sent; `how` says how they were.
fn end(mut program: Program, client: &Client, messages: &[Vec<u8>], how: &str) -> Verdict {
    let what = format!("the program to end when it has all {} replies, {how}", messages.len());
    let until = Instant::now() + TIMEOUT;
    while program.try_wait()?.is_none() && Instant::now() < until {
        if stuck(&program, client)? {
            let why = "it has read everything that was sent, and waits for more";
            return fail(what, format!("{why}; {}", program.describe()));
        }
        pause(Duration::from_millis(2));
    }
    program.wait(&what, TIMEOUT)?;
    let output = program.output();
    let wanted: Vec<String> =
        messages.iter().map(|message| format!("reply {}", line(message))).collect();
    let said: Vec<&str> = output.lines().collect();
    if said == wanted {
        return Ok(());
    }
    let at = said.iter().zip(&wanted).take_while(|(said, wanted)| said == wanted).count();
    let wanted = shown(&mut program, wanted.get(at).map(String::as_str));
    let observed = shown(&mut program, said.get(at).copied());
    fail(format!("line {} of the output to be {wanted}; the replies were {how}", at + 1), observed)
}

/// Whether the program waits, and not for time to pass, though it has read everything that it was sent: it had read it
/// before it was seen to sleep, or else it may have woken to read it since. Looks for a fifth of a second, or less where it
/// does something.
fn stuck(program: &Program, client: &Client) -> Verdict<bool> {
    let stream = client.stream();
    // Without a partner, it has closed the connection and is on its way.
    let (Ok(SocketAddr::V4(theirs)), Ok(SocketAddr::V4(own))) =
        (stream.peer_addr(), stream.local_addr())
    else {
        return Ok(false);
    };
    let family = program.process_tree();
    Ok(oracles::unread(theirs, own) == Some(0)
        && oracles::asleep_during(&family, Duration::from_millis(200))
        && !describe_processes(&family).contains("nanosleep"))
}

/// Waits for something to read from the program; an error if it will never send anything.
fn until_sent(program: &mut Program, client: &mut Client, what: &str) -> Verdict {
    let stream = client.stream();
    if client.buffered() > 0 {
        return Ok(());
    }
    stream.set_read_timeout(Some(Duration::from_millis(10)))?;
    let until = Instant::now() + TIMEOUT;
    while Instant::now() < until && stream.peek(&mut [0]).is_err() {
        if stuck(program, client)? && stream.peek(&mut [0]).is_err() {
            let why = "nothing came, and it waits for a reply that nobody will send before";
            return fail(what, format!("{why}; {}", program.describe()));
        }
    }
    Ok(stream.set_read_timeout(Some(TIMEOUT))?)
}

/// The next message by its own framing.
fn receive(
    program: &mut Program,
    client: &mut Client,
    framing: &str,
    what: &str,
) -> Verdict<Vec<u8>> {
    until_sent(program, client, what)?;
    if framing == "line" {
        return Ok(program.explain(client.read_line(what))?.into_bytes());
    }
    let head = program.explain(client.read_exactly(4, what))?;
    let length = u32::from_be_bytes([head[0], head[1], head[2], head[3]]) as usize;
    if length > LENGTH_MAX {
        return fail("a length of at most 1 MiB before a message", format!("{length}"));
    }
    program.explain(client.read_exactly(length, what))
}

fn stream_of(messages: &[Vec<u8>], framing: &str) -> Vec<u8> {
    messages.iter().flat_map(|message| wire(framing, message)).collect()
}

fn replies_merged(context: &TestContext) -> Verdict {
    for framing in ["length", "line"] {
        let messages: Vec<Vec<u8>> = (0..6).map(|n| message(context, n, 5 + n as usize)).collect();
        let (mut program, mut client) = begin(context, framing, &messages)?;
        for at in 1..=messages.len() {
            receive(&mut program, &mut client, framing, &format!("message {at} of 6"))?;
        }
        program.explain(client.send(stream_of(&messages, framing)))?;
        end(program, &client, &messages, "sent together in one piece")?;
    }
    Ok(())
}

fn answers_at_the_end(context: &TestContext) -> Verdict {
    let messages: Vec<Vec<u8>> = (0..40).map(|n| message(context, n, 20)).collect();
    let (mut program, mut client) = begin(context, "length", &messages)?;
    for at in 1..=messages.len() {
        let what = format!("message {at} of 40, though none is answered before the last has come");
        receive(&mut program, &mut client, "length", &what)?;
    }
    // And then in pieces that have nothing to do with messages: each is a read of its own.
    program.explain(client.send_in_pieces(&stream_of(&messages, "length"), 17))?;
    end(program, &client, &messages, "sent 17 bytes at a time")
}

fn more_than_the_buffers(context: &TestContext) -> Verdict {
    let messages = vec![vec![b'm'; LENGTH_MAX]; 12];
    let (mut program, mut client) = begin(context, "length", &messages)?;
    // Its own end holds little, so that it is soon full.
    sockopt::set_socket_send_buffer_size(client.stream(), 256 * 1024).map_err(io::Error::from)?;
    for at in 1..=messages.len() {
        let what = format!("message {at} of 12, of 1 MiB each");
        let reply = receive(&mut program, &mut client, "length", &what)?;
        reply_or_stuck(&mut program, &mut client, &wire("length", &reply), at)?;
    }
    end(program, &client, &messages, "each sent when its message had come")
}

/// Whether something has arrived at the program's end of the connection that it has not read.
fn unread_there(client: &Client) -> bool {
    let stream = client.stream();
    let (Ok(SocketAddr::V4(theirs)), Ok(SocketAddr::V4(own))) =
        (stream.peer_addr(), stream.local_addr())
    else {
        return false;
    };
    sockets::connection(theirs, own).is_some_and(|end| end.unread > 0)
}

/// Sends a reply, unless the program does not read it and has no room to write: then both would wait for ever.
fn reply_or_stuck(program: &mut Program, client: &mut Client, bytes: &[u8], at: usize) -> Verdict {
    let mut stream = client.stream();
    stream.set_write_timeout(Some(Duration::from_millis(50)))?;
    let (mut sent, mut asleep) = (0, 0);
    let until = Instant::now() + 2 * TIMEOUT;
    while sent < bytes.len() && Instant::now() < until {
        match stream.write(&bytes[sent..]) {
            Ok(n) => (sent, asleep) = (sent + n, 0),
            Err(error) if error.kind() == ErrorKind::WouldBlock => {
                // With nothing to read it waits for what the kernel has yet to send, perhaps for a second time.
                let sleeps = unread_there(client)
                    && oracles::asleep_during(&program.process_tree(), Duration::from_millis(100));
                asleep = if sleeps { asleep + 1 } else { 0 };
            }
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => {
                return program.explain(fail("the program to read the replies", error));
            }
        }
        if asleep == 3 {
            break;
        }
    }
    if sent == bytes.len() {
        return Ok(());
    }
    let what = "a client that reads replies while it has more to send";
    let why = "it writes and does not read, and so does the server, which has no more room: both wait for ever";
    let doing = program.describe();
    fail(what, format!("at reply {at} of 12, of 1 MiB each, {why}; {doing}"))
}

fn server_gone(context: &TestContext) -> Verdict {
    let messages: Vec<Vec<u8>> = (0..4).map(|n| message(context, n, 8)).collect();
    let (mut program, mut client) = begin(context, "length", &messages)?;
    for at in 1..=messages.len() {
        receive(&mut program, &mut client, "length", &format!("message {at} of 4"))?;
    }
    // Two replies and a half; then the server ends its sending, in order.
    client.send(stream_of(&messages[..2], "length"))?;
    client.send(&wire("length", &messages[2])[..7])?;
    program.explain(client.shutdown_write())?;
    let what = "an error, and the end, when the server closes in the middle of reply 3 of 4";
    let used = |program: &Program| proc::cpu_time(program.pid()).unwrap_or_default();
    let (begun, before) = (Instant::now(), used(&program));
    while program.try_wait()?.is_none() && begun.elapsed() < TIMEOUT {
        // A program that has sixty bytes to look at needs next to no time of a processor.
        let spent = used(&program).saturating_sub(before);
        if spent > Duration::from_millis(100) {
            let how = "it reads 0 bytes, the end, again and again, and keeps a core busy with it";
            return fail(what, format!("{how}; {}", program.describe()));
        }
        if stuck(&program, &client)? {
            let how = "it waits for more, which never comes";
            return fail(what, format!("{how}; {}", program.describe()));
        }
        pause(Duration::from_millis(5));
    }
    program.wait(what, TIMEOUT)?;
    let output = program.output();
    let last = output.lines().last();
    if last.is_some_and(|line| line.starts_with("error ")) {
        return Ok(());
    }
    let observed = shown(&mut program, last);
    fail(what, format!("its last line is {observed}: nobody learns that replies are missing"))
}
