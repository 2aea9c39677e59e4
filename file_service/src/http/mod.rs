//! HTTP/1.0 and 1.1 on the port of the file protocol, for browsers and third-party tools.
//!
//! Everything here is a function of bytes: no sockets, no files. The session reads and sends the bytes.
//!
//! | file | what it holds |
//! |---|---|
//! | `text` | numbers and names as text |
//! | `date` | dates, written and read |
//! | `origin` | which pages may write |
//! | `conditions` | conditional requests, ranges, entity tags |
//! | `opening` | whether the first bytes of a connection are HTTP |
//! | `request` | the parser of a request header |
//! | `media` | what a file is by its name, and whether a browser may show it |
//! | `page` | a directory as a page and as JSON |
//! | `response` | response headers, and short responses |
//!
//! The parser is strict on purpose. Two parties that disagree about where a request ends can be
//! played against each other (request smuggling), so whatever is malformed or has two readings is
//! refused and the connection closes; nothing is repaired.

mod conditions;
mod date;
mod media;
mod opening;
mod origin;
mod page;
mod request;
mod response;
mod text;

pub(crate) use conditions::Decision;
pub(crate) use opening::{Opening, opening, opening_so_far};
pub(crate) use page::{ServerInfo, json, page};
pub(crate) use request::{Expect, Method, Parsed, Request, View, is_request_line, parse};
pub(crate) use response::{
    CONTINUE, write_document_header, write_error, write_file_header, write_listing_decision,
    write_options, write_stored,
};
