//! The file protocol, spoken to the server byte by byte, and to the client by a server that is not kind.

use crate::context::{
    Check, Client, Program, Server, Stop, TIMEOUT, TestContext, UNWRITTEN, Verdict, fail, quote,
};
use harness::proc;
use harness::wait::{pause, within};
use nix::sys::signal::Signal;
use rustix::net::sockopt;
use std::ffi::OsStr;
use std::fs::{self, File};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

pub(crate) const CHECKS: &[(&str, Check)] = &[
    ("list.entries", list_entries),
    ("get.every_byte", get_every_byte),
    ("get.no_padding", get_no_padding),
    ("put.stored", put_stored),
    ("put.atomic", put_atomic),
    ("put.nothing_left", put_nothing_left),
    ("put.refused", put_refused),
    ("path.dotdot", path_dotdot),
    ("path.links", path_links),
    ("stream.any_cut", stream_any_cut),
    ("stream.partial_writes", stream_partial_writes),
    ("stream.endless_line", stream_endless_line),
    ("clients.quit", clients_quit),
    ("clients.lost", clients_lost),
    ("client.reply", client_reply),
    ("client.every_byte", client_every_byte),
    ("client.short", client_short),
    ("client.put", client_put),
];

/// The time that all served files are of at first.
const TIME: u64 = 1_700_000_000;

/// More than the buffers of two sockets hold.
const MUCH: usize = 6 << 20;

/// A server and the folder that it serves. Beside the folder is what nobody may see.
struct Service {
    server: Server,
    root: PathBuf,
}

impl Service {
    fn client(&self) -> Verdict<Client> {
        self.server.connect()
    }

    fn program(&self) -> &Program {
        &self.server.program
    }

    fn outside(&self, name: &str) -> PathBuf {
        self.root.with_file_name(name)
    }

    /// The names in the folder, as the disk has them.
    fn names(&self) -> Verdict<Vec<String>> {
        let mut names = Vec::new();
        for entry in fs::read_dir(&self.root)? {
            names.push(entry?.file_name().to_string_lossy().into_owned());
        }
        names.sort();
        Ok(names)
    }
}

/// Has `check` examine a server of a folder with `a.txt`, `sub/b.txt` and what `prepare` adds, and says what the server
/// was doing when something was found.
fn serving(
    context: &TestContext,
    prepare: impl FnOnce(&Path) -> io::Result<()>,
    check: impl FnOnce(&mut Service) -> Verdict,
) -> Verdict {
    let root = context.directory().join("root");
    fs::create_dir_all(root.join("sub"))?;
    fs::write(root.with_file_name("secret.txt"), "SECRET\n")?;
    fs::write(root.join("a.txt"), "alpha\n")?;
    fs::write(root.join("sub/b.txt"), "beta\n")?;
    prepare(&root)?;
    set_times(&root)?;
    let server = begin(context, &root)?;
    let mut service = Service { server, root };
    let found = check(&mut service);
    explained(&mut service.server.program, found)
}

/// Adds what the program has come to, where that says more than that it waits for the next client.
fn explained(program: &mut Program, found: Verdict) -> Verdict {
    let names = ["`server` ", "`client` "];
    let names_program = |stop: &Stop| match stop {
        Stop::Fail(finding) => names.iter().any(|name| finding.observed.contains(name)),
        _ => true,
    };
    // Its end may come a moment after that of its connection.
    let ended = within(Duration::from_millis(100), || {
        program.try_wait().is_ok_and(|ended| ended.is_some())
    });
    let busy = program.process_tree().iter().any(|process| process.state == 'R');
    let unwritten = program.describe().starts_with(UNWRITTEN);
    match found {
        Err(stop) if unwritten || (ended || busy) && !names_program(&stop) => {
            program.explain(Err(stop))
        }
        other => other,
    }
}

fn begin(context: &TestContext, root: &Path) -> Verdict<Server> {
    context.server([OsStr::new("--root"), root.as_os_str()])
}

fn no_more_files(_: &Path) -> io::Result<()> {
    Ok(())
}

fn set_times(directory: &Path) -> io::Result<()> {
    for entry in fs::read_dir(directory)? {
        let entry = entry?;
        let kind = entry.file_type()?;
        if kind.is_dir() {
            set_times(&entry.path())?;
        }
        if kind.is_dir() || kind.is_file() {
            let time = SystemTime::UNIX_EPOCH + Duration::from_secs(TIME);
            File::open(entry.path())?.set_modified(time)?;
        }
    }
    Ok(())
}

/// Bytes that look like nothing, and no piece of which comes twice.
fn random_bytes(context: &TestContext, length: usize) -> Vec<u8> {
    let block: Vec<u8> = (0..512).flat_map(|n| context.choose(n, u64::MAX).to_ne_bytes()).collect();
    let mut bytes = Vec::with_capacity(length + block.len());
    while bytes.len() < length {
        // Every other number is the count of those before it.
        for word in block.chunks(8) {
            bytes.extend_from_slice(word);
            bytes.extend_from_slice(&bytes.len().to_be_bytes());
        }
    }
    bytes.truncate(length);
    bytes
}

