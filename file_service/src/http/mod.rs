//! HTTP/1.0 and 1.1 on the port of the file protocol, for browsers and third-party tools.
//!
//! Everything here is a function of bytes: no sockets, no files. The session reads and sends the bytes.
//!
//! | file | what it holds |
//! |---|---|
//! | `text` | numbers and names as text, the characters of tokens |
//! | `date` | dates, written and read |
//! | `origin` | which pages may write |
//! | `conditions` | conditional requests, ranges, entity tags |
//! | `first_line` | which protocol a connection speaks |
//! | `request` | the parser of a request header |
//! | `chunked` | the decoder of a request body in chunks |
//! | `media` | what a file is by its name, and whether a browser may show it |
//! | `page` | a directory as a page and as JSON |
//! | `response` | response headers, and short responses |
//!
//! The parser is strict on purpose. Two parties that disagree about where a request ends can be
//! played against each other (request smuggling), so whatever is malformed or has two readings is
//! refused and the connection closes; nothing is repaired.

mod chunked;
mod conditions;
mod date;
mod first_line;
mod media;
mod origin;
mod page;
mod request;
mod response;
mod text;

pub(crate) use chunked::{Decoder, Part, Violation};
pub(crate) use conditions::{CONDITION_FAILED, Decision};
pub(crate) use first_line::{FirstLine, begins_http, begins_with_empty_line, first_line};
pub(crate) use page::{Page, ServerInfo, push_json, sort};
pub(crate) use request::{Body, Expect, Method, Parsed, Request, View, parse};
pub(crate) use response::{
    CONTINUE, write_document_header, write_error, write_file_header, write_listing_decision,
    write_options, write_stored,
};
