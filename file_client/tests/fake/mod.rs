//! A server in a thread, as small as the client's tests allow, that can be told to misbehave.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, Mutex};
use std::thread;

use sha2::{Digest, Sha256};

/// The files, by their percent-encoded path.
pub type Files = BTreeMap<String, Vec<u8>>;

/// What to do about a request instead of the right thing.
pub enum Twist {
    /// Nothing: do the right thing.
    Honest,
    /// Send these bytes.
    Reply(Vec<u8>),
    /// Send these bytes and close.
    ReplyAndClose(Vec<u8>),
    /// Send these bytes, then wait for the client to go.
    ReplyAndStall(Vec<u8>),
}

pub struct Fake {
    pub addr: SocketAddr,
    pub files: Arc<Mutex<Files>>,
    /// Every request line so far.
    pub log: Arc<Mutex<Vec<String>>>,
    /// Hears of every connection that the server has closed.
    pub closed: Receiver<()>,
}

impl Fake {
    pub fn honest(files: &[(&str, &[u8])]) -> Fake {
        Fake::twisted(files, |_, _| Twist::Honest)
    }

    /// `twist` sees each request line, and the files, before it is answered.
    pub fn twisted(
        files: &[(&str, &[u8])],
        twist: impl Fn(&str, &mut Files) -> Twist + Send + Sync + 'static,
    ) -> Fake {
        let files = files.iter().map(|(name, content)| (name.to_string(), content.to_vec()));
        let files: Arc<Mutex<Files>> = Arc::new(Mutex::new(files.collect()));
        let log = Arc::new(Mutex::new(Vec::new()));
        let listener = server_core::listen("127.0.0.1:0").unwrap();
        let addr = listener.local_addr().unwrap();
        let (closing, closed) = channel();
        let fake = Fake { addr, files: Arc::clone(&files), log: Arc::clone(&log), closed };
        let twist = Arc::new(twist);
        thread::spawn(move || {
            for stream in listener.incoming() {
                let (files, log, twist) =
                    (Arc::clone(&files), Arc::clone(&log), Arc::clone(&twist));
                let closing = closing.clone();
                thread::spawn(move || {
                    let stream = stream.unwrap();
                    // A client that leaves in mid-reply is part of some tests.
                    let _ = serve(&stream, &files, &log, &*twist);
                    // Dropping it is not enough: a child that another test has just started holds a copy until it becomes
                    // another program.
                    let _ = stream.shutdown(Shutdown::Write);
                    let _ = closing.send(());
                });
            }
        });
        fake
    }

    pub fn content(&self, name: &str) -> Option<Vec<u8>> {
        self.files.lock().unwrap().get(name).cloned()
    }

    pub fn log(&self) -> Vec<String> {
        self.log.lock().unwrap().clone()
    }
}

fn serve(
    mut stream: &TcpStream,
    files: &Mutex<Files>,
    log: &Mutex<Vec<String>>,
    twist: &dyn Fn(&str, &mut Files) -> Twist,
) -> std::io::Result<()> {
    let mut reader = BufReader::new(stream);
    let mut line = String::new();
    while reader.read_line(&mut line)? > 0 {
        let request = line.trim_end().to_string();
        line.clear();
        log.lock().unwrap().push(request.clone());
        let twisted = twist(&request, &mut files.lock().unwrap());
        match twisted {
            Twist::Honest => {
                let reply = answer(&request, &mut reader, files)?;
                stream.write_all(&reply)?;
            }
            Twist::Reply(bytes) => stream.write_all(&bytes)?,
            Twist::ReplyAndClose(bytes) => return stream.write_all(&bytes),
            Twist::ReplyAndStall(bytes) => {
                stream.write_all(&bytes)?;
                reader.read_line(&mut line)?;
            }
        }
        if request == "QUIT" {
            break;
        }
    }
    Ok(())
}

fn answer(request: &str, reader: &mut impl Read, files: &Mutex<Files>) -> std::io::Result<Vec<u8>> {
    let words: Vec<&str> = request.split(' ').collect();
    let number = |at: usize| words.get(at).map_or(0, |word| word.parse::<usize>().unwrap());
    let (verb, path) = (words[0], words.get(1).unwrap_or(&"").trim_matches('/'));
    if verb == "PUT" {
        let mut content = vec![0; number(2)];
        reader.read_exact(&mut content)?;
        files.lock().unwrap().insert(path.to_string(), content);
        return Ok(ok(b""));
    }
    let files = files.lock().unwrap();
    Ok(match (verb, files.get(path)) {
        ("QUIT", _) => ok(b""),
        ("LIST", None) => ok(&listing(&files, path)),
        ("GET", Some(content)) => match content.get(number(2)..) {
            Some(rest) if words.len() > 3 => ok(&rest[..rest.len().min(number(3))]),
            Some(rest) => ok(rest),
            None => b"ERR bad-range the offset is beyond the end of the file\n".to_vec(),
        },
        ("HASH", Some(content)) => ok(format!("{}\n", sha256(content)).as_bytes()),
        _ => b"ERR not-found no such file or folder\n".to_vec(),
    })
}

/// Files and folders right below `folder`.
fn listing(files: &Files, folder: &str) -> Vec<u8> {
    let prefix = if folder.is_empty() { String::new() } else { format!("{folder}/") };
    let mut entries = BTreeMap::new();
    for (path, content) in files {
        if let Some(rest) = path.strip_prefix(&prefix) {
            match rest.split_once('/') {
                Some((name, _)) => entries.insert(name, format!("d 0 1700000000 {name}\n")),
                None => entries.insert(rest, format!("f {} 1700000000 {rest}\n", content.len())),
            };
        }
    }
    entries.into_values().collect::<String>().into_bytes()
}

pub fn ok(body: &[u8]) -> Vec<u8> {
    [format!("OK {}\n", body.len()).as_bytes(), body].concat()
}

pub fn sha256(content: &[u8]) -> String {
    Sha256::digest(content).iter().map(|byte| format!("{byte:02x}")).collect()
}