/// All that a file may hold and that a program might stumble over.
fn awkward_bytes(context: &TestContext) -> Vec<u8> {
    let mut bytes: Vec<u8> = (0..=255).collect();
    let markers = ["\r\n", "\r", "\n\n", "\n.\n", "##", "EOF\n", "\u{4}", "OK 0\n", "ERR no no\n"];
    bytes.extend(markers.concat().bytes());
    bytes.extend(b"\xff\xfe not UTF-8 \xc3\n");
    bytes.extend(random_bytes(context, 200_000));
    bytes.extend(b"##\r\n.\r\n");
    bytes
}

/// The bytes behind `OK n`, or what stands behind `ERR`.
type Reply = Result<Vec<u8>, String>;

/// Reads one reply; `to` says what it answers.
fn reply(client: &mut Client, to: &str) -> Verdict<Reply> {
    let what = format!("a reply to {}", quote(to));
    let head = client.read_line(&what)?;
    if let Some(refusal) = head.strip_prefix("ERR ") {
        return Ok(Err(refusal.to_owned()));
    }
    match head.strip_prefix("OK ").and_then(|length| length.parse().ok()) {
        Some(length) if length <= 4 * MUCH => {
            let what = format!("{length} bytes, as {} promises", quote(&head));
            Ok(Ok(client.read_exactly(length, &what)?))
        }
        _ => fail(format!("{what}: `OK n` or `ERR code message`"), quote(&head)),
    }
}

fn ask(client: &mut Client, request: &str) -> Verdict<Reply> {
    client.send(format!("{request}\n"))?;
    reply(client, request)
}

/// Asks for what must be refused with this code.
fn refused(client: &mut Client, request: &str, code: &str) -> Verdict {
    client.send(format!("{request}\n"))?;
    refusal(client, request, code)
}

fn refusal(client: &mut Client, request: &str, code: &str) -> Verdict {
    match reply(client, request)? {
        Err(refusal) if refusal.split(' ').next() == Some(code) => Ok(()),
        other => fail(format!("`ERR {code} ...` to {}", quote(request)), show(&other)),
    }
}

/// Uploads a short file. It comes apart from its request: whether a server can do without that is seen elsewhere.
fn put(client: &mut Client, path: &str, text: &str) -> Verdict<(String, Reply)> {
    let request = format!("PUT {path} {}", text.len());
    client.send_in_pieces(format!("{request}\n{text}").as_bytes(), request.len() + 1)?;
    let answer = reply(client, &request)?;
    Ok((request, answer))
}

fn show(reply: &Reply) -> String {
    match reply {
        Ok(bytes) => {
            let text = quote(&String::from_utf8_lossy(bytes));
            format!("OK, and {} bytes: {text}", bytes.len())
        }
        Err(refusal) => format!("ERR {}", quote(refusal)),
    }
}

/// Asks for what must be given, and looks at every byte of it.
fn expect_reply(client: &mut Client, request: &str, wanted: &[u8]) -> Verdict {
    client.send(format!("{request}\n"))?;
    expect_bytes(client, request, wanted)
}

fn expect_bytes(client: &mut Client, request: &str, wanted: &[u8]) -> Verdict {
    match reply(client, request)? {
        Ok(bytes) => same(&format!("the reply to {}", quote(request)), wanted, &bytes),
        Err(refusal) => {
            fail(format!("OK to {}", quote(request)), format!("ERR {}", quote(&refusal)))
        }
    }
}

/// The first place where two rows of bytes differ.
fn first_difference(a: &[u8], b: &[u8]) -> usize {
    let pieces = a.chunks(4096).zip(b.chunks(4096)).take_while(|(a, b)| a == b);
    let equal: usize = pieces.map(|(piece, _)| piece.len()).sum();
    equal + a[equal..].iter().zip(&b[equal..]).take_while(|(a, b)| a == b).count()
}

/// The same bytes, or where they part.
fn same(what: &str, wanted: &[u8], got: &[u8]) -> Verdict {
    if wanted == got {
        return Ok(());
    }
    let at = first_difference(wanted, got);
    let around = |bytes: &[u8]| {
        let piece = &bytes[at..bytes.len().min(at + 24)];
        if piece.is_empty() { "nothing".to_owned() } else { piece.escape_ascii().to_string() }
    };
    fail(
        format!("{what}: {} bytes, from byte {at} on: {}", wanted.len(), around(wanted)),
        format!(
            "{} bytes, from byte {at} on: {}{}",
            got.len(),
            around(got),
            describe_difference(wanted, got)
        ),
    )
}

