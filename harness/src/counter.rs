//! Several servers on one root: no update is lost between them.

use std::sync::Arc;
use std::thread;

use crate::wait::eventually;
use crate::wire::{Conn, Response};
use crate::{Root, Server, Subject};

/// How often each client adds one.
const ROUNDS: usize = 15;

/// Starts every server on one root, and has clients of all of them count in one file: each reads the file and its entity
/// tag, and replaces exactly that version by a number that is one more. Panics if an increment is lost or done twice, or if
/// anything but the file is left.
///
/// Meanwhile other clients replace another file of the directory by the file protocol, so that landings without a
/// condition lock the directory as well.
pub fn counter(subjects: &[Subject], options: &[&str]) {
    let root = Arc::new(Root::new());
    root.write("d/counter", "0");
    let servers: Vec<Server> =
        subjects.iter().map(|subject| subject.start_on(&root, options)).collect();
    let clients = 4.max(servers.len());
    let mut tag = None;
    eventually("the counter has a tag", || {
        let response = get(&mut servers[0].connect(), "/d/counter");
        tag = response.field("etag").map(str::to_owned);
        tag.is_some()
    });
    if tag.is_some_and(|tag| tag.starts_with("W/")) {
        eprintln!(
            "SKIPPED: this file system allows no strong tags, by which a version is replaced"
        );
        return;
    }
    thread::scope(|scope| {
        for client in 0..clients {
            let server = &servers[client % servers.len()];
            scope.spawn(move || (0..ROUNDS).for_each(|_| increment(server)));
        }
        for server in &servers {
            scope.spawn(move || {
                for round in 0..ROUNDS {
                    assert_eq!(server.connect().put("d/other", format!("{round}")).ok(), b"");
                }
            });
        }
    });
    let count = String::from_utf8_lossy(&root.read("d/counter")).into_owned();
    assert_eq!(count, (clients * ROUNDS).to_string(), "increments in the counter");
    assert_eq!(root.names(), ["d", "d/counter", "d/other"]);
}

/// Adds one, as often as another client was quicker. Each request has a connection of its own, so that a server that holds
/// only one conversation at a time serves every client in turn.
fn increment(server: &Server) {
    eventually("an increment is stored", || {
        let read = get(&mut server.connect(), "/d/counter").expect(200);
        // A file that is too young to have a tag has one a moment later.
        let Some(tag) = read.field("etag") else {
            return false;
        };
        let count: usize = String::from_utf8_lossy(&read.body).parse().expect("a number");
        let body = (count + 1).to_string();
        let length = body.len();
        let request = format!(
            "PUT /d/counter HTTP/1.1\r\nHost: h\r\nIf-Match: {tag}\r\nContent-Length: {length}\r\n\r\n{body}"
        );
        let response = server.connect().http(request);
        assert!(matches!(response.status, 204 | 412), "{response:?}");
        response.status == 204
    });
}

fn get(conn: &mut Conn, target: &str) -> Response {
    conn.http(format!("GET {target} HTTP/1.1\r\nHost: h\r\n\r\n"))
}
