//! Requests as bytes and replies from bytes, in both protocols: no sockets, no waiting.

mod chunked;
mod header;
mod reply;

#[cfg(test)]
mod tests;

pub(crate) use reply::{Reply, ReplyReader, begins_tls};

use super::content::{Content, file_name};
use super::schedule::Verb;
use super::workload::{Protocol, Workload};
use memchr::memmem;
use std::ops::Range;

/// Encodes the requests of a workload, and holds what its replies are verified against.
pub(crate) struct Codec {
    /// The files.
    pub content: Content,
    protocol: Protocol,
    verify: bool,
    /// The hashes of all files, if they are verified and no request changes a file.
    hashes: Vec<String>,
    /// All request headers one after another.
    headers: Vec<u8>,
    /// GET and PUT by name, then the same for the last request of a connection.
    ranges: Vec<[Range<usize>; 4]>,
    list: [Range<usize>; 2],
    header_end: memmem::Finder<'static>,
}

impl Codec {
    /// Encodes all requests of a workload. `host` is the value of the Host field of HTTP.
    pub(crate) fn new(workload: &Workload, host: &str) -> Codec {
        let content = Content::new(workload);
        let protocol = workload.protocol;
        let mut headers = Vec::new();
        let mut add = |header: String| {
            let from = headers.len();
            headers.extend_from_slice(header.as_bytes());
            from..headers.len()
        };
        let close = ["", "Connection: close\r\n"];
        let mut ranges = Vec::with_capacity(content.names());
        for number in 0..content.names() {
            let (name, length) = (file_name(number), content.length(number));
            ranges.push(match protocol {
                Protocol::File => {
                    let get = add(format!("GET {name}\n"));
                    let put = add(format!("PUT {name} {length}\n"));
                    [get.clone(), put.clone(), get, put]
                }
                Protocol::Http => [(0, 0), (1, 0), (0, 1), (1, 1)].map(|(put, last)| {
                    let (verb, length) = match put {
                        0 => ("GET", String::new()),
                        _ => ("PUT", format!("Content-Length: {length}\r\n")),
                    };
                    let close = close[last];
                    add(format!("{verb} /{name} HTTP/1.1\r\nHost: {host}\r\n{length}{close}\r\n"))
                }),
            });
        }
        let list = match protocol {
            Protocol::File => {
                let list = add("LIST\n".into());
                [list.clone(), list]
            }
            Protocol::Http => close.map(|close| {
                let accept = "Accept: application/json\r\n";
                add(format!("GET / HTTP/1.1\r\nHost: {host}\r\n{accept}{close}\r\n"))
            }),
        };
        let fixed = workload.verify && workload.mix.hash > 0 && workload.mix.put == 0;
        let hashed = if fixed { content.names() } else { 0 };
        let hashes = (0..hashed).map(|name| content.hash(name)).collect();
        let header_end = memmem::Finder::new(b"\r\n\r\n");
        let verify = workload.verify;
        Codec { content, protocol, verify, hashes, headers, ranges, list, header_end }
    }

    /// Appends the bytes of a request to `out`, without the body of an upload.
    pub(crate) fn encode(&self, request: &Request, out: &mut Vec<u8>) {
        let last = usize::from(request.last);
        let range = match request.verb {
            Verb::Get => &self.ranges[request.name][2 * last],
            Verb::Put => &self.ranges[request.name][2 * last + 1],
            Verb::List => &self.list[last],
            Verb::Hash => {
                out.extend_from_slice(b"HASH ");
                out.extend_from_slice(file_name(request.name).as_bytes());
                return out.push(b'\n');
            }
            Verb::Quit => return out.extend_from_slice(b"QUIT\n"),
        };
        out.extend_from_slice(&self.headers[range.clone()]);
    }
}

/// A request, as far as its reply depends on it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Request {
    /// The operation.
    pub verb: Verb,
    /// The number of the file.
    pub name: usize,
    /// Whether it is its connection's last.
    pub last: bool,
}