/// How the bytes that came differ from those that should have, where there is a word for it.
fn describe_difference(wanted: &[u8], got: &[u8]) -> String {
    let at = first_difference(wanted, got);
    let (rest, next) = (&wanted[at..], &got[at..]);
    if next.starts_with("\u{fffd}".as_bytes()) {
        return " (U+FFFD, which stands for what is not UTF-8: the bytes were taken for text)"
            .into();
    }
    if rest.starts_with(b"\r\n") && next.starts_with(b"\n") {
        return " (CR LF became LF: the bytes were taken for text)".into();
    }
    let zeros = next.len().min(64);
    if zeros > 16 && next[..zeros].iter().all(|byte| *byte == 0) {
        return " (zeros that the file never had)".into();
    }
    let known = next.get(..16);
    let near = &rest[..rest.len().min(256 << 10)];
    let offset = known.and_then(|known| near.windows(16).position(|window| window == known));
    match offset {
        Some(missing) => format!(" ({missing} bytes are missing there, and then it goes on)"),
        None => String::new(),
    }
}

/// Waits until the program has come to rest: it waits itself, and nothing happens. A check goes on if it never does.
fn wait_until_idle(program: &Program) -> bool {
    let look = || {
        let waits = proc::process(program.pid()).is_some_and(|process| process.state == 'S');
        waits.then(|| proc::context_switches(program.pid()))
    };
    let is_gone = || proc::process(program.pid()).is_none_or(|process| process.state == 'Z');
    within(TIMEOUT, || {
        if is_gone() {
            return true;
        }
        let first = look();
        let still = || {
            pause(Duration::from_millis(4));
            look() == first
        };
        first.is_some() && still() && still()
    })
}

/// Stops the program for a moment, as Ctrl-Z and `fg` do. A call that waits in the middle of its work returns then, and
/// says how much of it is done.
fn stop_and_continue(program: &Program) -> Verdict {
    let is_stopped = || proc::process(program.pid()).is_some_and(|process| process.state == 'T');
    let is_gone = || proc::process(program.pid()).is_none_or(|process| process.state == 'Z');
    program.signal(Signal::SIGSTOP);
    let stopped = within(TIMEOUT, || is_stopped() || is_gone());
    program.signal(Signal::SIGCONT);
    if stopped && within(TIMEOUT, || !is_stopped()) {
        Ok(())
    } else {
        Err(Stop::GraderError("the program could not be stopped and continued in time".into()))
    }
}

/// A small receive buffer, so that who sends has to wait soon.
fn shrink_receive_buffer(client: &Client) -> Verdict {
    Ok(sockopt::set_socket_recv_buffer_size(client.stream(), 128 << 10).map_err(io::Error::from)?)
}

/// The server still serves.
fn serves_another(service: &Service, after: &str) -> Verdict {
    let what = format!("the next client to be served after {after}");
    let served =
        service.client().and_then(|mut next| expect_reply(&mut next, "GET a.txt", b"alpha\n"));
    match served {
        Err(Stop::Fail(finding)) => fail(what, finding.observed),
        other => other,
    }
}

fn list_entries(context: &TestContext) -> Verdict {
    let prepare = |root: &Path| {
        fs::write(root.join("b c%.bin"), [0, 1, 2])?;
        fs::write(root.join("Z.txt"), "")?;
        fs::write(root.join("ä.txt"), "umlaut")?;
        fs::write(root.join(OsStr::from_bytes(b"\xff\xfe")), "?")?;
        fs::create_dir(root.join("empty"))?;
        nix::unistd::mkfifo(&root.join("fifo"), nix::sys::stat::Mode::S_IRUSR)?;
        Ok(())
    };
    serving(context, prepare, |service| {
        let rows = [
            "f 0 1700000000 Z.txt",
            "f 6 1700000000 a.txt",
            "f 3 1700000000 b%20c%25.bin",
            "d 0 1700000000 empty",
            "d 0 1700000000 sub",
            "f 6 1700000000 ä.txt",
            "f 1 1700000000 %FF%FE",
        ];
        let listing = rows.map(|row| format!("{row}\n")).concat();
        let mut client = service.client()?;
        listed(&mut client, "LIST", &listing)?;
        listed(&mut client, "LIST /", &listing)?;
        listed(&mut client, "LIST sub", "f 5 1700000000 b.txt\n")?;
        listed(&mut client, "LIST sub/", "f 5 1700000000 b.txt\n")?;
        listed(&mut client, "LIST empty", "")?;
        refused(&mut client, "LIST nowhere", "not-found")?;
        refused(&mut client, "LIST a.txt", "not-a-directory")
    })
}

/// Like `gives`, and shows both listings, line by line.
fn listed(client: &mut Client, request: &str, wanted: &str) -> Verdict {
    client.send(format!("{request}\n"))?;
    let what = format!("a reply to `{request}`");
    let head = client.read_line(&what)?;
    let right = format!("OK {}", wanted.len());
    if head.starts_with("ERR") || !head.starts_with("OK ") {
        return fail(format!("`{right}` to `{request}`"), quote(&head));
    }
    // The lines first: a wrong length is easier to understand once they are known to be right.
    for line in wanted.lines() {
        let found = client.read_line(&format!("the line `{line}` in the reply to `{request}`"))?;
        if found != line {
            let order = if wanted.lines().any(|line| line == found) {
                " (a line of its own, but not in the order of the bytes of the names)"
            } else {
                ""
            };
            return fail(
                format!("the line `{line}` in the reply to `{request}`"),
                quote(&found) + order,
            );
        }
    }
    if head != right {
        let chars = wanted.chars().count();
        let hint = if head == format!("OK {chars}") { ": characters are no bytes" } else { "" };
        let observed = format!("{} before {} bytes{hint}", quote(&head), wanted.len());
        return fail(format!("`{right}`, the length of the listing in bytes"), observed);
    }
    Ok(())
}

fn get_every_byte(context: &TestContext) -> Verdict {
    let awkward = awkward_bytes(context);
    let prepare = |root: &Path| {
        fs::write(root.join("nasty"), &awkward)?;
        fs::write(root.join("empty"), "")?;
        fs::write(root.join("two words"), "spaced\n")?;
        Ok(())
    };
    serving(context, prepare, |service| {
        // If anything came behind the file, it would stand before the next reply.
        let mut client = service.client()?;
        client.send("GET nasty\nGET empty\nQUIT\n")?;
        client.shutdown_write()?;
        let wanted =
            [format!("OK {}\n", awkward.len()).as_bytes(), &awkward, b"OK 0\nOK 0\n"].concat();
        let got = client.read_up_to(wanted.len() + 64)?;
        same("the replies to `GET nasty`, `GET empty` and `QUIT`", &wanted, &got)?;
        drop(client);
        let mut client = service.client()?;
        expect_reply(&mut client, "GET a.txt", b"alpha\n")?;
        expect_reply(&mut client, "get /sub/b.txt", b"beta\n")?;
        expect_reply(&mut client, "GET two%20words", b"spaced\n")?;
        refused(&mut client, "GET nowhere", "not-found")?;
        refused(&mut client, "GET sub", "not-a-file")
    })
}

fn get_no_padding(context: &TestContext) -> Verdict {
    let original = random_bytes(context, MUCH);
    serving(
        context,
        |root| fs::write(root.join("log"), &original),
        |service| {
            let mut client = service.client()?;
            shrink_receive_buffer(&client)?;
            // Whoever has not been given the request yet rests, too.
            client.send_in_pieces(b"GET log\n", 8)?;
            // In the middle of the reply, since nobody reads it, the file is made shorter.
            wait_until_idle(service.program());
            File::options().write(true).open(service.root.join("log"))?.set_len(1 << 20)?;
            let head = format!("OK {MUCH}\n").into_bytes();
            let wanted = [&head[..], &original].concat();
            let got = client.read_up_to(wanted.len())?;
            drop(client);
            let what = format!(
                "`OK {MUCH}` and nothing but bytes of the file behind it; it was made shorter meanwhile, so the \
                 connection has to end early"
            );
            // A server that had all of it in memory can keep its promise.
            if !wanted.starts_with(&got) || got.len() < head.len() {
                let strange = same("", &wanted, &got);
                return match strange {
                    Err(Stop::Fail(finding)) => fail(what, finding.observed),
                    other => other,
                };
            }
            serves_another(service, "one whose file became shorter")
        },
    )
}

fn put_stored(context: &TestContext) -> Verdict {
    let awkward = awkward_bytes(context);
    serving(context, no_more_files, |service| {
        let mut client = service.client()?;
        let long = awkward.len();
        let files: [(&str, &[u8]); 4] = [
            ("new.bin", b"\r\n\0\xff"),
            ("sub/nasty", &awkward),
            ("a.txt", b"other"),
            ("none", b""),
        ];
        for (name, bytes) in files {
            let head = format!("PUT {name} {}", bytes.len());
            // The next request comes right behind the file.
            client.send([head.as_bytes(), b"\n", bytes, b"LIST sub\n"].concat())?;
            expect_bytes(&mut client, &head, b"")?;
            let stored = match fs::read(service.root.join(name)) {
                Ok(stored) => stored,
                Err(error) => return fail(format!("a file `{name}` after `OK 0`"), error),
            };
            same(&format!("the file `{name}` after PUT"), bytes, &stored)?;
            if let Err(refusal) = reply(&mut client, "LIST sub")? {
                let what =
                    format!("`LIST sub`, which came right behind the {long} bytes, answered");
                return fail(what, format!("ERR {}", quote(&refusal)));
            }
            expect_reply(&mut client, &format!("GET {name}"), bytes)?;
        }
        Ok(())
    })
}

/// A client that has sent half a file, which the server has read.
fn half_an_upload(service: &Service, name: &str) -> Verdict<Client> {
    let mut client = service.client()?;
    let head = format!("PUT {name} 100000\n");
    let bytes = [head.as_bytes(), &[b'x'; 50_000]].concat();
    // Whoever has read the last piece is done with the one before it.
    client.send_in_pieces(&bytes, 40_000)?;
    Ok(client)
}

/// What is there under the names that were used, if it is not what was there before.
fn unchanged(service: &Service, when: &str) -> Verdict {
    let old = fs::read(service.root.join("a.txt"));
    if old.as_deref().is_ok_and(|old| old == b"alpha\n") && !service.root.join("fresh").exists() {
        return Ok(());
    }
    let what = format!("the old `a.txt` and no file `fresh` {when}");
    match (old, fs::metadata(service.root.join("fresh"))) {
        (_, Ok(fresh)) => fail(what, format!("`fresh`, {} bytes of 100000", fresh.len())),
        (Ok(old), _) => fail(what, format!("`a.txt` with {} bytes of another file", old.len())),
        (Err(error), _) => fail(what, format!("`a.txt`: {error}")),
    }
}

fn put_atomic(context: &TestContext) -> Verdict {
    serving(context, no_more_files, |service| {
        for name in ["fresh", "a.txt"] {
            let mut client = half_an_upload(service, name)?;
            unchanged(service, &format!("while half of `PUT {name}` has come"))?;
            client.shutdown_write()?;
            client.read_end(
                "the end of the connection, since the rest of the file will never come",
            )?;
            unchanged(service, &format!("after half of `PUT {name}` and the client's end"))?;
            half_an_upload(service, name)?.reset()?;
            serves_another(service, "one that was lost in the middle of its upload")?;
            unchanged(service, &format!("after half of `PUT {name}` and a reset"))?;
        }
        // A server that is killed cannot tidy up. Even so nobody is to see half a file.
        let client = half_an_upload(service, "fresh")?;
        service.server.program.signal(Signal::SIGKILL);
        service.server.program.wait("the server to be killed", TIMEOUT)?;
        drop(client);
        service.server = begin(context, &service.root)?;
        let listing = match ask(&mut service.client()?, "LIST")? {
            Ok(bytes) => String::from_utf8_lossy(&bytes).into_owned(),
            Err(refusal) => return fail("OK to `LIST`", format!("ERR {}", quote(&refusal))),
        };
        let rows = listing.lines().filter_map(|row| row.rsplit(' ').next());
        match rows.filter(|name| !["a.txt", "sub"].contains(name)).collect::<Vec<_>>() {
            strange if strange.is_empty() => Ok(()),
            strange => fail(
                "a listing without half an upload, after the server was killed in the middle of it",
                format!("`{}` is listed", strange.join("`, `")),
            ),
        }
    })
}

fn put_nothing_left(context: &TestContext) -> Verdict {
    serving(context, no_more_files, |service| {
        let before = service.names()?;
        let mut client = half_an_upload(service, "fresh")?;
        client.shutdown_write()?;
        client.read_end("the end of the connection, since the rest of the file will never come")?;
        half_an_upload(service, "a.txt")?.reset()?;
        serves_another(service, "one that was lost in the middle of its upload")?;
        // The name is used once more: a temporary that is in the way would show.
        let mut client = service.client()?;
        let (request, answer) = put(&mut client, "done", "abc")?;
        if answer != Ok(Vec::new()) {
            return fail(format!("`OK 0` to `{request}`"), show(&answer));
        }
        let after = service.names()?;
        let strange: Vec<&String> =
            after.iter().filter(|name| *name != "done" && !before.contains(name)).collect();
        if strange.is_empty() {
            return Ok(());
        }
        let shown: Vec<String> = strange.iter().take(4).map(|name| format!("`{name}`")).collect();
        fail(
            "no trace in the folder of uploads that were cut short",
            format!("{} files left behind: {}", strange.len(), shown.join(", ")),
        )
    })
}

fn put_refused(context: &TestContext) -> Verdict {
    serving(context, no_more_files, |service| {
        let body = "QUIT\nPUT evil 4\nevilGET sub/b.txt\n";
        for (path, code) in
            [("../x", "bad-path"), ("no/such/x", "not-found"), ("sub", "not-a-file")]
        {
            let head = format!("PUT {path} {}", body.len());
            let all = format!("{head}\n{body}GET a.txt\n");
            for size in [all.len(), head.len() + 8] {
                let mut client = service.client()?;
                client.send_in_pieces(all.as_bytes(), size)?;
                refusal(&mut client, &head, code)?;
                let what = format!(
                    "the {} bytes of the refused `{head}` thrown away, and then `GET a.txt` answered",
                    body.len()
                );
                let next = reply(&mut client, "GET a.txt");
                match next {
                    Ok(Ok(bytes)) if bytes == b"alpha\n" => {}
                    Ok(other) => {
                        let observed =
                            format!("{}: bytes of the file were taken for a request", show(&other));
                        return fail(what, observed);
                    }
                    Err(Stop::Fail(finding)) => return fail(what, finding.observed),
                    Err(stop) => return Err(stop),
                }
                if service.root.join("evil").exists() {
                    return fail(what, "a file `evil`: bytes of the file were taken for a request");
                }
            }
        }
        Ok(())
    })
}

/// Refuses to give what lies outside.
fn expect_inside(client: &mut Client, request: &str) -> Verdict {
    match ask(client, request)? {
        Ok(bytes) if bytes.windows(6).any(|window| window == b"SECRET") => {
            let what = format!("`ERR bad-path ...` to `{request}`");
            fail(what, "the contents of a file outside the served folder")
        }
        Ok(bytes) if request.starts_with("LIST") => {
            let text = String::from_utf8_lossy(&bytes).into_owned();
            let what = format!("`ERR bad-path ...` to `{request}`");
            fail(what, format!("a listing: {}", quote(&text)))
        }
        Err(refusal) if refusal.starts_with("bad-path ") => Ok(()),
        other => fail(format!("`ERR bad-path ...` to `{request}`"), show(&other)),
    }
}

/// Nothing was written outside.
fn nothing_outside(service: &Service, request: &str) -> Verdict {
    let what = format!("`{request}` to write nothing outside the served folder");
    if !fs::read(service.outside("secret.txt")).is_ok_and(|secret| secret == b"SECRET\n") {
        return fail(what, "the file outside was overwritten or is gone");
    }
    if service.outside("evil").exists() {
        return fail(what, "there is a new file outside");
    }
    Ok(())
}

/// Refuses an upload to what lies outside.
fn writes_nothing_outside(service: &Service, client: &mut Client, path: &str) -> Verdict {
    let (request, answer) = put(client, path, "evil")?;
    nothing_outside(service, &request)?;
    match answer {
        Err(refusal) if refusal.starts_with("bad-path ") => Ok(()),
        other => fail(format!("`ERR bad-path ...` to `{request}`"), show(&other)),
    }
}

fn path_dotdot(context: &TestContext) -> Verdict {
    serving(context, no_more_files, |service| {
        let mut client = service.client()?;
        let requests = [
            "GET ../secret.txt",
            "GET /../secret.txt",
            "GET sub/../../secret.txt",
            "GET %2e%2e/secret.txt",
            "GET %2E./secret.txt",
            "GET ..%2fsecret.txt",
            "GET sub/%2e%2E/%2e%2e/secret.txt",
            "LIST ..",
            "LIST sub/..",
            "LIST %2e%2e",
            "GET sub/../a.txt",
            "GET ./a.txt",
            "GET a.txt%00",
            "GET a%0Ab",
        ];
        for request in requests {
            expect_inside(&mut client, request)?;
        }
        for path in ["../evil", "%2e%2e/evil", "sub/../../evil", "..%2Fevil", "../secret.txt"] {
            writes_nothing_outside(service, &mut client, path)?;
        }
        expect_reply(&mut client, "GET a.txt", b"alpha\n")
    })
}

fn path_links(context: &TestContext) -> Verdict {
    let prepare = |root: &Path| {
        // A name that begins like that of the served folder is still another folder.
        let neighbour = root.with_file_name("root-of-others");
        fs::create_dir_all(&neighbour)?;
        fs::write(neighbour.join("c.txt"), "SECRET of a neighbour\n")?;
        symlink("../secret.txt", root.join("file-outside"))?;
        symlink("..", root.join("folder-outside"))?;
        symlink("../root-of-others", root.join("neighbour"))?;
        symlink("nowhere", root.join("dangling"))?;
        symlink("a.txt", root.join("file-inside"))?;
        symlink("sub", root.join("folder-inside"))
    };
    serving(context, prepare, |service| {
        let mut client = service.client()?;
        expect_reply(&mut client, "GET file-inside", b"alpha\n")?;
        expect_reply(&mut client, "GET folder-inside/b.txt", b"beta\n")?;
        for request in [
            "GET file-outside",
            "GET folder-outside/secret.txt",
            "GET neighbour/c.txt",
            "LIST folder-outside",
            "LIST neighbour",
        ] {
            expect_inside(&mut client, request)?;
        }
        refused(&mut client, "GET dangling", "not-found")?;
        let rows = [
            "f 6 1700000000 a.txt",
            "f 6 1700000000 file-inside",
            "d 0 1700000000 folder-inside",
            "d 0 1700000000 sub",
        ];
        listed(&mut client, "LIST", &rows.map(|row| format!("{row}\n")).concat())?;
        for path in ["folder-outside/evil", "folder-outside/secret.txt"] {
            writes_nothing_outside(service, &mut client, path)?;
        }
        // A link at the very place is replaced, wherever it leads.
        for name in ["file-outside", "file-inside"] {
            let (request, answer) = put(&mut client, name, "new")?;
            if answer != Ok(Vec::new()) {
                return fail(format!("`OK 0` to `{request}`"), show(&answer));
            }
            nothing_outside(service, &request)?;
            expect_reply(&mut client, &format!("GET {name}"), b"new")?;
        }
        // What the link led to is as it was.
        expect_reply(&mut client, "GET a.txt", b"alpha\n")
    })
}

fn stream_any_cut(context: &TestContext) -> Verdict {
    serving(context, no_more_files, |service| {
        let requests = "LIST sub\r\nGET a.txt\nPUT new 8\nGET a.\n\nget new\nNONSENSE\nQUIT\n";
        let listing = "f 5 1700000000 b.txt\n";
        let wanted = format!(
            "OK {}\n{listing}OK 6\nalpha\nOK 0\nOK 8\nGET a.\n\nERR bad-command",
            listing.len()
        );
        for size in [requests.len(), 1, 7] {
            let mut client = service.client()?;
            client.send_in_pieces(requests.as_bytes(), size)?;
            client.shutdown_write()?;
            let how = match size {
                1 => "requests that come one byte at a time",
                7 => "requests that come seven bytes at a time",
                _ => "seven requests that come in one piece",
            };
            let got = client.read_up_to(wanted.len())?;
            same(&format!("the replies to {how}"), wanted.as_bytes(), &got)?;
            client.read_line("the rest of the reply to `NONSENSE`")?;
            expect_bytes(&mut client, "QUIT", b"")?;
            client.read_end("the end of the connection after `QUIT`")?;
        }
        // What was asked before the end is answered, and what is not whole is no request.
        let mut client = service.client()?;
        client.send("GET a.txt\nGET sub/b.txt\nGET a.t")?;
        client.shutdown_write()?;
        expect_bytes(&mut client, "GET a.txt", b"alpha\n")?;
        expect_bytes(&mut client, "GET sub/b.txt", b"beta\n")?;
        client.read_end("no reply to `GET a.t`, which has no end, and the end of the connection")
    })
}

fn stream_partial_writes(context: &TestContext) -> Verdict {
    let much = random_bytes(context, MUCH);
    serving(
        context,
        |root| fs::write(root.join("much"), &much),
        |service| {
            let mut client = service.client()?;
            shrink_receive_buffer(&client)?;
            client.send("GET much\n")?;
            client.shutdown_write()?;
            let wanted = [format!("OK {MUCH}\n").as_bytes(), &much].concat();
            let mut got = Vec::new();
            for round in 0.. {
                wait_until_idle(service.program());
                stop_and_continue(service.program())?;
                // The last time asks for more than there is, and so for the end.
                let most = if round < 6 { 300_001 } else { wanted.len() };
                let piece = client.read_up_to(most)?;
                got.extend_from_slice(&piece);
                if piece.len() < most {
                    break;
                }
            }
            let what = "every byte of a long reply, though the server was stopped and continued while it wrote";
            same(what, &wanted, &got)
        },
    )
}

fn stream_endless_line(context: &TestContext) -> Verdict {
    serving(context, no_more_files, |service| {
        let mut client = service.client()?;
        let longest = "x".repeat(4095);
        refused(&mut client, &longest, "bad-command")?;
        client.send("x".repeat(4096))?;
        let what = "`ERR line-too-long ...` to 4096 bytes without LF";
        match client.read_line(what) {
            Ok(line) if line.starts_with("ERR line-too-long ") => {
                client.read_end("the end of the connection after `ERR line-too-long`")
            }
            Ok(line) => fail(what, quote(&line)),
            Err(Stop::Fail(finding)) => {
                fail(what, format!("{}: does it keep all of an endless line?", finding.observed))
            }
            Err(stop) => Err(stop),
        }
    })
}

fn clients_quit(context: &TestContext) -> Verdict {
    serving(context, no_more_files, |service| {
        for _ in 0..2 {
            let mut client = service.client()?;
            expect_reply(&mut client, "GET a.txt", b"alpha\n")?;
            expect_reply(&mut client, "QUIT", b"")?;
            client.read_end("the end of the connection after `QUIT`")?;
            drop(client);
            serves_another(service, "one that has said QUIT")?;
        }
        let client = service.client()?;
        client.shutdown_write()?;
        drop(client);
        serves_another(service, "one that has left without a word")
    })
}

fn clients_lost(context: &TestContext) -> Verdict {
    let much = random_bytes(context, MUCH);
    serving(
        context,
        |root| fs::write(root.join("much"), &much),
        |service| {
            let mut client = service.client()?;
            shrink_receive_buffer(&client)?;
            client.send("GET much\n")?;
            client.read_line("a reply to `GET much`")?;
            wait_until_idle(service.program());
            client.reset()?;
            serves_another(service, "one that was lost in the middle of a reply")?;
            let mut client = service.client()?;
            client.send_in_pieces(b"GET a", 5)?;
            client.reset()?;
            serves_another(service, "one that was lost in the middle of a request")
        },
    )
}

/// Runs the client against `answer`, which gets its connection and the request.
fn answering(
    context: &TestContext,
    words: &[&str],
    answer: impl FnOnce(&mut Program, &mut Client) -> Verdict,
) -> Verdict {
    let listener = context.listen()?;
    let address = listener.address().to_string();
    let mut program = context.program("client").arg(address).args(words).start()?;
    let mut connection = match listener.accept("the client to connect") {
        Ok(connection) => connection,
        Err(stop) => return explained(&mut program, Err(stop)),
    };
    let found = answer(&mut program, &mut connection);
    explained(&mut program, found)
}

fn requested(connection: &mut Client, request: &str) -> Verdict {
    let line = connection.read_line(&format!("the request `{request}`"))?;
    // One CR before the end is allowed.
    if line.strip_suffix('\r').unwrap_or(&line) == request {
        return Ok(());
    }
    fail(format!("the request `{request}`"), quote(&line))
}

/// The client ends in order, while the connection is open.
fn succeeds(program: &mut Program, reply: &str) -> Verdict {
    let what = format!("the client to end with exit code 0 once it has {reply}");
    let status = program.wait(&what, TIMEOUT)?;
    if status.success() { Ok(()) } else { fail(what, program.describe()) }
}

fn client_reply(context: &TestContext) -> Verdict {
    for (words, request, size) in [
        (&["list"][..], "LIST", 1),
        (&["get", "x"], "GET x", 1),
        (&["list", "sub"], "LIST sub", 100),
        (&["get", "sub/x"], "GET sub/x", 4),
    ] {
        answering(context, words, |program, connection| {
            requested(connection, request)?;
            // All in one piece, or each byte on its own.
            let sent = connection.send_in_pieces(b"OK 12\nhello\nworld\n", size);
            if let Err(stop @ (Stop::GraderError(_) | Stop::Skip(_))) = sent {
                return Err(stop);
            }
            // Whoever does not take all of it is asked why.
            succeeds(program, &format!("`OK 12` and 12 bytes, which come {size} bytes at a time"))?;
            let what = format!(
                "what `client ADDR {}` prints of a reply that comes {size} bytes at a time",
                words.join(" ")
            );
            same(&what, b"hello\nworld\n", program.output().as_bytes())
        })?;
    }
    for (words, request) in [(&["get", "x"][..], "GET x"), (&["get", "x", "file"], "GET x")] {
        answering(context, words, |program, connection| {
            requested(connection, request)?;
            connection.send("ERR not-found there is no such file\n")?;
            let status = program.wait("the client to end after a refusal", TIMEOUT)?;
            if status.success() {
                let what = "another exit code than 0 after `ERR not-found ...`";
                return fail(what, program.describe());
            }
            if !program.output().is_empty() || context.directory().join("file").exists() {
                return fail("no file and no output after a refusal", quote(&program.output()));
            }
            match program.errors().contains("not-found") {
                true => Ok(()),
                false => fail("the refusal on standard error", program.describe()),
            }
        })?;
    }
    Ok(())
}

fn client_every_byte(context: &TestContext) -> Verdict {
    let awkward = awkward_bytes(context);
    answering(context, &["get", "nasty", "copy"], |program, connection| {
        requested(connection, "GET nasty")?;
        connection.send(format!("OK {}\n", awkward.len()))?;
        for piece in awkward.chunks(70_001) {
            connection.send(piece)?;
        }
        // The connection stays open: that all has come can be known from the length alone.
        succeeds(program, "the last byte of the file, while the connection stays open")?;
        let copy = fs::read(context.directory().join("copy"));
        let copy = match copy {
            Ok(copy) => copy,
            Err(error) => return fail("a file `copy`", error),
        };
        same("the file that the client has fetched", &awkward, &copy)
    })
}

fn client_short(context: &TestContext) -> Verdict {
    for (sent, what) in [
        (&b"OK 1000\nonly these"[..], "10 bytes of the 1000 that were promised"),
        (b"OK 10", "half a line"),
        (b"", "nothing"),
    ] {
        answering(context, &["get", "x"], |program, connection| {
            requested(connection, "GET x")?;
            connection.send(sent)?;
            connection.shutdown_write()?;
            let status =
                program.wait(&format!("the client to end after {what} and the end"), TIMEOUT)?;
            match status.success() {
                true => fail(
                    format!("an error, since the connection ended after {what}"),
                    format!("{}, as if all had come", program.describe()),
                ),
                false if status.code() != Some(1) => {
                    fail("a message on standard error and exit code 1", program.describe())
                }
                false => Ok(()),
            }
        })?;
    }
    Ok(())
}

fn client_put(context: &TestContext) -> Verdict {
    let much = random_bytes(context, MUCH);
    let files: [(&str, &[u8]); 3] =
        [("small", b"no text: \xff\r\n\0##\n"), ("none", b""), ("much", &much)];
    for (name, bytes) in files {
        fs::write(context.directory().join(name), bytes)?;
        let path = format!("up/{name}");
        answering(context, &["put", name, &path], |program, connection| {
            shrink_receive_buffer(connection)?;
            requested(connection, &format!("PUT {path} {}", bytes.len()))?;
            let mut got = Vec::new();
            for _ in 0..if bytes.len() == MUCH { 6 } else { 0 } {
                wait_until_idle(program);
                stop_and_continue(program)?;
                got.extend(connection.read_exactly(300_001, "the bytes of the file")?);
            }
            let left = bytes.len() - got.len();
            got.extend(connection.read_up_to(left)?);
            let what = if bytes.len() == MUCH {
                "the file as the client sends it, though it is stopped and continued meanwhile"
            } else {
                "the file as the client sends it"
            };
            same(what, bytes, &got)?;
            connection.send("OK 0\n")?;
            succeeds(program, "`OK 0`")?;
            connection.read_end("nothing behind the file's last byte")
        })?;
    }
    Ok(())
}
